"""Every patch to aiortc and aioice: nothing outside this package touches their private parts.

aiortc has no hooks for most of what is needed here, so single objects are given a subclass of their own class
(``peer``, ``ice``, ``sender``) or one of their parts is replaced (``tap``). Nothing is changed globally: a plain
``aiortc.RTCPeerConnection`` in the same process behaves as published. ``tests/integration/test_rtc.py`` holds
real peers against each other and fails when aiortc changes underneath.
"""

from server.media.rtc.ice import IceSettings
from server.media.rtc.peer import PeerConnection, create_peer_connection, install
from server.media.rtc.sender import bind_sender_clock
from server.media.rtc.tap import observe_rtp, receiver_has_ended
from server.media.rtc.warmup import warm_up_codecs

__all__ = [
    "IceSettings",
    "PeerConnection",
    "bind_sender_clock",
    "create_peer_connection",
    "install",
    "observe_rtp",
    "receiver_has_ended",
    "warm_up_codecs",
]
