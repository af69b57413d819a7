"""Motion templates and engines over HTTP."""

import asyncio
import io
import pickle
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from models.liveportrait.template import load_template, save_template
from models.machine_figures import Figure, save
from server.app import create_app
from server.config import Settings
from server.motion_api import MOTIONS
from tests.integration.test_avatar_api import changed, form
from tests.unit.liveportrait.test_template import published, template, written


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


@pytest_asyncio.fixture
async def http(homes: Path, server: TestServer) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(server.make_url("/")) as session:
        yield session


async def post(http: aiohttp.ClientSession, data: Any, status: int, **options: Any) -> Any:
    async with http.post("/motions", data=data, **options) as answer:
        assert answer.status == status, await answer.text()
        return await answer.json()


async def listed(http: aiohttp.ClientSession) -> list[Any]:
    async with http.get("/motions") as answer:
        return list((await answer.json())["motions"])


async def test_templates_of_both_kinds_are_added_listed_and_removed(http: aiohttp.ClientSession, homes: Path) -> None:
    assert await listed(http) == []
    save_template(homes / "mine.npz", template())
    added = await post(http, form(homes / "mine.npz", name="nod", title="A  nod"), 201)
    assert added == {"name": "nod", "title": "A nod", "licence": "CC0", "frames": 5, "fps": 25, "seconds": 0.2}
    await post(http, form(written(homes / "wink.pkl", published()), name="wink"), 201)
    assert [row["name"] for row in await listed(http)] == ["nod", "wink"]
    kept = load_template(homes / "data" / "visavis" / "motions" / "wink.npz")
    assert np.array_equal(kept.motion.exp.numpy(), template(3).motion.exp.numpy())
    assert "already" in (await post(http, form(homes / "mine.npz", name="nod"), 409))["error"]
    async with http.delete("/motions/nod") as answer:
        assert answer.status == 204
    async with http.delete("/motions/nod") as answer:
        assert answer.status == 404
    (kept_path := homes / "data" / "visavis" / "motions" / "wink.npz").write_bytes(b"PK damaged")
    assert "damaged" in (await listed(http))[0]["error"], kept_path


async def test_what_is_no_template_is_refused(http: aiohttp.ClientSession, homes: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (homes / "ran",))

    hostile = homes / "hostile.pkl"
    hostile.write_bytes(pickle.dumps(Runs()))
    error = (await post(http, form(hostile, name="a"), 400))["error"]
    assert "no template needs" in error
    assert "/" not in error
    assert not (homes / "ran").exists()
    (homes / "objects.npz").write_bytes(b"")
    np.savez(homes / "objects.npz", meta=np.array([{}], dtype=object))
    assert "damaged" in (await post(http, form(homes / "objects.npz", name="a"), 400))["error"]
    large = aiohttp.FormData({"name": "a"})
    large.add_field("file", io.BytesIO(bytes((4 << 20) + 1)), filename="large.pkl")
    assert "larger than 4 MiB" in (await post(http, large, 413))["error"]
    save_template(homes / "mine.npz", template())
    assert "no template's name" in (await post(http, form(homes / "mine.npz", name="../a"), 400))["error"]
    assert "has a field 'box'" in (await post(http, form(homes / "mine.npz", name="a", box="1"), 400))["error"]
    away = {"Origin": "https://elsewhere.example"}
    await post(http, form(homes / "mine.npz", name="a"), 403, headers=away)
    assert await listed(http) == []
    assert not list((homes / "data").rglob("*.npz"))


async def test_one_upload_at_a_time(http: aiohttp.ClientSession, server: TestServer, homes: Path) -> None:
    save_template(homes / "mine.npz", template())

    begun = asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield b"--x\r\nContent-Disposition: form-data; name=name\r\n\r\na\r\n"
        while not server.app[MOTIONS].busy:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        begun.set()
        await asyncio.sleep(0.5)
        yield b"--x--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    first = asyncio.create_task(post(http, slow(), 400, headers=headers))
    await begun.wait()
    assert "Another" in (await post(http, form(homes / "mine.npz", name="a"), 503))["error"]
    assert "no file" in (await first)["error"]
    await post(http, form(homes / "mine.npz", name="a"), 201)


async def test_a_server_that_takes_nothing(homes: Path, settings: Settings) -> None:
    server = TestServer(create_app(changed(settings, uploads="nobody")))
    await server.start_server()
    try:
        save_template(homes / "mine.npz", template())
        async with aiohttp.ClientSession(server.make_url("/")) as http:
            await post(http, form(homes / "mine.npz", name="a"), 403)
    finally:
        await server.close()


async def test_engines_are_told_as_measured_and_never_measured(http: aiohttp.ClientSession, homes: Path) -> None:
    async def engines() -> Any:
        async with http.get("/engines") as answer:
            assert answer.status == 200
            return await answer.json()

    told = await engines()
    assert (told["measured"], told["engines"], told["recommendations"]) == (False, [], [])
    assert "visavis recommend" in told["hint"]
    assert "wav2lip" in told["served"]
    figure = Figure("wav2lip", "Wav2Lip", moves_head=False, random_weights=False, side_px=96, ms_per_frame=8.0)
    save(homes / "cache" / "visavis" / "engines.json", (figure,))
    told = await engines()
    assert (told["measured"], told["hint"]) == (True, None)
    assert told["engines"][0] | {"live": True, "fps": 125.0} == told["engines"][0]
    assert {row["need"]: row["engine"] for row in told["recommendations"]} == {
        "real-time": "wav2lip",
        "quality": "wav2lip",
        "head motion": None,
        "budget": "wav2lip",
    }
