"""A tap on incoming RTP, at the point where retransmissions are unwrapped and RTCP feedback is already done."""

import time
from collections.abc import Callable

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtp import RtpPacket

from server.media.rtc.private import get_private, set_private

RtpCallback = Callable[[RtpPacket, float], None]


class _Tap:
    """Stands in for a receiver's jitter buffer: shows each packet to a callback and may keep frames back."""

    def __init__(self, inner: JitterBuffer, callback: RtpCallback, decode: bool, keep: bool) -> None:
        self._inner = inner
        self._callback = callback
        self._decode = decode
        self._keep = keep

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Called by aiortc per packet; returns (send a PLI, frame to decode or None)."""
        self._callback(packet, time.monotonic())
        if not self._keep:
            return False, None
        wants_key_frame, frame = self._inner.add(packet)
        return wants_key_frame, frame if self._decode else None


def observe_rtp(receiver: RTCRtpReceiver, callback: RtpCallback, *, decode: bool = True) -> None:
    """Call ``callback(packet, arrival_monotonic_s)`` for every RTP packet of a negotiated codec.

    Retransmissions (RTX) come unwrapped, with their original sequence number. ``packet.payload`` is as it was
    sent, ``packet.payload_type`` tells the codec (:func:`codec_of`). With ``decode=False`` nothing reaches
    aiortc's decoder and ``receiver.track`` never yields a frame, while receiver reports, NACK, REMB and PLI go
    on. Several observers may be stacked. The callback runs on the event loop and must be quick.
    """
    inner = get_private(receiver, RTCRtpReceiver, "jitter_buffer")
    # Sound needs no key frames: when it is not decoded, aiortc's own buffer is left out altogether.
    keep = decode or isinstance(inner, _Tap) or get_private(receiver, RTCRtpReceiver, "kind") == "video"
    set_private(receiver, RTCRtpReceiver, "jitter_buffer", _Tap(inner, callback, decode, keep))


def codec_of(receiver: RTCRtpReceiver, payload_type: int) -> RTCRtpCodecParameters | None:
    """The negotiated codec of an RTP payload type, None if it was not negotiated."""
    codecs: dict[int, RTCRtpCodecParameters] = get_private(receiver, RTCRtpReceiver, "codecs")
    return codecs.get(payload_type)


def receiver_has_ended(receiver: RTCRtpReceiver) -> bool:
    """True once the sender has said BYE, or the transport is lost or closed."""
    if receiver.transport.state in ("closed", "failed"):
        return True
    started: bool = get_private(receiver, RTCRtpReceiver, "started")
    # aiortc ends the decoder thread when the stream ends, whatever the reason.
    return started and get_private(receiver, RTCRtpReceiver, "decoder_thread") is None
