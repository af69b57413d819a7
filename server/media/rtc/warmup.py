"""First uses made early: the first encoder and the first certificate cost what a first visitor would wait for."""

from fractions import Fraction

import av
import numpy as np
from aiortc.codecs.opus import OpusDecoder, OpusEncoder
from aiortc.codecs.vpx import Vp8Encoder

from models.timebase import WIRE_RATE_HZ

_SIDE_PX = 512


def warm_up_codecs() -> None:
    """Encode a little sound and one picture and throw them away. Blocks for some tens of milliseconds."""
    picture = av.VideoFrame.from_ndarray(np.full((_SIDE_PX * 3 // 2, _SIDE_PX), 128, dtype=np.uint8), format="yuv420p")
    picture.pts, picture.time_base = 0, Fraction(1, 90_000)
    Vp8Encoder().encode(picture)
    sound = av.AudioFrame.from_ndarray(np.zeros((1, 960), dtype=np.int16), format="s16", layout="mono")
    sound.sample_rate, sound.pts = WIRE_RATE_HZ, 0
    sound.time_base = Fraction(1, WIRE_RATE_HZ)
    OpusEncoder().encode(sound)
    OpusDecoder()
