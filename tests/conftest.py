"""Shared parts: a stand-in avatar on disk, settings for loopback, the server on a free port."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
import torch
from aiohttp.test_utils import TestServer

from server.app import create_app
from server.config import Settings, load_settings
from tests.fakes.avatars import write_avatar


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """PyTorch on one core, as live engines run: of several, small networks make nothing but waiting."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def avatar_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_avatar(tmp_path_factory.mktemp("avatars") / "disc")


@pytest.fixture
def settings(avatar_folder: Path, tmp_path: Path) -> Settings:
    return load_settings(
        overrides={
            "ice": {"host_addresses": ["127.0.0.1"]},
            "avatars": {"default": "disc", "folders": [avatar_folder.parent], "own_folder": tmp_path / "own"},
            "engine": {"name": "probe"},
            "jobs": {"folder": tmp_path / "jobs", "chunk_frames": 16, "lease_s": 2},
        }
    )


@pytest_asyncio.fixture
async def server(settings: Settings) -> AsyncIterator[TestServer]:
    before = asyncio.all_tasks()
    server = TestServer(create_app(settings))
    await server.start_server()
    try:
        yield server
    finally:
        await server.close()
        await asyncio.sleep(0)
        left = {task for task in asyncio.all_tasks() - before - {asyncio.current_task()} if not task.done()}
        assert not left, f"tasks left behind: {left}"
