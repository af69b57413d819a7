"""A server whose portraits move."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestServer

from server.app import create_app
from server.config import Settings
from tests.fakes.hearing import LoudnessEar
from tests.fakes.portrait_weights import write_published
from tests.unit.liveportrait.networks import FACE_PX, small_networks


@pytest_asyncio.fixture
async def portraits(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[TestServer]:
    """A server with small LivePortrait networks."""
    monkeypatch.setattr("models.liveportrait.engine.load_ear", lambda path: LoudnessEar())
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    chosen = {
        "name": "liveportrait",
        "weights": write_published(tmp_path / "weights", small_networks()),
        "max_batch": 1,
        "threads": 1,
    }
    live = settings.engine.liveportrait.model_copy(update={"face_px": FACE_PX})
    engine = settings.engine.model_copy(update=chosen | {"liveportrait": live})
    server = TestServer(create_app(settings.model_copy(update={"engine": engine})))
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()
