"""Jobs over HTTP, with the server's own worker processes."""

import asyncio
import io
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import av
import psutil
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from server.app import create_app
from server.config import Settings, load_settings
from tests.unit.jobs.speech import write_speech


def form(**parts: bytes | str) -> aiohttp.FormData:
    data = aiohttp.FormData(default_to_multipart=True)
    for name, value in parts.items():
        if isinstance(value, bytes):
            data.add_field(name, io.BytesIO(value), filename=name)
        else:
            data.add_field(name, value)
    return data


@pytest.fixture
def speech(tmp_path: Path) -> bytes:
    return write_speech(tmp_path / "speech.wav", 1.5).read_bytes()


@pytest_asyncio.fixture
async def http():  # type: ignore[no-untyped-def]
    async with aiohttp.ClientSession() as session:
        yield session


@pytest_asyncio.fixture
async def base(server: TestServer) -> str:
    return str(server.make_url("/")).rstrip("/")


async def submit(http: aiohttp.ClientSession, base: str, **parts: bytes | str) -> dict[str, Any]:
    async with http.post(f"{base}/jobs", data=form(**parts)) as response:
        body: dict[str, Any] = await response.json()
        assert response.status == 201, body
        assert response.headers["Location"] == f"/jobs/{body['id']}"
    return body


async def get(http: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with http.get(url) as response:
        is_json = response.content_type == "application/json"
        return response.status, await response.json() if is_json else await response.read()


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(3000):
        if condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("it did not come about in a minute")


async def events(http: aiohttp.ClientSession, url: str) -> list[tuple[float, str, dict[str, Any]]]:
    """(seconds since asking, name, data) of each, to the end of the stream."""
    found: list[tuple[float, str, dict[str, Any]]] = []
    loop = asyncio.get_running_loop()
    begun_s, name = loop.time(), ""
    async with http.get(url) as response:
        assert response.status == 200
        assert response.content_type == "text/event-stream"
        async for line in response.content:
            key, _, value = line.decode().rstrip("\n").partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                found.append((loop.time() - begun_s, name, json.loads(value)))
    return found


async def test_a_job_from_its_sound_to_its_film(http: aiohttp.ClientSession, base: str, speech: bytes) -> None:
    job = await submit(http, base, sound=speech, avatar="disc", engine="probe")
    assert (job["state"], job["frames"], job["result"]) == ("queued", 38, None)
    url = f"{base}/jobs/{job['id']}"
    status, early = await get(http, f"{url}/result")
    assert status == 409
    assert "when it is done" in early["error"]
    told = await events(http, f"{url}/events")
    assert told[0][0] < 1
    assert max(b[0] - a[0] for a, b in zip(told, told[1:], strict=False)) < 2
    done = [data["frames_done"] for _, _, data in told]
    assert done == sorted(done)
    _, last, data = told[-1]
    assert (last, data["state"], data["frames_done"]) == ("done", "done", 38)
    assert (await get(http, url))[1] == data
    status, film = await get(http, base + data["result"])
    assert status == 200
    with av.open(io.BytesIO(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 38
        assert container.streams.audio
    async with http.delete(url) as response:
        assert response.status == 204
    assert (await get(http, url))[0] == 404
    assert (await get(http, f"{url}/result"))[0] == 404


async def test_a_deleted_job_is_cancelled_within_a_second(
    http: aiohttp.ClientSession, base: str, settings: Settings, tmp_path: Path
) -> None:
    long = write_speech(tmp_path / "long.wav", 60).read_bytes()
    job = await submit(http, base, sound=long)
    url = f"{base}/jobs/{job['id']}"
    folder = settings.jobs.place / job["id"]
    following = asyncio.create_task(events(http, f"{url}/events"))
    await until((folder / "chunk-00000.mp4").exists)
    async with http.delete(url) as response:
        assert response.status == 204
    async with asyncio.timeout(1):
        await until(lambda: not folder.exists())
        told = await following
    assert told[-1][1] == "cancelled"
    assert (await get(http, url))[1]["state"] == "cancelled"


async def test_a_killed_worker_is_replaced_and_its_job_done(
    http: aiohttp.ClientSession, base: str, tmp_path: Path, settings: Settings
) -> None:
    job = await submit(http, base, sound=write_speech(tmp_path / "long.wav", 6).read_bytes())
    url, folder = f"{base}/jobs/{job['id']}", settings.jobs.place / job["id"]
    await until((folder / "chunk-00000.mp4").exists)
    stored = (folder / "chunk-00000.mp4").stat().st_mtime_ns
    workers = [child for child in psutil.Process().children() if "server.jobs.worker" in child.cmdline()]
    assert len(workers) == 1
    workers[0].send_signal(signal.SIGKILL)
    await until((folder / "chunk-00002.mp4").exists)
    assert (folder / "chunk-00000.mp4").stat().st_mtime_ns == stored
    assert (await events(http, f"{url}/events"))[-1][1] == "done"


async def test_the_servers_end_ends_streams_and_workers(settings: Settings, tmp_path: Path) -> None:
    server = TestServer(create_app(settings))
    await server.start_server()
    base = str(server.make_url("/")).rstrip("/")
    async with aiohttp.ClientSession() as http:
        job = await submit(http, base, sound=write_speech(tmp_path / "long.wav", 60).read_bytes())
        following = asyncio.create_task(events(http, f"{base}/jobs/{job['id']}/events"))
        await until((settings.jobs.place / job["id"] / "chunk-00000.mp4").exists)
        async with asyncio.timeout(5):
            await server.close()
            assert (await following)[-1][2]["state"] == "running"
    assert not [child for child in psutil.Process().children() if "server.jobs.worker" in child.cmdline()]


BAD = [
    ({}, 400, "needs a part 'sound'"),
    ({"sound": b""}, 400, "cannot be decoded"),
    ({"sound": b"neither a sound nor a picture"}, 400, "cannot be decoded"),
    ({"sound": b"#EXTM3U\n#EXT-X-TARGETDURATION:5\n#EXTINF:5,\nfile:///etc/hostname\n"}, 400, "cannot be decoded"),
    ({"sound": b"ffconcat version 1.0\nfile other.wav\n"}, 400, "cannot be decoded"),
    ({"sound": "long"}, 400, "longer than 2 s"),
    ({"sound": "short"}, 400, "shorter than 0.2 s"),
    ({"sound": "silent"}, 400, "is silent"),
    ({"sound": "good", "engine": "none"}, 400, "choose one of"),
    ({"sound": "good", "avatar": "nobody"}, 404, "choose one of"),
    ({"sound": "good", "avatar": "../disc"}, 404, "choose one of"),
    ({"sound": "good", "avatar": "x" * 300}, 400, "at most 200 bytes"),
    ({"sound": "good", "picture": b"\x89PNG"}, 400, "not pictures"),
    ({"sound": "good", "colour": "red"}, 400, "no part 'colour'"),
    ({"sound": bytes(300_000)}, 413, "larger than 200000 bytes"),
]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def strict(avatar_folder: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """One server for all that is refused, and its folder of jobs."""
    place = tmp_path_factory.mktemp("strict") / "jobs"
    settings = load_settings(
        overrides={
            "ice": {"host_addresses": ["127.0.0.1"]},
            "avatars": {"default": "disc", "folders": [avatar_folder.parent]},
            "engine": {"name": "probe"},
            "jobs": {"folder": place, "max_upload_bytes": 200_000, "max_sound_s": 2, "workers": 0, "max_waiting": 1},
        }
    )
    server = TestServer(create_app(settings))
    await server.start_server()
    yield str(server.make_url("/")).rstrip("/"), place
    await server.close()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize(("parts", "status", "words"), BAD)
async def test_what_is_refused_says_why_and_leaves_nothing(
    strict: tuple[str, Path], tmp_path: Path, parts: dict[str, Any], status: int, words: str
) -> None:
    base, place = strict
    sounds = {"long": (3.0, 0.3), "short": (0.1, 0.3), "silent": (1.0, 0.0), "good": (1.0, 0.3)}
    sent = dict(parts)
    if sent.get("sound") in sounds:
        seconds, gain = sounds[sent["sound"]]
        sent["sound"] = write_speech(tmp_path / "s.wav", seconds, gain=gain).read_bytes()
    async with aiohttp.ClientSession() as http, http.post(f"{base}/jobs", data=form(**sent)) as response:
        body = await response.json()
        assert (response.status, words in body["error"]) == (status, True), body
        assert str(place) not in body["error"]
    assert not place.exists() or not [path for path in place.iterdir() if path.is_dir()]


@pytest.mark.asyncio(loop_scope="module")
async def test_another_sites_page_changes_nothing(strict: tuple[str, Path], speech: bytes) -> None:
    base, place = strict
    elsewhere = {"Origin": "http://elsewhere.invalid"}
    async with aiohttp.ClientSession() as http:
        for method, path in (("POST", "/jobs"), ("DELETE", "/jobs/nobody"), ("DELETE", "/recordings/nobody")):
            body = form(sound=speech) if method == "POST" else None
            async with http.request(method, base + path, data=body, headers=elsewhere) as response:
                assert response.status == 403, path
                assert "elsewhere.invalid" in (await response.json())["error"]
            async with http.request(method, base + path, headers={"Origin": base}) as response:
                assert response.status in (400, 404), path
    assert not place.exists() or not [path for path in place.iterdir() if path.is_dir()]


@pytest.mark.asyncio(loop_scope="module")
async def test_engines_are_told_with_what_they_miss(
    strict: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path))
    async with aiohttp.ClientSession() as http:
        status, body = await get(http, f"{strict[0]}/jobs/engines")
    assert status == 200
    rows = {row["name"]: row for row in body["engines"]}
    assert rows.keys() == {"wav2lip", "liveportrait", "sadtalker"}
    assert rows["wav2lip"] == {"name": "wav2lip", "draws": "avatar", "missing": None}
    assert rows["sadtalker"]["draws"] == "picture"
    for name in ("liveportrait", "sadtalker"):
        assert f"visavis models pull {name} --accept-licence" in rows[name]["missing"]


@pytest.mark.asyncio(loop_scope="module")
async def test_bodies_that_are_no_form_unknown_jobs_and_a_full_queue(strict: tuple[str, Path], speech: bytes) -> None:
    base, place = strict
    async with aiohttp.ClientSession() as http:
        for body in (b"{}", b""):
            async with http.post(f"{base}/jobs", data=body) as response:
                assert response.status == 400
                assert "multipart" in (await response.json())["error"]
        for path in ("", "/events", "/result"):
            assert (await get(http, f"{base}/jobs/nobody{path}"))[0] == 404
        async with http.delete(f"{base}/jobs/nobody") as response:
            assert response.status == 404
        job = await submit(http, base, sound=speech)
        async with http.post(f"{base}/jobs", data=form(sound=speech)) as response:
            assert response.status == 503
            assert int(response.headers["Retry-After"]) > 0
        assert os.listdir(place / job["id"])
        async with http.delete(f"{base}/jobs/{job['id']}") as response:
            assert response.status == 204
        assert not (place / job["id"]).exists()
        await submit(http, base, sound=speech)
