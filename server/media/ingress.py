"""A peer's sound, 20 ms at a time: RTP packets -> Opus -> jitter buffer -> 48 kHz mono."""

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
from server.media.jitter import FRAME_SAMPLES, JitterBuffer
from server.media.rtc.tap import codec_of, observe_rtp

logger = logging.getLogger(__name__)
_DECODERS = {"opus": "libopus", "pcmu": "pcm_mulaw", "pcma": "pcm_alaw"}


class AudioIngress:
    """Takes packets straight from an aiortc receiver, past its own jitter buffer and its unbounded queue.

    Decoding runs in the packet handler: 0.1 ms a packet, less than a hand-over to a thread.
    """

    def __init__(self, receiver: RTCRtpReceiver, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._receiver = receiver
        self._monotonic = monotonic
        self._buffer = JitterBuffer()
        self._decoder: av.AudioCodecContext | None = None
        self._resampler = AudioResampler(format="flt", layout="mono", rate=WIRE_RATE_HZ)
        self._payload_type: int | None = None
        self._undecodable = 0
        self._is_open = True
        self.last_packet_s = 0.0
        observe_rtp(receiver, self._on_packet, decode=False)

    @property
    def delay_ms(self) -> float:
        """What the jitter buffer holds now."""
        return float(self._buffer.stored_ms)

    def pull(self) -> NDArray[np.float32]:
        """The next 20 ms, (960,) at 48 kHz mono; silence where nothing came."""
        return self._buffer.pull()

    def stats(self) -> dict[str, Any]:
        """Counters of 20 ms frames and the buffer's delays in ms."""
        return {
            **asdict(self._buffer.stats),
            "undecodable": self._undecodable,
            "target_ms": self._buffer.target_ms,
            "stored_ms": self._buffer.stored_ms,
        }

    def close(self) -> None:
        """Hear nothing more."""
        self._is_open = False

    def _on_packet(self, packet: RtpPacket, arrival_s: float) -> None:
        self.last_packet_s = arrival_s
        if not self._is_open or not packet.payload:
            return
        try:
            samples = self._decode(packet)
        except (av.FFmpegError, ValueError):
            self._undecodable += 1
            return
        arrival_ms = arrival_s * 1000
        for start in range(0, len(samples) - FRAME_SAMPLES + 1, FRAME_SAMPLES):
            timestamp = (self._wire_timestamp(packet.timestamp) + start) & 0xFFFFFFFF
            self._buffer.push(timestamp, samples[start : start + FRAME_SAMPLES], arrival_ms)

    def _wire_timestamp(self, timestamp: int) -> int:
        """The packet's time on the 48 kHz clock; G.711's runs at 8 kHz (RFC 3551)."""
        codec = codec_of(self._receiver, self._payload_type or 0)
        scale = WIRE_RATE_HZ // codec.clockRate if codec is not None else 1
        return timestamp * scale

    def _decode(self, packet: RtpPacket) -> NDArray[np.float32]:
        if self._decoder is None or packet.payload_type != self._payload_type:
            self._decoder = self._open_decoder(packet.payload_type)
        parts = []
        for frame in self._decoder.decode(av.Packet(packet.payload)):
            frame.pts = None
            parts += [np.asarray(mono.to_ndarray()[0]) for mono in self._resampler.resample(frame)]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)

    def _open_decoder(self, payload_type: int) -> av.AudioCodecContext:
        codec = codec_of(self._receiver, payload_type)
        name = codec.mimeType.split("/")[1].lower() if codec is not None else ""
        if name not in _DECODERS:
            raise ValueError(f"Payload type {payload_type} is not a codec of ours.")
        decoder = av.CodecContext.create(_DECODERS[name], "r")
        assert isinstance(decoder, av.AudioCodecContext)
        if name != "opus":
            decoder.sample_rate = 8000
            decoder.layout = "mono"
        self._payload_type = payload_type
        return decoder
