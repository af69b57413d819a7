"""ICE as a server needs it: chosen addresses, chosen ports, short waits, and a vanished peer noticed soon."""

import asyncio
import errno
import ipaddress
import logging
import random
import socket
from collections.abc import Sequence
from dataclasses import dataclass

import ifaddr
from aioice import ice, mdns, stun, turn
from aioice.candidate import Candidate, candidate_foundation, candidate_priority

from models.errors import MediaError

logger = logging.getLogger(__name__)

GATHER_LIMIT_S = 1.0
"""Longest an unreachable STUN or TURN server may hold up an offer (aioice: 5 s)."""
CONSENT_INTERVAL_S = 1.0
CONSENT_LIMIT_S = 5.0
"""Silence after which a peer counts as gone. RFC 7675 allows up to 30 s; with the check then in flight
(at most 2.7 s) a vanished client frees its session within 8 s."""


@dataclass(frozen=True)
class IceSettings:
    """Which host addresses to advertise and which UDP ports to take.

    Attributes:
        host_addresses: empty for every address of the machine but loopback. An address the machine owns is
            bound; one that it does not own (a router's or container host's) is advertised for a socket that is
            bound to all interfaces.
        port_range: lowest and highest UDP port, both included; None for any.
    """

    host_addresses: tuple[str, ...] = ()
    port_range: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        for address in self.host_addresses:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                raise MediaError(
                    f"The host address {address!r} is not an IP address; list numeric addresses, not names."
                ) from None
        if self.port_range is not None:
            low, high = self.port_range
            if not 1 <= low <= high <= 65535:
                raise MediaError(f"The UDP port range {low}-{high} is empty or outside 1-65535; give it as low, high.")


def owned_addresses() -> set[str]:
    """Every IP address of this machine, loopback included."""
    return {ip.ip if isinstance(ip.ip, str) else ip.ip[0] for adapter in ifaddr.get_adapters() for ip in adapter.ips}


def _sockets_to_bind(settings: IceSettings, default_addresses: Sequence[str]) -> list[tuple[str, str | None]]:
    """Pairs of (address to bind, address to advertise in its place or None)."""
    if not settings.host_addresses:
        return [(address, None) for address in default_addresses]
    owned = owned_addresses()
    return [
        (address, None)
        if address in owned
        else ("0.0.0.0" if ipaddress.ip_address(address).version == 4 else "::", address)
        for address in settings.host_addresses
    ]


class Connection(ice.Connection):
    """An aioice connection with :class:`IceSettings`; made by :func:`adopt_connection`, never constructed."""

    settings = IceSettings()
    _skipped_mdns = False

    async def get_component_candidates(self, component: int, addresses: list[str], timeout: int = 5) -> list[Candidate]:  # noqa: ASYNC109
        """Bind host sockets, then ask STUN and TURN for at most ``GATHER_LIMIT_S``; ``timeout`` is ignored."""
        protocols = []
        for address, advertised in _sockets_to_bind(self.settings, addresses):
            protocol = await self._bind(component, address, advertised)
            if protocol is not None:
                protocols.append(protocol)
        self._protocols += protocols
        reflexive, relayed = await asyncio.gather(
            self._reflexive_candidates(protocols), self._relayed_candidates(component)
        )
        return [protocol.local_candidate for protocol in protocols] + reflexive + relayed

    async def _relayed_candidates(self, component: int) -> list[Candidate]:
        if self.turn_server is None:
            return []
        # Without addresses the published method binds nothing and asks the TURN server alone. The limit is
        # doubled because a first allocation takes two round trips (challenge, then credentials).
        return await super().get_component_candidates(component, [], timeout=round(2 * GATHER_LIMIT_S))

    async def _reflexive_candidates(self, protocols: list[ice.StunProtocol]) -> list[Candidate]:
        if self.stun_server is None:
            return []
        queries = [
            asyncio.create_task(ice.server_reflexive_candidate(protocol, self.stun_server))
            for protocol in protocols
            if ipaddress.ip_address(protocol.local_candidate.host).version == 4
        ]
        if not queries:
            return []
        done, pending = await asyncio.wait(queries, timeout=GATHER_LIMIT_S)
        for query in pending:
            query.cancel()
        if pending:
            logger.warning("The STUN server %s:%d did not answer within %.0f s.", *self.stun_server, GATHER_LIMIT_S)
            await asyncio.wait(pending)
        return [query.result()[0] for query in done if query.exception() is None]

    async def _bind(self, component: int, address: str, advertised: str | None) -> ice.StunProtocol | None:
        """A UDP socket on ``address`` within the port range; None if the address cannot be bound at all."""
        loop = asyncio.get_running_loop()
        failure: OSError | None = None
        for port in self._ports_to_try():
            try:
                transport, protocol = await loop.create_datagram_endpoint(
                    lambda: ice.StunProtocol(self), local_addr=(address, port)
                )
                break
            except OSError as error:
                failure = error
        else:
            self._not_bound(address, failure)
            return None
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, turn.UDP_SOCKET_BUFFER_SIZE)
        host, port = transport.get_extra_info("sockname")[:2]
        host = advertised or host
        protocol.local_candidate = Candidate(
            foundation=candidate_foundation("host", "udp", host),
            component=component,
            transport="udp",
            priority=candidate_priority(component, "host"),
            host=host,
            port=port,
            type="host",
        )
        return protocol

    def _ports_to_try(self) -> list[int]:
        if self.settings.port_range is None:
            return [0]
        low, high = self.settings.port_range
        ports = list(range(low, high + 1))
        # From a random place on, so that successive sessions seldom run into a port still in use.
        first = random.randrange(len(ports))
        return ports[first:] + ports[:first]

    def _not_bound(self, address: str, failure: OSError | None) -> None:
        if self.settings.port_range is not None and failure is not None and failure.errno == errno.EADDRINUSE:
            low, high = self.settings.port_range
            raise MediaError(f"No UDP port from {low} to {high} is free on {address}; widen the port range.")
        logger.warning("Cannot bind a UDP socket to %s: %s", address, failure)

    async def add_remote_candidate(self, remote_candidate: Candidate | None) -> None:
        """Take a candidate, but leave mDNS names unresolved.

        A browser that hides its addresses behind mDNS names still sends checks to ours, and is found by them
        (peer-reflexive candidates, RFC 8445 section 7.3.1.3); resolving a name would hold up the offer by a
        second wherever multicast does not reach.
        """
        if remote_candidate is not None and mdns.is_mdns_hostname(remote_candidate.host):
            self._skipped_mdns = True
            return
        if remote_candidate is None and (self._skipped_mdns or not self._remote_candidates):
            # An end now would fail the connection before the first peer-reflexive candidate can show itself.
            return
        await super().add_remote_candidate(remote_candidate)

    async def query_consent(self) -> None:
        """Close the connection once the peer has answered no check for ``CONSENT_LIMIT_S`` (RFC 7675)."""
        if self.remote_password is None:
            raise ConnectionError("Consent checks need the remote password; start them after connect().")
        key = self.remote_password.encode()
        loop = asyncio.get_running_loop()
        answered_s = loop.time()
        while loop.time() - answered_s < CONSENT_LIMIT_S:
            await asyncio.sleep(CONSENT_INTERVAL_S * random.uniform(0.8, 1.2))
            for pair in list(self._nominated.values()):
                try:
                    # One retransmission lets a round trip last 1.5 s before a check counts as unanswered.
                    await pair.protocol.request(
                        self.build_request(pair, nominate=False),
                        pair.remote_addr,
                        integrity_key=key,
                        retransmissions=1,
                    )
                except stun.TransactionError:
                    continue
                answered_s = loop.time()
        logger.info("%s: the peer has not answered for %.0f s, closing", self, CONSENT_LIMIT_S)
        self._query_consent_task = None
        await self.close()


def adopt_connection(connection: ice.Connection, settings: IceSettings) -> None:
    """Give one aioice connection the behaviour of :class:`Connection`; must come before gathering."""
    connection.__class__ = Connection
    assert isinstance(connection, Connection)
    connection.settings = settings
