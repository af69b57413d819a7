"""First uses made early: encoders, decoder and certificate cost what a first visitor would wait for."""

import av
import numpy as np
from aiortc.codecs.opus import OpusDecoder
from aiortc.jitterbuffer import JitterFrame
from aiortc.mediastreams import VIDEO_TIME_BASE
from aiortc.rtcdtlstransport import RTCCertificate

from models.timebase import WIRE_RATE_HZ
from server.media.rtc.encoders import (
    PACKET_SAMPLES,
    SOUND_TIME_BASE,
    H264HeadEncoder,
    OpusSpeechEncoder,
    Vp8HeadEncoder,
)

_SIDE_PX = 512


def warm_up_codecs() -> None:
    """Encode a little sound and one picture and throw them away. Blocks for some tens of milliseconds."""
    for video in (Vp8HeadEncoder(), H264HeadEncoder()):
        grey = np.full((_SIDE_PX * 3 // 2, _SIDE_PX), 128, dtype=np.uint8)
        picture = av.VideoFrame.from_ndarray(grey, format="yuv420p")
        picture.pts, picture.time_base = 0, VIDEO_TIME_BASE
        video.encode(picture)
    silence = np.zeros((1, PACKET_SAMPLES), dtype=np.int16)
    sound = av.AudioFrame.from_ndarray(silence, format="s16", layout="mono")
    sound.sample_rate, sound.pts, sound.time_base = WIRE_RATE_HZ, 0, SOUND_TIME_BASE
    payloads, timestamp = OpusSpeechEncoder().encode(sound)
    for payload in payloads:
        OpusDecoder().decode(JitterFrame(data=payload, timestamp=timestamp))
    # Later ones take 0.1 ms; the first loads OpenSSL's elliptic curves.
    RTCCertificate.generateCertificate()
