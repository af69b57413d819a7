"""Adding and removing avatars over HTTP, with the process that makes them."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from server.app import create_app
from server.config import Settings
from server.paths import AVATARS
from tests.integration.test_server import Peer
from tests.unit.face.faces import portrait, talking, write_clip, write_photo

BROUGHT = dict.fromkeys((folder.name for folder in AVATARS.iterdir()), False)
"""The shipped avatars: not the user's own."""


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    """Half a second of a face at rest: quicker to make an avatar of than a photo."""
    return write_clip(tmp_path / "me.mp4", talking(14, 0))


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return write_photo(tmp_path / "me.png", portrait())


@pytest_asyncio.fixture
async def http(server: TestServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        yield session


def changed(settings: Settings, **values: Any) -> Settings:
    return settings.model_copy(update={"avatars": settings.avatars.model_copy(update=values)})


def form(path: Path, **fields: str) -> aiohttp.FormData:
    data = aiohttp.FormData()
    for name, value in fields.items():
        data.add_field(name, value)
    data.add_field("file", path.read_bytes(), filename=path.name)
    return data


async def names(http: aiohttp.ClientSession) -> dict[str, bool]:
    async with http.get("/avatars") as answer:
        return {row["name"]: row["own"] for row in (await answer.json())["avatars"]}


async def refused(http: aiohttp.ClientSession, data: Any, status: int, **options: Any) -> str:
    async with http.post("/avatars", data=data, **options) as answer:
        assert answer.status == status, await answer.text()
        return str((await answer.json())["error"])


async def test_add_talk_and_remove(
    server: TestServer, http: aiohttp.ClientSession, clip: Path, photo: Path, settings: Settings
) -> None:
    async def post() -> Any:
        async with http.post("/avatars", data=form(clip, name="me", title="My  Face")) as answer:
            assert answer.status == 201, await answer.text()
            return await answer.json()

    assert await names(http) == {**BROUGHT, "disc": False}
    making = asyncio.create_task(post())
    await asyncio.sleep(0.3)
    assert "being made" in await refused(http, form(photo, name="other"), 503)
    waits = []
    while not making.done():
        begin = time.perf_counter()
        async with http.get("/livez") as answer:
            assert answer.status == 200
        waits.append(time.perf_counter() - begin)
        await asyncio.sleep(0.02)
    assert len(waits) > 5
    assert np.median(waits) < 0.02
    body = await making
    assert body["preview"] == "/avatars/me/preview.jpg"
    for path in (body["preview"], body["portrait"]):
        async with http.get(path) as answer:
            assert answer.content_type == "image/jpeg"
            assert (await answer.read()).startswith(b"\xff\xd8")
    async with http.get("/avatars") as answer:
        me = next(row for row in (await answer.json())["avatars"] if row["name"] == "me")
    assert (me["title"], me["own"]) == ("My Face", True)
    assert "already" in await refused(http, form(photo, name="me"), 409)
    peer = Peer(server)
    try:
        await peer.connect(avatar="me", engine="probe")
        async with asyncio.timeout(5):
            await peer.tracks["video"].recv()
        async with http.delete("/avatars/me") as answer:
            assert answer.status == 409
            assert "'me' is on the screen of 1 session(s)" in (await answer.json())["error"]
        async with http.delete(f"/sessions/{peer.session_id}") as answer:
            assert answer.status == 204
    finally:
        await peer.close()
    async with http.delete("/avatars/me") as answer:
        assert answer.status == 204
    assert await names(http) == {**BROUGHT, "disc": False}
    assert list(settings.avatars.own.iterdir()) == []
    async with http.delete("/avatars/me") as answer:
        assert answer.status == 404


async def test_bad_requests(server: TestServer, http: aiohttp.ClientSession, photo: Path, tmp_path: Path) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("words")
    assert "'Me!' is no name" in await refused(http, form(photo, name="Me!"), 400)
    assert "visavis brings" in await refused(http, form(photo, name="ada"), 400)
    assert "A box is x0,y0" in await refused(http, form(photo, name="me", box="1,2"), 400)
    assert "notes.txt is neither" in await refused(http, form(notes, name="me"), 400)
    assert "field 'colour'" in await refused(http, form(photo, name="me", colour="red"), 400)
    assert "longer than 400" in await refused(http, form(photo, name="me", title="x" * 500), 400)
    no_file = aiohttp.FormData({"name": "me"}, default_to_multipart=True)
    assert "has no file" in await refused(http, no_file, 400)
    assert "not multipart/form-data" in await refused(http, b"{}", 400)
    broken = {"Content-Type": "multipart/form-data; boundary=x"}
    assert "form" in await refused(http, b"nothing of the kind", 400, headers=broken)
    elsewhere = {"Origin": "http://elsewhere.invalid"}
    assert "elsewhere.invalid may not" in await refused(http, form(photo, name="me"), 403, headers=elsewhere)
    async with http.delete("/avatars/ada") as answer:
        assert answer.status == 403
    async with http.delete("/avatars/disc") as answer:
        assert answer.status == 409
    async with http.get("/avatars/ada/preview.jpg") as answer:
        assert answer.status == 404


async def test_a_large_file_is_refused_with_and_without_a_stated_length(settings: Settings, tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(bytes(300_000))
    server = TestServer(create_app(changed(settings, max_upload_bytes=200_000)))
    await server.start_server()
    try:
        async with aiohttp.ClientSession(server.make_url("/")) as http:
            assert "larger than 0 MB" in await refused(http, form(large, name="me"), 413)

            async def chunks() -> AsyncIterator[bytes]:
                yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="l.bin"\r\n\r\n'
                for _ in range(30):
                    yield bytes(10_000)
                yield b"\r\n--x--\r\n"

            typed = {"Content-Type": "multipart/form-data; boundary=x"}
            assert "larger than" in await refused(http, chunks(), 413, headers=typed)
    finally:
        await server.close()


@pytest.mark.parametrize(
    ("values", "status"), [({"uploads": "nobody"}, 403), ({"max_own": 1}, 409), ({"make_timeout_s": 0.2}, 400)]
)
async def test_settings_limit_what_is_added(
    settings: Settings, photo: Path, values: dict[str, Any], status: int
) -> None:
    taken = settings.avatars.own / "torn"
    taken.mkdir(parents=True)
    (taken / "avatar.json").write_text("{")
    server = TestServer(create_app(changed(settings, **values)))
    await server.start_server()
    try:
        async with aiohttp.ClientSession(server.make_url("/")) as http:
            assert await names(http) == {**BROUGHT, "disc": False}  # the damaged one is left out
            await refused(http, form(photo, name="me"), status)
            async with http.get("/avatars") as answer:
                assert (await answer.json())["uploads"] is (values.get("uploads") != "nobody")
    finally:
        await server.close()
    assert [path.name for path in settings.avatars.own.iterdir()] == ["torn"]


async def test_uploads_are_for_loopback_unless_told_otherwise(settings: Settings) -> None:
    from server.own_avatars import OwnAvatars

    def may_change(host: str, **values: str) -> bool:
        http = settings.http.model_copy(update={"host": host})
        return OwnAvatars(changed(settings, **values).model_copy(update={"http": http})).may_change

    assert [may_change(host) for host in ("127.0.0.1", "::1", "localhost", "0.0.0.0", "10.0.0.1")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    assert may_change("0.0.0.0", uploads="everyone")
    assert not may_change("127.0.0.1", uploads="nobody")


async def test_an_avatar_replaced_on_disk_is_shown_anew(
    http: aiohttp.ClientSession, server: TestServer, settings: Settings, monkeypatch: pytest.MonkeyPatch, photo: Path
) -> None:
    from models.face import idle
    from server import cli

    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    own = str(settings.avatars.own)
    for title in ("First", "Second"):
        add = ["avatar", "add", "me", str(photo), "--title", title, "--folder", own, "--replace"]
        assert await asyncio.to_thread(cli.main, add) == 0
        async with http.get("/avatars") as answer:
            assert title in [row["title"] for row in (await answer.json())["avatars"]]


async def test_shutdown_ends_the_process(settings: Settings, photo: Path) -> None:
    server = TestServer(create_app(settings))
    await server.start_server()
    async with aiohttp.ClientSession(server.make_url("/")) as http:
        making = asyncio.create_task(http.post("/avatars", data=form(photo, name="late")))
        await asyncio.sleep(1.0)
        begin = time.perf_counter()
        await server.close()
        assert time.perf_counter() - begin < 10
        await asyncio.gather(making, return_exceptions=True)
    assert not settings.avatars.own.exists() or list(settings.avatars.own.iterdir()) == []
