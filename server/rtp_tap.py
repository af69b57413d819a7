"""A tap on the RTP and RTCP a peer connection receives, which leaves decoding out.

The tap takes the place of the receiver's jitter buffer. What an ordinary receiver does before it goes on
as usual: statistics, receiver reports, bandwidth estimates, retransmission and key frame requests. No frame
comes out of it, so nothing is decoded.
"""

import time
from collections.abc import Callable
from typing import Any

from aiortc.jitterbuffer import JitterBuffer, JitterFrame
from aiortc.rtcrtpreceiver import RTCRtpReceiver
from aiortc.rtp import AnyRtcpPacket, RtcpSrPacket, RtpPacket

_JITTER_BUFFER = "_RTCRtpReceiver__jitter_buffer"
_CAPACITY = 512
"""Packets; what an ordinary video receiver waits through before it asks for a key frame."""
NTP_FRACTION = 1 << 32


class RtpTap(JitterBuffer):
    """Hands each media packet on in the instant it arrives."""

    def __init__(
        self,
        receiver: RTCRtpReceiver,
        video: bool,
        on_packet: Callable[[RtpPacket, float], None],
        on_report: Callable[[float, int], None],
        on_frame: Callable[[JitterFrame], None] | None = None,
    ) -> None:
        """Attach to ``receiver`` before its connection is up.

        ``on_packet(packet, monotonic seconds)``: retransmissions come as the packet they repeat.
        ``on_report(NTP seconds, RTP timestamp)``: one RTCP sender report.
        ``on_frame(frame)``: the encoded video frame, complete; its ``timestamp`` is the RTP timestamp.
        """
        if not hasattr(receiver, _JITTER_BUFFER):
            raise RuntimeError("This aiortc has no receiver jitter buffer to tap; install aiortc 1.14 to 1.16.")
        self._video = video
        super().__init__(capacity=_CAPACITY, is_video=True)
        self._on_packet = on_packet
        self._on_frame = on_frame
        handle_rtcp = receiver._handle_rtcp_packet

        async def tap_rtcp(packet: AnyRtcpPacket) -> None:
            # A report sent before the first packet says nothing.
            if isinstance(packet, RtcpSrPacket) and packet.sender_info.ntp_timestamp:
                info = packet.sender_info
                on_report(info.ntp_timestamp / NTP_FRACTION, info.rtp_timestamp)
            await handle_rtcp(packet)

        setattr(receiver, "_handle_rtcp_packet", tap_rtcp)  # noqa: B010
        setattr(receiver, _JITTER_BUFFER, self)

    def add(self, packet: RtpPacket) -> tuple[bool, Any]:
        """Called by the receiver with each packet; returns whether to ask for a key frame, and no frame."""
        self._on_packet(packet, time.monotonic())
        if not self._video:
            return False, None
        wants_key_frame, frame = super().add(packet)
        if frame is not None and self._on_frame is not None:
            self._on_frame(frame)
        return wants_key_frame, None
