"""Encoders set for one talking head and speech rather than for anything.

Each keeps aiortc's packetising and replaces its codec settings. Timestamps are taken from the frame before it is
encoded: PyAV rescales a frame's pts to the codec's time base, and aiortc's H.264 time base of 1/30 s rounds
25 frames a second to uneven steps.
"""

import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import av
from aiortc.codecs import get_encoder
from aiortc.codecs.base import Encoder
from aiortc.codecs.h264 import H264Encoder
from aiortc.codecs.vpx import Vp8Encoder
from aiortc.mediastreams import VIDEO_TIME_BASE, convert_timebase
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from av.frame import Frame
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType

from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ

START_BITRATE = 900_000
"""Bits a second until the peer's first estimate; aiortc begins at 500,000, which smears a 512 px face."""
MIN_BITRATE = 250_000
MAX_BITRATE = 2_500_000
_RAISE_RATIO = 1.25
_LOWER_RATIO = 0.85
_RAISE_INTERVAL_S = 3.0
_KEY_FRAME_INTERVAL = 3000
"""Frames. Key frames are sent when a peer asks (PLI), not on a clock: each costs many times a plain frame."""
SPEECH_BITRATE = 48_000
_EXPECTED_LOSS_PERCENT = 10
"""Opus spends bits on in-band FEC by the loss it expects (RFC 6716 section 2.1.7)."""
PACKET_SAMPLES = WIRE_RATE_HZ // 50
SOUND_TIME_BASE = Fraction(1, WIRE_RATE_HZ)


class Bitrate:
    """Bits a second to encode with. Follows estimates down at once, up by large and rare steps.

    A new rate means a new VP8 encoder and a key frame, so each small estimate followed would be paid twice.
    """

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._changed_s = monotonic()
        self.value = START_BITRATE

    def follow(self, estimate: int) -> None:
        """Take the peer's estimate (REMB) in bits a second, held within MIN_BITRATE and MAX_BITRATE."""
        wanted = max(MIN_BITRATE, min(estimate, MAX_BITRATE))
        now_s = self._monotonic()
        is_lower = wanted < self.value * _LOWER_RATIO
        is_higher = wanted > self.value * _RAISE_RATIO and now_s - self._changed_s >= _RAISE_INTERVAL_S
        if is_lower or is_higher:
            self.value, self._changed_s = wanted, now_s


def _open_video_codec(name: str, frame: av.VideoFrame, bitrate: int, options: dict[str, str]) -> VideoCodecContext:
    codec = av.CodecContext.create(name, "w")
    assert isinstance(codec, VideoCodecContext)
    codec.width, codec.height, codec.pix_fmt = frame.width, frame.height, "yuv420p"
    codec.bit_rate = bitrate
    codec.time_base = VIDEO_TIME_BASE
    codec.framerate = Fraction(FRAMES_PER_SECOND)
    codec.gop_size = _KEY_FRAME_INTERVAL
    # One core a session: with many sessions, threads inside an encoder only get in each other's way.
    codec.thread_count = 1
    codec.options = options
    return codec


def _has_to_reopen(codec: VideoCodecContext | None, frame: av.VideoFrame, bitrate: int) -> bool:
    return codec is None or (codec.width, codec.height, codec.bit_rate) != (frame.width, frame.height, bitrate)


def _prepared(frame: Frame, force_keyframe: bool) -> tuple[av.VideoFrame, int]:
    """The frame as I420 with its picture type set, and its RTP timestamp (90 kHz)."""
    assert isinstance(frame, av.VideoFrame)
    assert frame.pts is not None
    assert frame.time_base is not None
    timestamp = convert_timebase(frame.pts, frame.time_base, VIDEO_TIME_BASE)
    if frame.format.name != "yuv420p":
        frame = frame.reformat(format="yuv420p")
    # Reset as well as set: a frame that is shown again must not stay a key frame.
    frame.pict_type = PictureType.I if force_keyframe else PictureType.NONE
    return frame, timestamp


class Vp8HeadEncoder(Vp8Encoder):
    """VP8 for a head of about 512x512 at 25 frames a second."""

    def __init__(self, bitrate: Bitrate | None = None) -> None:
        super().__init__()
        self._bitrate = bitrate or Bitrate()

    @property
    def target_bitrate(self) -> int:
        """Bits a second in use now."""
        return self._bitrate.value

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._bitrate.follow(bitrate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads and RTP timestamp of one picture."""
        picture, timestamp = _prepared(frame, force_keyframe)
        bitrate = self._bitrate.value
        if _has_to_reopen(self.codec, picture, bitrate):
            self.codec = _open_video_codec("libvpx", picture, bitrate, self._options(bitrate))
            self.codec.qmin, self.codec.qmax = 2, 56
        assert self.codec is not None
        data = b"".join(bytes(packet) for packet in self.codec.encode(picture))
        payloads = self._packetize(data, self.picture_id)
        self.picture_id = (self.picture_id + 1) % (1 << 15)
        return payloads, timestamp

    @staticmethod
    def _options(bitrate: int) -> dict[str, str]:
        rate = str(bitrate)
        return {
            "deadline": "realtime",
            "cpu-used": "-12",
            "lag-in-frames": "0",
            # Equal bounds make libvpx hold a constant rate, with one second of it as its buffer.
            "minrate": rate,
            "maxrate": rate,
            "bufsize": rate,
            "undershoot-pct": "100",
            "overshoot-pct": "15",
            # Blocks that hardly change are not searched: a head at rest before a still backdrop has many.
            "static-thresh": "500",
            # A key frame may take ten frames' worth of bits: more would arrive late.
            "max-intra-rate": "1000",
        }


class H264HeadEncoder(H264Encoder):
    """H.264 constrained baseline, one slice thread, an IDR picture with its headers on request."""

    def __init__(self, bitrate: Bitrate | None = None) -> None:
        super().__init__()
        self._bitrate = bitrate or Bitrate()

    @property
    def target_bitrate(self) -> int:
        """Bits a second in use now."""
        return self._bitrate.value

    @target_bitrate.setter
    def target_bitrate(self, bitrate: int) -> None:
        self._bitrate.follow(bitrate)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads and RTP timestamp of one picture."""
        picture, timestamp = _prepared(frame, force_keyframe)
        return self._packetize(self._nal_units(picture)), timestamp

    def _nal_units(self, picture: av.VideoFrame) -> Iterator[bytes]:
        bitrate = self._bitrate.value
        if _has_to_reopen(self.codec, picture, bitrate):
            self.codec = _open_video_codec("libx264", picture, bitrate, self._options(bitrate))
            self.codec.profile = "Baseline"
        assert self.codec is not None
        return self._split_bitstream(b"".join(bytes(packet) for packet in self.codec.encode(picture)))

    @staticmethod
    def _options(bitrate: int) -> dict[str, str]:
        return {
            "preset": "superfast",
            "tune": "zerolatency",
            "level": "31",
            "maxrate": str(bitrate),
            "bufsize": str(bitrate),
            "sc_threshold": "0",
        }


class OpusSpeechEncoder(Encoder):
    """Opus for speech: mono, in-band FEC, packets of 20 ms (RFC 7587).

    RTP timestamps are the frames' own pts on the 48 kHz clock, not counted from the first frame as in aiortc, so
    that a sender report can map them to media time.
    """

    def __init__(self) -> None:
        self._codec = av.CodecContext.create("libopus", "w")
        assert isinstance(self._codec, av.AudioCodecContext)
        self._codec.format = "s16"
        self._codec.layout = "mono"
        self._codec.sample_rate = WIRE_RATE_HZ
        self._codec.time_base = SOUND_TIME_BASE
        self._codec.bit_rate = SPEECH_BITRATE
        self._codec.options = {
            "application": "voip",
            "fec": "1",
            "packet_loss": str(_EXPECTED_LOSS_PERCENT),
            "compression_level": "5",
        }
        self._resampler = av.AudioResampler(format="s16", layout="mono", rate=WIRE_RATE_HZ, frame_size=PACKET_SAMPLES)

    def encode(self, frame: Frame, force_keyframe: bool = False) -> tuple[list[bytes], int]:
        """RTP payloads and RTP timestamp; no payload while less than 20 ms is in store."""
        assert isinstance(frame, av.AudioFrame)
        payloads: list[bytes] = []
        timestamp: int | None = None
        for part in self._resampler.resample(frame):
            if timestamp is None and part.pts is not None and part.time_base is not None:
                timestamp = convert_timebase(part.pts, part.time_base, SOUND_TIME_BASE)
            payloads += [bytes(packet) for packet in self._codec.encode(part)]
        return payloads, timestamp or 0

    def pack(self, packet: "Packet[Any]") -> tuple[list[bytes], int]:
        """RTP payload and RTP timestamp of sound that is encoded already."""
        assert packet.pts is not None
        return [bytes(packet)], convert_timebase(packet.pts, packet.time_base, SOUND_TIME_BASE)


def create_encoder(codec: RTCRtpCodecParameters) -> Encoder:
    """The encoder for a negotiated codec: our own for Opus, VP8 and H.264, aiortc's for the rest."""
    own: dict[str, Callable[[], Encoder]] = {
        "audio/opus": OpusSpeechEncoder,
        "video/vp8": Vp8HeadEncoder,
        "video/h264": H264HeadEncoder,
    }
    make = own.get(codec.mimeType.lower())
    return make() if make is not None else get_encoder(codec)
