"""Live sessions that are recorded and rendered again, with real aiortc peers."""

import asyncio
import io
import json
import os
import shutil
import time
from collections.abc import AsyncIterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import aiohttp
import av
import numpy as np
import pytest
from aiohttp.test_utils import TestServer

from models.avatar import load_avatar
from models.registry import load_engine
from server.app import create_app
from server.config import Settings
from server.errors import ServerFullError
from server.media.tracks import PictureTrack
from server.render import draw, read_sound
from server.session_recorder import SessionRecorder
from server.session_recordings import SessionRecordings
from tests.integration.test_jobs import events, form, submit
from tests.integration.test_server import Peer, Tone, get


class Steps(Tone):
    """Twenty different loudnesses, 40 ms each, over and over; every fourth is silence."""

    async def recv(self) -> av.AudioFrame:
        frame = await super().recv()
        step = (self._sent // 1920) * 7 % 20
        wave = frame.to_ndarray() * (0 if step % 4 == 0 else step) // 12
        loud = av.AudioFrame.from_ndarray(wave.astype(np.int16), format="s16", layout="mono")
        loud.sample_rate, loud.pts, loud.time_base = 48_000, frame.pts, Fraction(1, 48_000)
        return loud


@pytest.fixture
def recording_settings(settings: Settings, tmp_path: Path) -> Settings:
    changed = {"allow": "loopback", "folder": tmp_path / "recordings"}
    return settings.model_copy(update={"recordings": settings.recordings.model_copy(update=changed)})


@pytest.fixture
async def recording_server(recording_settings: Settings) -> AsyncIterator[TestServer]:
    server = TestServer(create_app(recording_settings))
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()


def peer_of(server: TestServer) -> Peer:
    peer = Peer(server)
    peer.pc.getSenders()[0].replaceTrack(Steps())
    return peer


async def test_a_recorded_session_is_rendered_again_frame_for_frame(
    recording_server: TestServer, recording_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    live: dict[int, np.ndarray] = {}
    put = PictureTrack.put_picture

    def watched(track: PictureTrack, tick: int, picture: np.ndarray) -> bool:
        live[tick] = picture.copy()
        return put(track, tick, picture)

    monkeypatch.setattr(PictureTrack, "put_picture", watched)
    server, peer = recording_server, peer_of(recording_server)
    base = str(server.make_url("/")).rstrip("/")
    async with aiohttp.ClientSession() as http:
        try:
            answer = await peer.connect(record=True)
            url = f"/recordings/{answer['recording']}"
            await asyncio.sleep(2.5)
            session = (await get(server, f"/sessions/{peer.session_id}"))[1]
            assert session["recording"]["id"] == answer["recording"]
            assert session["recording"]["seconds"] > 1
            assert (await get(server, url))[0] == 409
            async with http.post(f"{base}/jobs", data=form(recording=answer["recording"])) as response:
                assert response.status == 409
                assert "still being recorded" in (await response.json())["error"]
            async with http.delete(f"{base}/sessions/{peer.session_id}") as response:
                assert response.status == 204
        finally:
            await peer.close()
        status, told = await get(server, url)
        assert (status, told["avatar"], told["engine"], told["ticks_lost"]) == (200, "disc", "probe", 0)
        assert told["frames"] == -(-told["ticks"] // 2)
        delay = told["delay_ms"] // told["tick_ms"]
        shown = {(tick - delay) // 2: picture for tick, picture in live.items() if tick >= delay}
        assert len(shown) > 40

        folder = recording_settings.recordings.place / answer["recording"]
        avatar = load_avatar(folder / "avatar" / "disc")
        drawn = list(draw(load_engine("probe"), avatar, read_sound(folder / "sound.flac")))
        assert len(drawn) == told["frames"]
        assert [n for n, picture in shown.items() if not np.array_equal(picture, drawn[n])] == []
        later = [n for n, picture in shown.items() if n and not np.array_equal(picture, drawn[n - 1])]
        assert len(later) > len(shown) // 2, "a film a frame off would have passed too"

        job = await submit(http, base, recording=answer["recording"], engine="probe")
        assert (job["frames"], job["avatar"]) == (told["frames"], "disc")
        async with http.delete(base + url) as response:
            assert response.status == 204
        assert (await get(server, url))[0] == 404
        assert (await events(http, f"{base}/jobs/{job['id']}/events"))[-1][1] == "done"
        async with http.get(f"{base}/jobs/{job['id']}/result") as response:
            film = await response.read()
    with av.open(io.BytesIO(film)) as container:
        pictures = [frame.to_ndarray(format="yuv420p") for frame in container.decode(video=0)]
    assert len(pictures) == told["frames"]
    errors = [np.abs(pictures[n].astype(int) - picture).mean() for n, picture in shown.items()]
    assert max(errors) < 2
    assert list(recording_settings.recordings.place.iterdir()) == []


async def test_a_session_that_never_connects_leaves_no_recording(
    recording_server: TestServer, recording_settings: Settings
) -> None:
    peer, place = Peer(recording_server), recording_settings.recordings.place
    await peer.pc.setLocalDescription(await peer.pc.createOffer())
    offer = {"sdp": peer.pc.localDescription.sdp, "type": "offer", "record": True}
    async with aiohttp.ClientSession() as http:
        async with http.post(recording_server.make_url("/offer"), json=offer) as response:
            answer = await response.json()
        assert [path.name for path in place.iterdir()] == [answer["recording"]]
        async with http.delete(recording_server.make_url(f"/sessions/{answer['session_id']}")) as response:
            assert response.status == 204
    await peer.close()
    assert (await get(recording_server, f"/recordings/{answer['recording']}"))[0] == 404
    assert list(place.iterdir()) == []


async def test_what_may_not_be_recorded_says_why(server: TestServer) -> None:
    peer = Peer(server)
    try:
        with pytest.raises(AssertionError, match="set recordings.allow"):
            await peer.connect(record=True)
        with pytest.raises(AssertionError, match="must be true or false"):
            await peer.connect(record="yes")
        assert "recording" not in await peer.connect(record=False)
    finally:
        await peer.close()
    base = str(server.make_url("/")).rstrip("/")
    for name in ("nobody", "..%2Fjobs", "0" * 32):
        assert (await get(server, f"/recordings/{name}"))[0] == 404
    cases: list[tuple[dict[str, Any], int, str]] = [
        ({"recording": "0" * 32}, 404, "no such recording"),
        ({"recording": "../jobs"}, 404, "no such recording"),
        ({"recording": "0" * 32, "sound": b"x"}, 400, "not both"),
        ({"recording": "0" * 32, "avatar": "nobody"}, 404, "choose one of"),
    ]
    async with aiohttp.ClientSession() as http:
        for parts, status, words in cases:
            async with http.post(f"{base}/jobs", data=form(**parts)) as response:
                assert (response.status, words in (await response.json())["error"]) == (status, True), parts


async def test_there_is_room_for_so_many_and_old_ones_go(recording_settings: Settings, avatar_folder: Path) -> None:
    limits = {"max_s": 10, "max_bytes": 3_500_000, "keep_s": 1000}
    narrow = recording_settings.recordings.model_copy(update=limits)
    recordings = SessionRecordings(recording_settings.model_copy(update={"recordings": narrow}))
    first, second = await recordings.open(avatar_folder), await recordings.open(avatar_folder)
    with pytest.raises(ServerFullError, match="room for recordings"):
        await recordings.open(avatar_folder)
    assert {path.name for path in narrow.place.iterdir()} == {first.id, second.id}
    first.start()
    first.put(np.ones(960, np.float32))
    for recorder in (first, second):
        await recorder.aclose("disc", "probe", 400, 0)
    assert [path.name for path in narrow.place.iterdir()] == [first.id]
    timeline, _ = await recordings.timeline(first.id)
    assert (timeline.ticks, timeline.frames) == (1, 1)
    third = await recordings.open(avatar_folder)  # the second gave its room back
    shutil.copytree(narrow.place / third.id, narrow.place / ("f" * 32))
    for path in (narrow.place / first.id / "timeline.json", narrow.place / ("f" * 32), narrow.place / third.id):
        for part in (path, *(path.iterdir() if path.is_dir() else ())):
            os.utime(part, (time.time() - 1001, time.time() - 1001))
    recordings._sweep()
    assert [path.name for path in narrow.place.iterdir()] == [third.id], "what is under way stays"
    await third.aclose("disc", "probe", 400, 0)


def recorder_in(folder: Path, max_s: float = 60) -> tuple[SessionRecorder, list[bool]]:
    folder.mkdir()
    closed: list[bool] = []
    return SessionRecorder("r", folder, max_s, lambda: closed.append(True)), closed


async def test_a_slow_disk_costs_sound_but_not_time(tmp_path: Path) -> None:
    recorder, closed = recorder_in(tmp_path / "r", max_s=12)
    recorder.start()
    for _ in range(620):  # the event loop is not let go: nothing is written meanwhile
        recorder.put(np.full(960, 0.25, np.float32))
    await recorder.aclose("disc", "probe", 400, 3)
    told = json.loads((tmp_path / "r" / "timeline.json").read_text())
    assert (told["ticks"], told["ticks_lost"], told["is_cut"], told["frames_dropped"]) == (600, 100, True, 3)
    sound = np.concatenate(list(read_sound(tmp_path / "r" / "sound.flac")))
    assert len(sound) == 600 * 960
    assert np.array_equal(sound, np.repeat(np.float32([0.25, 0.0]), [500 * 960, 100 * 960]))
    assert closed == [True]
    assert sorted(path.name for path in (tmp_path / "r").iterdir()) == ["sound.flac", "timeline.json"]


async def test_a_full_disk_ends_the_recording_with_a_sentence(tmp_path: Path) -> None:
    recorder, closed = recorder_in(tmp_path / "r")
    (tmp_path / "r" / ".sound.flac.part").symlink_to("/dev/full")
    recorder.start()
    rng = np.random.default_rng(1)
    for _ in range(400):
        recorder.put(rng.uniform(-1, 1, 960).astype(np.float32))
    async with asyncio.timeout(10):
        while recorder.error is None:  # noqa: ASYNC110 - a session looks at it in the same way
            await asyncio.sleep(0.02)
    recorder.put(np.zeros(960, np.float32))
    assert "No space left on device" in str(recorder.describe()["error"])
    await recorder.aclose("disc", "probe", 400, 0)
    assert closed == [True]
    assert not (tmp_path / "r").exists()
