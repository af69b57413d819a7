"""Peer connections with visavis' ICE, encoders and sender reports; configuration is per connection."""

import asyncio
from collections.abc import Sequence

from aiortc import (
    MediaStreamTrack,
    RTCBundlePolicy,
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCRtpTransceiver,
)
from aiortc.rtcdtlstransport import RTCDtlsTransport

from server.media.rtc.ice import IceSettings, adopt_connection
from server.media.rtc.sender import adopt_sender

_settings = IceSettings()


def install(host_addresses: Sequence[str] = (), port_range: tuple[int, int] | None = None) -> IceSettings:
    """Set what :func:`create_peer_connection` uses when it is given no settings; call once at start-up.

    Args:
        host_addresses: numeric addresses to advertise instead of all of the machine's. Owned ones are bound
            (loopback too), others stand for a socket on all interfaces, as behind a NAT or a container's port
            mapping, which then has to keep the port numbers.
        port_range: lowest and highest UDP port, both included; a session takes one port per address.

    Returns:
        The settings; nothing in aiortc itself is changed, so there is nothing to undo.

    Raises:
        MediaError: an address is not numeric or the range is empty.
    """
    global _settings
    _settings = IceSettings(tuple(host_addresses), port_range)
    return _settings


def create_peer_connection(
    ice_servers: Sequence[RTCIceServer] = (), settings: IceSettings | None = None
) -> "PeerConnection":
    """A peer connection that uses ``ice_servers`` only (aiortc alone would add a public STUN server)."""
    return PeerConnection(ice_servers, settings or _settings)


class PeerConnection(RTCPeerConnection):
    """aiortc's peer connection whose ICE, senders and encoders are visavis' own."""

    def __init__(self, ice_servers: Sequence[RTCIceServer], settings: IceSettings) -> None:
        self._ice_settings = settings
        self._connecting: set[asyncio.Task[None]] = set()
        super().__init__(RTCConfiguration(iceServers=list(ice_servers), bundlePolicy=RTCBundlePolicy.MAX_BUNDLE))

    async def close(self) -> None:
        """Close, and end the attempts to connect, which aiortc leaves waiting for good."""
        await super().close()
        for task in self._connecting:
            task.cancel()
        await asyncio.gather(*self._connecting, return_exceptions=True)

    async def _RTCPeerConnection__connect(self) -> None:  # noqa: N802
        task = asyncio.current_task()
        assert task is not None
        self._connecting.add(task)
        try:
            await super()._RTCPeerConnection__connect()  # type: ignore[misc]
        finally:
            self._connecting.discard(task)

    def _RTCPeerConnection__createDtlsTransport(self) -> RTCDtlsTransport:  # noqa: N802
        transport: RTCDtlsTransport = super()._RTCPeerConnection__createDtlsTransport()  # type: ignore[misc]
        adopt_connection(transport.transport._connection, self._ice_settings)
        return transport

    def _RTCPeerConnection__createTransceiver(  # noqa: N802
        self, direction: str, kind: str, sender_track: MediaStreamTrack | None = None
    ) -> RTCRtpTransceiver:
        transceiver: RTCRtpTransceiver = super()._RTCPeerConnection__createTransceiver(  # type: ignore[misc]
            direction=direction, kind=kind, sender_track=sender_track
        )
        adopt_sender(transceiver.sender)
        return transceiver
