"""The whole server over loopback with real aiortc peers."""

import asyncio
from fractions import Fraction
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiohttp.test_utils import TestServer
from aiortc import MediaStreamTrack, RTCSessionDescription

from server.media import rtc
from server.media.rtc.ice import IceSettings

LOOPBACK = IceSettings(host_addresses=("127.0.0.1",))


class Tone(MediaStreamTrack):
    """A 220 Hz tone, in real time."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__()
        self._start_s: float | None = None
        self._sent = 0

    async def recv(self) -> av.AudioFrame:
        loop = asyncio.get_running_loop()
        self._start_s = loop.time() if self._start_s is None else self._start_s
        await asyncio.sleep(max(0.0, self._start_s + self._sent / 48_000 - loop.time()))
        wave = 8000 * np.sin(2 * np.pi * 220 * (self._sent + np.arange(960)) / 48_000)
        frame = av.AudioFrame.from_ndarray(wave.astype(np.int16)[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, self._sent, Fraction(1, 48_000)
        self._sent += 960
        return frame


class Peer:
    """A client that sends a tone and keeps what comes back."""

    def __init__(self, server: TestServer) -> None:
        self.url = str(server.make_url("/"))
        self.pc = rtc.create_peer_connection(settings=LOOPBACK)
        self.tracks: dict[str, MediaStreamTrack] = {}
        self.pc.on("track", lambda track: self.tracks.__setitem__(track.kind, track))
        self.tone = Tone()
        self.pc.addTrack(self.tone)
        self.pc.addTransceiver("video", direction="recvonly")
        self.session_id = ""

    async def connect(self, **extra: Any) -> dict[str, Any]:
        await self.pc.setLocalDescription(await self.pc.createOffer())
        offer = {"sdp": self.pc.localDescription.sdp, "type": "offer", **extra}
        async with aiohttp.ClientSession() as http, http.post(self.url + "offer", json=offer) as response:
            body: dict[str, Any] = await response.json()
            assert response.status == 200, body
        self.session_id = body["session_id"]
        await self.pc.setRemoteDescription(RTCSessionDescription(body["sdp"], "answer"))
        return body

    async def close(self) -> None:
        self.tone.stop()
        await self.pc.close()


async def get(server: TestServer, path: str) -> Any:
    async with aiohttp.ClientSession() as http, http.get(server.make_url(path)) as response:
        return response.status, await response.json()


async def wait_for_no_session(server: TestServer, within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while (await get(server, "/sessions"))[1]["sessions"]:  # noqa: ASYNC110 - the server is asked, as a client would
            await asyncio.sleep(0.1)


async def wait_for_delay(server: TestServer, peer: Peer, at_most_ms: float, within_s: float) -> None:
    """A start that stutters lengthens the jitter buffer, as it should; steady sound must shorten it again."""
    async with asyncio.timeout(within_s):
        while (await get(server, f"/sessions/{peer.session_id}"))[1]["delay_ms"]["total"] > at_most_ms:
            await peer.tracks["audio"].recv()


async def test_sound_and_face_come_back(server: TestServer) -> None:
    peer = Peer(server)
    try:
        await peer.connect()
        async with asyncio.timeout(10):
            pictures = [await peer.tracks["video"].recv() for _ in range(25)]
            loudest = 0
            while loudest < 4000:
                loudest = max(loudest, int(np.abs((await peer.tracks["audio"].recv()).to_ndarray()).max()))
        last = pictures[-1].to_ndarray(format="rgb24")
        first = pictures[0].to_ndarray(format="rgb24")
        assert last.shape == (512, 512, 3)
        # The probe paints the mouth by loudness: silence shows the idle face, the tone a flat light grey.
        assert np.abs(last[340:380, 230:280].astype(int) - first[340:380, 230:280]).mean() > 10
        status, body = await get(server, f"/sessions/{peer.session_id}")
        assert status == 200
        assert body["state"] == "connected"
        await wait_for_delay(server, peer, at_most_ms=250, within_s=20)
    finally:
        await peer.close()
    await wait_for_no_session(server, within_s=10)


async def test_delete_ends_the_session(server: TestServer) -> None:
    peer = Peer(server)
    try:
        await peer.connect(avatar="disc", engine="probe")
        async with aiohttp.ClientSession() as http:
            async with http.delete(server.make_url(f"/sessions/{peer.session_id}")) as response:
                assert response.status == 204
            async with http.delete(server.make_url(f"/sessions/{peer.session_id}")) as response:
                assert response.status == 404
    finally:
        await peer.close()


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ("", 400),
        ("[]", 400),
        ('{"sdp": 3, "type": "offer"}', 400),
        ('{"sdp": "", "type": "offer"}', 400),
        ('{"sdp": "v=0", "type": "answer"}', 400),
        ('{"sdp": "nonsense", "type": "offer"}', 400),
        ('{"sdp": "v=0\\r\\no=- 1 1 IN IP4 127.0.0.1\\r\\ns=-\\r\\nt=0 0\\r\\n", "type": "offer"}', 400),
        ("x" * 100_000, 413),
    ],
)
async def test_a_bad_offer_is_refused_with_a_sentence(server: TestServer, body: str, status: int) -> None:
    async with aiohttp.ClientSession() as http, http.post(server.make_url("/offer"), data=body) as response:
        assert response.status == status
        assert len((await response.json())["error"]) > 20


async def test_200_bad_offers_then_a_good_one(server: TestServer) -> None:
    probe = Peer(server)
    await probe.pc.setLocalDescription(await probe.pc.createOffer())
    whole = probe.pc.localDescription.sdp
    await probe.close()
    lines = whole.splitlines(keepends=True)
    async with aiohttp.ClientSession() as http:
        for index in range(200):
            # Partial offers of every length; those without ICE or DTLS lines get furthest into the server.
            kept = [line for line in lines if "fingerprint" not in line and "ice-" not in line]
            sdp = "".join(kept[: 1 + index * len(kept) // 200])
            async with http.post(server.make_url("/offer"), json={"sdp": sdp, "type": "offer"}) as response:
                assert response.status == 400, await response.text()
    assert (await get(server, "/sessions"))[1]["sessions"] == []
    peer = Peer(server)
    try:
        await peer.connect()
        async with asyncio.timeout(5):
            await peer.tracks["video"].recv()
    finally:
        await peer.close()


async def test_unknown_names_and_a_full_server(server: TestServer) -> None:
    peers = []
    try:
        for key in ("avatar", "engine"):
            peer = Peer(server)
            peers.append(peer)
            with pytest.raises(AssertionError, match="choose one of"):
                await peer.connect(**{key: "nobody"})
        for _ in range(8):
            peers.append(Peer(server))
            await peers[-1].connect()
        assert (await get(server, "/readyz"))[0] == 503
        peers.append(Peer(server))
        with pytest.raises(AssertionError, match="taken"):
            await peers[-1].connect()
    finally:
        for peer in peers:
            await peer.close()
