"""Gestures over HTTP, and an engine whose weights are missing."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from models.liveportrait.template import save_template
from tests.integration.test_server import Peer, get
from tests.unit.liveportrait.test_gestures import wave

COMMAND = "visavis models pull liveportrait --accept-licence"


@pytest.fixture(autouse=True)
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Nobody's templates and weights but the test's."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    return tmp_path


@pytest_asyncio.fixture
async def http() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


async def asked(http: aiohttp.ClientSession, server: TestServer, session_id: str | None, body: Any) -> tuple[int, Any]:
    text = body if isinstance(body, str) else json.dumps(body)
    async with http.post(server.make_url(f"/sessions/{session_id}/gesture"), data=text) as answer:
        return answer.status, await answer.json()


async def test_gestures_and_templates_are_played_and_others_refused(
    portraits: TestServer, http: aiohttp.ClientSession, homes: Path
) -> None:
    motions = homes / "data" / "visavis" / "motions"
    save_template(motions / "wave.npz", wave())
    save_template(motions / "still.npz", wave().still())
    peer = Peer(portraits)
    try:
        await peer.connect()
        _, told = await get(portraits, f"/sessions/{peer.session_id}")
        assert told["gestures"] == ["smile", "nod", "surprise"]

        async def ask(body: Any) -> tuple[int, Any]:
            return await asked(http, portraits, peer.session_id, body)

        assert await ask({"name": "nod"}) == (200, {"name": "nod", "seconds": pytest.approx(1.2, abs=0.1)})
        for seconds in (2, 2, 3):
            if seconds == 3:
                save_template(motions / "wave.npz", wave(3.0))  # a changed file is read anew
            status, answer = await ask({"motion": "wave"})
            assert (status, answer["motion"], answer["seconds"]) == (200, "wave", pytest.approx(seconds, abs=0.1))
        for body, status, sentence in (
            ({"name": "wink"}, 404, "choose one of: smile, nod, surprise"),
            ({"motion": "bow"}, 404, "choose one of: still, wave"),
            ({"motion": "still"}, 409, "single frame"),
            ({"motion": "../x"}, 400, "no template's name"),
            ({"name": "nod", "motion": "wave"}, 400, "A gesture is either"),
            ("nod", 400, "not JSON"),
            ([], 400, "A gesture is either"),
        ):
            answered = await ask(body)
            assert answered[0] == status, body
            assert sentence in answered[1]["error"]
    finally:
        await peer.close()


async def test_an_engine_without_gestures_says_so(server: TestServer, http: aiohttp.ClientSession) -> None:
    peer = Peer(server)
    try:
        await peer.connect()
        assert (await get(server, f"/sessions/{peer.session_id}"))[1]["gestures"] == []
        for body in ({"name": "smile"}, {"motion": "wave"}):
            status, answer = await asked(http, server, peer.session_id, body)
            assert (status, "draws no gestures" in answer["error"]) == (409, True)
        assert (await asked(http, server, "none", {"name": "smile"}))[0] == 404
    finally:
        await peer.close()


async def test_an_engine_without_weights_is_not_offered(server: TestServer, http: aiohttp.ClientSession) -> None:
    _, config = await get(server, "/config")
    assert config["engines"] == ["wav2lip"]
    assert COMMAND in config["missing_engines"]["liveportrait"]
    _, engines = await get(server, "/engines")
    assert engines["served"] == ["wav2lip"]
    assert COMMAND in engines["not_served"]["liveportrait"]
    offer = {"sdp": "v=0", "type": "offer", "engine": "liveportrait"}
    async with http.post(server.make_url("/offer"), json=offer) as answer:
        assert answer.status == 409
        assert COMMAND in (await answer.json())["error"]
    assert (await get(server, "/readyz"))[0] == 200, "the place is free again"


async def test_an_engine_with_weights_is_offered(portraits: TestServer) -> None:
    _, config = await get(portraits, "/config")
    assert (config["engines"], config["missing_engines"]) == (["wav2lip", "liveportrait"], {})


async def test_the_page_may_use_camera_and_microphone(server: TestServer, http: aiohttp.ClientSession) -> None:
    async with http.get(server.make_url("/")) as answer:
        assert answer.headers["Permissions-Policy"] == "camera=(self), microphone=(self)"
