"""Real aiortc peers on loopback: each test here fails if aiortc or aioice changes under a patch of ours."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest
from aiortc import MediaStreamTrack, RTCIceServer, RTCRtpReceiver
from aiortc.codecs.vpx import vp8_depayload
from aiortc.rtp import RtcpSrPacket, RtpPacket
from aiortc.sdp import SessionDescription

from models.errors import MediaError
from server.media import rtc
from server.media.clock import MediaClock
from server.media.ingress import AudioIngress
from server.media.rtc import ice
from server.media.rtc.encoders import OpusSpeechEncoder, Vp8HeadEncoder
from server.media.rtc.private import get_private
from server.media.rtc.sender import Sender
from server.media.tracks import PictureTrack, SoundTrack

LOOPBACK = rtc.IceSettings(host_addresses=("127.0.0.1",))
SIDE_PX = 64


def open_sockets() -> int:
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    return sum(link.is_symlink() and os.readlink(link).startswith("socket:") for link in links)


def grey(index: int) -> np.ndarray:
    return np.full((SIDE_PX * 3 // 2, SIDE_PX), 60 + index % 100, dtype=np.uint8)


class Call:
    """``caller`` sends sound and picture on one media clock that began at ``first_tick``; ``callee`` hears."""

    def __init__(self, settings: rtc.IceSettings = LOOPBACK, first_tick: int = 0) -> None:
        self.caller = rtc.create_peer_connection(settings=settings)
        self.callee = rtc.create_peer_connection(settings=settings)
        self.sound, self.picture = SoundTrack(), PictureTrack()
        self.clock = MediaClock(wall=lambda: time.time() - 1000.0)
        self.senders = {t.kind: self.caller.addTrack(t) for t in (self.sound, self.picture)}
        for sender in self.senders.values():
            rtc.bind_sender_clock(sender, self.clock)
        self.tick = first_tick
        self.on_track: Callable[[RTCRtpReceiver], None] = lambda receiver: None
        self.callee.on("track", self._on_track)

    def _on_track(self, track: MediaStreamTrack) -> None:
        self.on_track(next(r for r in self.callee.getReceivers() if r.track is track))

    async def connect(self) -> None:
        await self.caller.setLocalDescription(await self.caller.createOffer())
        await self.callee.setRemoteDescription(self.caller.localDescription)
        await self.callee.setLocalDescription(await self.callee.createAnswer())
        await self.caller.setRemoteDescription(self.callee.localDescription)
        async with asyncio.timeout(10):
            while {self.caller.connectionState, self.callee.connectionState} != {"connected"}:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def talk(self, seconds: float, each: Callable[[], None] = lambda: None) -> None:
        """Send a 440 Hz tone and 25 pictures a second in real time; ``each`` is called every 20 ms."""
        start_s = time.monotonic()
        for step in range(round(seconds * 50)):
            t = (self.tick * 960 + np.arange(960)) / 48_000
            self.sound.put_samples(self.tick, (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32))
            if self.tick % 2 == 0:
                self.picture.put_picture(self.tick, grey(self.tick))
            self.tick += 1
            await asyncio.sleep(max(0.0, start_s + (step + 1) * 0.02 - time.monotonic()))
            each()

    async def close(self) -> None:
        self.sound.stop()
        self.picture.stop()
        await asyncio.gather(self.caller.close(), self.callee.close())


@asynccontextmanager
async def call(settings: rtc.IceSettings = LOOPBACK, first_tick: int = 0) -> AsyncIterator[Call]:
    made = Call(settings, first_tick)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """No task, socket or thread outlives a test (the executor's idle workers are reused and excepted)."""
    tasks, sockets = asyncio.all_tasks(), open_sockets()
    threads = set(threading.enumerate())
    yield
    await asyncio.sleep(0.05)
    assert {task for task in asyncio.all_tasks() - tasks if task is not asyncio.current_task()} == set()
    assert open_sockets() == sockets
    left = [t for t in set(threading.enumerate()) - threads if not t.name.startswith("asyncio_")]
    assert not left


def drop(receiver: RTCRtpReceiver, is_lost: Callable[[RtpPacket], bool]) -> None:
    """Lose packets on their way into ``receiver``."""
    handle = receiver._handle_rtp_packet

    async def lossy(packet: RtpPacket, arrival_time_ms: int) -> None:
        if not is_lost(packet):
            await handle(packet, arrival_time_ms=arrival_time_ms)

    receiver._handle_rtp_packet = lossy  # type: ignore[method-assign]


async def test_one_lost_packet_does_not_lengthen_the_delay() -> None:
    heard: list[AudioIngress] = []
    seen: list[int] = []

    def is_lost(packet: RtpPacket) -> bool:
        seen.append(packet.sequence_number)
        return len(seen) == 60

    def listen(receiver: RTCRtpReceiver) -> None:
        if receiver.track.kind == "audio":
            drop(receiver, is_lost)
            heard.append(AudioIngress(receiver))

    async with call() as made:
        made.on_track = listen
        await made.connect()
        delays: list[float] = []
        blocks: list[np.ndarray] = []

        def tick() -> None:
            blocks.append(heard[0].pull())
            delays.append(heard[0].delay_ms)

        await made.talk(2.6, tick)
        assert len(seen) > 100
        before, after = max(delays[25:50]), max(delays[-30:])
        assert after <= before + 20.0
        assert after <= 60.0
        assert all(block.shape == (960,) for block in blocks)
        assert np.abs(np.concatenate(blocks[-20:])).max() == pytest.approx(0.3, abs=0.1)
        assert not rtc.receiver_has_ended(made.callee.getReceivers()[0])
        assert time.monotonic() - heard[0].last_packet_s < 0.5
    assert rtc.receiver_has_ended(made.callee.getReceivers()[0])


async def test_reports_map_sound_and_picture_to_one_media_clock() -> None:
    packets: dict[str, list[RtpPacket]] = {"audio": [], "video": []}
    reports: dict[int, list[RtcpSrPacket]] = {}
    arrived: dict[int, float] = {}

    def listen(receiver: RTCRtpReceiver) -> None:
        kind = receiver.track.kind
        rtc.observe_rtp(receiver, lambda packet, _: packets[kind].append(packet), decode=False)
        handle = receiver._handle_rtcp_packet

        async def note(packet: object) -> None:
            if isinstance(packet, RtcpSrPacket):
                reports.setdefault(packet.ssrc, []).append(packet)
                arrived.setdefault(packet.ssrc, time.monotonic())
            await handle(packet)  # type: ignore[arg-type]

        receiver._handle_rtcp_packet = note  # type: ignore[method-assign]

    # The first frame is at tick 100: media second 2.
    async with call(first_tick=100) as made:
        made.on_track = listen
        await made.connect()
        begun_s = time.monotonic()
        await made.talk(2.0)
        for kind, rate in (("audio", 48_000), ("video", 90_000)):
            first = packets[kind][0]
            told = [r.sender_info for r in reports[first.ssrc] if r.sender_info.packet_count]
            assert len(told) >= 2, kind
            assert arrived[first.ssrc] - begun_s < 0.3, "the first report comes with the first frames"
            for info in told:
                since_first_s = ((info.rtp_timestamp - first.timestamp) & 0xFFFFFFFF) / rate
                assert info.ntp_timestamp == pytest.approx(made.clock.ntp_time(2.0 + since_first_s), abs=1 << 22)
        lines = SessionDescription.parse(made.caller.localDescription.sdp).media
        assert len({media.msid.split()[0] for media in lines}) == 1
        assert len({ssrc.cname for media in lines for ssrc in media.ssrc}) == 1


async def test_without_decoding_feedback_goes_on_and_nothing_reaches_the_track() -> None:
    seen: list[RtpPacket] = []
    receivers: list[RTCRtpReceiver] = []
    lost: set[int] = set()

    def is_lost(packet: RtpPacket) -> bool:
        if packet.payload_type == seen_type and len(seen) == 10 and not lost:
            lost.add(packet.sequence_number)
            return True
        return False

    seen_type = 0

    def listen(receiver: RTCRtpReceiver) -> None:
        nonlocal seen_type
        if receiver.track.kind == "video":
            receivers.append(receiver)
            seen_type = made.callee.getTransceivers()[1]._codecs[0].payloadType
            drop(receiver, is_lost)
            rtc.observe_rtp(receiver, lambda packet, _: seen.append(packet), decode=False)

    async with call() as made:
        made.on_track = listen
        await made.connect()
        await made.talk(2.0)
        assert lost <= {packet.sequence_number for packet in seen}, "the lost packet came again on NACK, unwrapped"
        assert len(lost) == 1
        assert receivers[0].track._queue.empty()
        stats = await made.senders["video"].getStats()
        assert any(report.type == "remote-inbound-rtp" for report in stats.values()), "receiver reports arrive"
        # A key frame on request, from plain yuv420p frames.
        del seen[:]
        await receivers[0]._send_rtcp_pli(made.senders["video"]._ssrc)
        await made.talk(0.5)
        starts = [packet for packet in seen if packet.payload[0] & 0x10]
        key_frames = [packet for packet in starts if not vp8_depayload(packet.payload)[0] & 1]
        assert len(key_frames) == 1


async def candidates(peer: rtc.PeerConnection) -> list[tuple[str, int]]:
    peer.addTransceiver("audio")
    await peer.setLocalDescription(await peer.createOffer())
    found = SessionDescription.parse(peer.localDescription.sdp).media[0].ice_candidates
    return [(candidate.ip, candidate.port) for candidate in found if candidate.type == "host"]


async def test_listed_addresses_are_bound_or_advertised_and_ports_kept_in_range() -> None:
    settings = rtc.IceSettings(host_addresses=("127.0.0.1", "203.0.113.7"), port_range=(47310, 47311))
    first, second = (rtc.create_peer_connection(settings=settings) for _ in range(2))
    try:
        found = await candidates(first)
        assert [address for address, _ in found] == ["127.0.0.1", "203.0.113.7"]
        assert {port for _, port in found} <= {47310, 47311}
    finally:
        await first.close()
        await second.close()


async def test_a_full_port_range_is_an_error_that_says_so() -> None:
    settings = rtc.IceSettings(host_addresses=("127.0.0.1",), port_range=(47312, 47312))
    first, second = (rtc.create_peer_connection(settings=settings) for _ in range(2))
    try:
        assert await candidates(first) == [("127.0.0.1", 47312)]
        with pytest.raises(MediaError, match="widen the port range"):
            await candidates(second)
    finally:
        await first.close()
        await second.close()


@pytest.mark.parametrize(("addresses", "ports"), [(("localhost",), None), ((), (5000, 4000)), ((), (0, 10))])
def test_settings_that_cannot_be_are_refused(addresses: tuple[str, ...], ports: tuple[int, int] | None) -> None:
    with pytest.raises(MediaError):
        rtc.install(addresses, ports)


@pytest.fixture
def restored() -> Iterator[None]:
    yield
    rtc.install()


@pytest.mark.usefixtures("restored")
async def test_installed_settings_are_the_default() -> None:
    rtc.install(["127.0.0.1"], (47313, 47320))
    peer = rtc.create_peer_connection()
    try:
        [(address, port)] = await candidates(peer)
        assert (address, port in range(47313, 47321)) == ("127.0.0.1", True)
    finally:
        await peer.close()


async def test_a_silent_stun_server_holds_up_an_offer_by_a_second_at_most() -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(asyncio.DatagramProtocol, local_addr=("127.0.0.1", 0))
    port = transport.get_extra_info("sockname")[1]
    peer = rtc.create_peer_connection([RTCIceServer(f"stun:127.0.0.1:{port}")], LOOPBACK)
    try:
        begun_s = time.monotonic()
        assert await candidates(peer)
        assert 0.5 < time.monotonic() - begun_s < 1.6
    finally:
        await peer.close()
        transport.close()


async def test_a_vanished_peer_is_noticed_within_eight_seconds() -> None:
    async with call() as made:
        await made.connect()
        for protocol in made.callee.getReceivers()[0].transport.transport._connection._protocols:
            # Neither a BYE nor a DTLS alert nor an answer: as when a laptop is shut.
            protocol.transport.sendto = lambda *args: None  # type: ignore[method-assign]
            protocol.datagram_received = lambda *args: None  # type: ignore[method-assign]
        begun_s = time.monotonic()
        async with asyncio.timeout(10):
            while made.caller.connectionState == "connected":  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert ice.CONSENT_LIMIT_S - 1.5 < time.monotonic() - begun_s < 8.0


async def test_closing_ends_the_wait_for_a_peer_that_never_came() -> None:
    caller, callee = (rtc.create_peer_connection(settings=LOOPBACK) for _ in range(2))
    caller.addTransceiver("audio")
    await caller.setLocalDescription(await caller.createOffer())
    await callee.setRemoteDescription(caller.localDescription)
    await caller.close()
    await callee.setLocalDescription(await callee.createAnswer())
    await asyncio.sleep(0.3)
    assert callee.connectionState == "connecting"
    # The fixture sees whether anything is left.
    await callee.close()


async def test_every_sender_has_our_encoders_bound_to_a_clock_or_not() -> None:
    peer = rtc.create_peer_connection(settings=LOOPBACK)
    assert isinstance(peer.addTransceiver("audio").sender, Sender)
    assert isinstance(peer.addTrack(PictureTrack()), Sender)
    await peer.close()


async def test_our_encoders_are_the_ones_in_use() -> None:
    async with call() as made:
        await made.connect()
        await made.talk(0.3)
        used = {kind: type(get_private(s, type(s).__mro__[1], "encoder")) for kind, s in made.senders.items()}
        assert used == {"audio": OpusSpeechEncoder, "video": Vp8HeadEncoder}
