"""A peer's sound, 20 ms at a time: RTP packets -> decoder -> jitter buffer -> 48 kHz mono."""

import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import av
import numpy as np
from aiortc import RTCRtpReceiver
from aiortc.rtp import RtpPacket
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from models.timebase import WIRE_RATE_HZ
from server.media.jitter import JitterBuffer
from server.media.rtc.tap import codec_of, observe_rtp, receiver_has_ended

logger = logging.getLogger(__name__)
_DECODERS = {"opus": ("libopus", WIRE_RATE_HZ), "pcmu": ("pcm_mulaw", 8000), "pcma": ("pcm_alaw", 8000)}


class Decoder:
    """Payloads of one codec -> (n,) int16 mono at 48 kHz."""

    def __init__(self, name: str) -> None:
        """``name``: "opus", "pcmu" or "pcma"; KeyError for any other."""
        codec_name, rate_hz = _DECODERS[name]
        codec = av.CodecContext.create(codec_name, "r")
        assert isinstance(codec, av.AudioCodecContext)
        # libopus itself turns stereo into mono when asked to; a resampler to float would add 3 dB.
        codec.format, codec.layout, codec.sample_rate = "s16", "mono", rate_hz
        self._codec = codec
        self._resampler: AudioResampler | None = None
        if rate_hz != WIRE_RATE_HZ:
            self._resampler = AudioResampler(format="s16", layout="mono", rate=WIRE_RATE_HZ)

    def decode(self, payload: bytes) -> NDArray[np.int16]:
        """Sound of one packet; av.FFmpegError if it is damaged."""
        parts = []
        for frame in self._codec.decode(av.Packet(payload)):
            frame.pts = None
            resampled = [frame] if self._resampler is None else self._resampler.resample(frame)
            parts += [np.asarray(piece.to_ndarray()[0], dtype=np.int16) for piece in resampled]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.int16)


class AudioIngress:
    """Takes packets straight from an aiortc receiver, past its own jitter buffer and its unbounded queue.

    Decoding runs in the packet handler: 0.03 ms for 20 ms of Opus, less than a hand-over to a thread.
    """

    def __init__(self, receiver: RTCRtpReceiver, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._receiver = receiver
        self._monotonic = monotonic
        self._buffer = JitterBuffer()
        self._decoder: Decoder | None = None
        self._payload_type: int | None = None
        self._timestamp_scale = 1
        self._undecodable = 0
        self._is_open = True
        self.last_packet_s = 0.0
        """Monotonic time of the last packet; 0 before the first."""
        observe_rtp(receiver, self._on_packet, decode=False)

    @property
    def delay_ms(self) -> float:
        """Time from a packet's arrival over the fastest path to its leaving the jitter buffer."""
        return max(0.0, self._buffer.current_ms)

    @property
    def track_ended(self) -> bool:
        """True once the peer has said BYE, or its transport is lost or closed."""
        return receiver_has_ended(self._receiver)

    def pull(self) -> NDArray[np.float32]:
        """The next 20 ms, (960,) at 48 kHz mono; silence where nothing came."""
        return self._buffer.pull(self._monotonic() * 1000)

    def stats(self) -> dict[str, Any]:
        """Counters of packets and the buffer's delays in ms."""
        return {
            **asdict(self._buffer.stats),
            "undecodable": self._undecodable,
            "target_ms": round(self._buffer.target_ms, 1),
            "current_ms": round(self.delay_ms, 1),
            "stored_ms": round(self._buffer.stored_ms, 1),
        }

    def close(self) -> None:
        """Hear nothing more."""
        self._is_open = False

    def _on_packet(self, packet: RtpPacket, arrival_s: float) -> None:
        self.last_packet_s = arrival_s
        if not self._is_open or not packet.payload:
            return
        if packet.payload_type != self._payload_type:
            self._open_decoder(packet.payload_type)
        if self._decoder is None:
            self._undecodable += 1
            return
        try:
            samples = self._decoder.decode(packet.payload)
        except av.FFmpegError:
            self._undecodable += 1
            return
        # G.711's RTP clock runs at 8 kHz (RFC 3551); times 6 it wraps just where a 48 kHz clock does.
        timestamp = packet.timestamp * self._timestamp_scale & 0xFFFFFFFF
        self._buffer.push(timestamp, samples, arrival_s * 1000)

    def _open_decoder(self, payload_type: int) -> None:
        codec = codec_of(self._receiver, payload_type)
        name = codec.mimeType.split("/")[1].lower() if codec is not None else ""
        self._payload_type, self._decoder = payload_type, None
        if codec is None or name not in _DECODERS:
            logger.warning("The peer sends %s, which is not decoded here; offer Opus or G.711.", name or payload_type)
            return
        self._decoder = Decoder(name)
        self._timestamp_scale = WIRE_RATE_HZ // codec.clockRate
