"""RTP senders whose reports speak of media time and whose encoders are visavis' own."""

import math

import av
import numpy as np
from aiortc import RTCRtpSender
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from aiortc.rtcrtpsender import RTCEncodedFrame
from aiortc.rtp import RtcpSdesPacket, RtcpSenderInfo, RtcpSourceInfo, RtcpSrPacket

from server.media.clock import MediaClock
from server.media.rtc.encoders import create_encoder
from server.media.rtc.private import get_private, set_private

CNAME_ITEM = 1
"""SDES item type of the canonical name (RFC 3550 section 6.5.1)."""


class Sender(RTCRtpSender):
    """An aiortc sender adopted by :func:`adopt_sender`, never constructed.

    aiortc notes the wall clock whenever it has sent a packet and puts that beside the packet's RTP timestamp in
    the next report. The property below stands in for that note, so the report pairs the RTP timestamp with the
    NTP time of the media instant it stands for.
    """

    media_clock: MediaClock | None = None
    _clock_rate_hz = 0
    _encoded_ticks = 0
    _sent_ticks: int | None = None
    _sent_ntp = 0
    _reported = False

    @property
    def _RTCRtpSender__ntp_timestamp(self) -> int:  # noqa: N802
        if self.media_clock is None or self._sent_ticks is None:
            return self._sent_ntp
        return self.media_clock.ntp_time(self._sent_ticks / self._clock_rate_hz)

    @_RTCRtpSender__ntp_timestamp.setter
    def _RTCRtpSender__ntp_timestamp(self, sent_ntp: int) -> None:  # noqa: N802
        self._sent_ntp = sent_ntp
        self._sent_ticks = self._encoded_ticks

    async def _next_encoded_frame(self, codec: RTCRtpCodecParameters) -> RTCEncodedFrame | None:
        if get_private(self, RTCRtpSender, "encoder") is None:
            set_private(self, RTCRtpSender, "encoder", create_encoder(codec))
        if self._sent_ticks is not None and not self._reported:
            # aiortc's first report comes after 0.5 to 1.5 s, and until then a browser cannot align sound and
            # picture. RFC 3550 section 6.2 lets a unicast session report at once.
            self._reported = True
            await self._send_report()
        self._clock_rate_hz = codec.clockRate
        frame: RTCEncodedFrame | None
        frame = await (self._next_sound() if self.kind == "audio" else super()._next_encoded_frame(codec))
        if frame is not None:
            self._encoded_ticks = frame.timestamp
        return frame

    async def _next_sound(self) -> RTCEncodedFrame | None:
        """Encode 20 ms here: 0.3 ms, less than aiortc's hand-over to a thread and its loudness in plain Python."""
        sound = await get_private(self, RTCRtpSender, "track").recv()
        if not self._enabled:
            return None
        payloads, timestamp = get_private(self, RTCRtpSender, "encoder").encode(sound)
        return RTCEncodedFrame(payloads, timestamp, level_dbov(sound)) if payloads else None

    async def _send_report(self) -> None:
        ntp_timestamp = self._RTCRtpSender__ntp_timestamp
        report = RtcpSrPacket(
            ssrc=self._ssrc,
            sender_info=RtcpSenderInfo(
                ntp_timestamp=ntp_timestamp,
                rtp_timestamp=get_private(self, RTCRtpSender, "rtp_timestamp"),
                packet_count=get_private(self, RTCRtpSender, "packet_count") & 0xFFFFFFFF,
                octet_count=get_private(self, RTCRtpSender, "octet_count") & 0xFFFFFFFF,
            ),
        )
        cname: str = get_private(self, RTCRtpSender, "cname")
        name = RtcpSourceInfo(ssrc=self._ssrc, items=[(CNAME_ITEM, cname.encode())])
        await self._send_rtcp([report, RtcpSdesPacket(chunks=[name])])


def level_dbov(sound: av.AudioFrame) -> int:
    """Level of a 16 bit frame, -127 to 0 dBov (RFC 6465 appendix A)."""
    samples = sound.to_ndarray().astype(np.float64)
    mean_square = float(np.mean(np.square(samples))) / 32767**2
    return round(max(-127.0, min(0.0, 10 * math.log10(mean_square)))) if mean_square > 0 else -127


def adopt_sender(sender: RTCRtpSender) -> Sender:
    """Give one aiortc sender the behaviour of :class:`Sender`; must come before it starts to send."""
    if not isinstance(sender, Sender):
        # The note in the instance would hide nothing (a property wins over it) but would mislead a reader.
        sender.__dict__.pop("_RTCRtpSender__ntp_timestamp")
        sender.__class__ = Sender
    assert isinstance(sender, Sender)
    return sender


def bind_sender_clock(sender: RTCRtpSender, media_clock: MediaClock) -> None:
    """Make ``sender``'s reports map RTP timestamps to ``media_clock``'s NTP time.

    The track's frames must carry a pts in media time (pts times time base = seconds since the clock's origin).
    Bind both senders of a session to one clock, before negotiation ends.
    """
    adopt_sender(sender).media_clock = media_clock
