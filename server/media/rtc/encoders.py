"""Encoders set for one talking head rather than for any picture."""

from aiortc.codecs import get_encoder
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters

START_BITRATE = 900_000
"""Bits a second until the peer's first estimate; aiortc begins at 500,000, which smears a 512 px face."""


def create_encoder(codec: RTCRtpCodecParameters) -> Encoder:
    """The encoder for a negotiated codec."""
    encoder = get_encoder(codec)
    if isinstance(encoder, Vp8Encoder | H264Encoder):
        encoder.target_bitrate = START_BITRATE
    return encoder
