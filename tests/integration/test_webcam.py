"""A camera's pictures over loopback: the latest wins, and the session says what becomes of the face."""

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import cv2
import numpy as np
from aiohttp.test_utils import TestServer
from aiortc import MediaStreamTrack

from models.avatar import load_avatar
from server.media.webcam import LatestSlot, Webcam
from tests.integration.test_server import Peer, get, wait_for_no_session

ADA = Path(__file__).parents[2] / "models" / "assets" / "avatars" / "ada"


class Camera(MediaStreamTrack):
    """Shows one picture, 10 times a second."""

    kind = "video"

    def __init__(self, picture: np.ndarray, interval_s: float = 0.1) -> None:
        super().__init__()
        self.picture = picture
        self._interval_s = interval_s
        self._sent = 0

    async def recv(self) -> av.VideoFrame:
        await asyncio.sleep(self._interval_s)
        frame = av.VideoFrame.from_ndarray(self.picture, format="rgb24")
        frame.pts, frame.time_base = self._sent * 9000, Fraction(1, 90_000)
        self._sent += 1
        return frame


async def test_the_slot_keeps_the_latest_and_counts_the_others() -> None:
    slot: LatestSlot[int] = LatestSlot()
    for value in (1, 2, 3):
        slot.put(value)
    assert (await slot.take(), slot.replaced) == (3, 2)
    waiting = asyncio.create_task(slot.take())
    await asyncio.sleep(0)
    assert not waiting.done()
    slot.put(4)
    assert (await waiting, slot.replaced) == (4, 2)


async def test_a_slow_look_skips_pictures_and_survives_a_bad_one() -> None:
    looks: list[int] = []

    async def look(picture: np.ndarray) -> None:
        looks.append(int(picture[0, 0, 0]))
        await asyncio.sleep(0.1)
        if len(looks) == 1:
            raise ValueError("one bad picture")

    webcam = Webcam(Camera(np.full((64, 64, 3), 200, np.uint8), interval_s=0.01), look)
    async with asyncio.timeout(10):
        while len(looks) < 3:  # noqa: ASYNC110 - seen from outside, as by a client
            await asyncio.sleep(0.02)
    stats, fault = webcam.stats(), webcam.fault
    await webcam.aclose()
    assert stats["replaced"] > 0
    assert stats["shown"] + stats["replaced"] < stats["received"]
    assert fault is None, "mended by the next picture"


async def until_face(server: TestServer, peer: Peer, *states: str) -> dict[str, Any]:
    async with asyncio.timeout(30):
        while True:
            _, body = await get(server, f"/sessions/{peer.session_id}")
            if body["webcam"] and body["webcam"]["face"] in states:
                return dict(body)
            await asyncio.sleep(0.1)


async def test_a_face_before_the_camera_moves_the_portrait(portraits: TestServer) -> None:
    face = cv2.resize(load_avatar(ADA).frame_rgb(0), (320, 320))
    camera = Camera(np.asarray(face, np.uint8))
    peer = Peer(portraits)
    peer.pc.getTransceivers()[1].sender.replaceTrack(camera)
    peer.pc.getTransceivers()[1].direction = "sendrecv"
    try:
        await peer.connect()
        body = await until_face(portraits, peer, "following")
        assert body["engine"] == "liveportrait"
        assert body["webcam"]["shown"] > 0
        async with aiohttp.ClientSession() as http:
            url = portraits.make_url(f"/sessions/{peer.session_id}/neutral")
            async with http.post(url) as response:
                assert response.status == 200
                assert "face" in await response.json()
        camera.picture = np.full((320, 320, 3), 90, np.uint8)
        await until_face(portraits, peer, "holding", "idle")
        await until_face(portraits, peer, "idle")
        async with asyncio.timeout(20):
            assert (await peer.tracks["video"].recv()).width == 512
    finally:
        camera.stop()
        await peer.close()
    await wait_for_no_session(portraits, within_s=10)


async def test_without_a_camera_or_an_engine_that_watches_there_is_no_neutral(server: TestServer) -> None:
    peer = Peer(server)
    try:
        await peer.connect()
        assert (await get(server, f"/sessions/{peer.session_id}"))[1]["webcam"] is None
        async with aiohttp.ClientSession() as http:
            async with http.post(server.make_url(f"/sessions/{peer.session_id}/neutral")) as response:
                assert response.status == 409
                assert "camera" in (await response.json())["error"]
            async with http.post(server.make_url("/sessions/none/neutral")) as response:
                assert response.status == 404
    finally:
        await peer.close()
