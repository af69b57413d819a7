"""Avatars in memory: loaded once, let go when others are asked for, or when their files change."""

import os
import shutil
from collections.abc import AsyncIterator, Generator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from models.avatar import MANIFEST, Avatar
from models.probe.engine import ProbeEngine
from server.config import load_settings
from server.errors import NotFoundError
from server.executor import Executor
from server.library import Library
from server.metrics import Metrics


class CountingEngine(ProbeEngine):
    """Knows whom it was prepared for."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def preparation(self, avatar: Avatar) -> Generator[None, None, Any]:
        self.seen.append(avatar.name)
        return super().preparation(avatar)


@pytest.fixture
def folder(tmp_path: Path, avatar_folder: Path) -> Path:
    for name in ("a", "b", "c"):
        shutil.copytree(avatar_folder, tmp_path / name)
    return tmp_path


@pytest_asyncio.fixture
async def library(folder: Path) -> AsyncIterator[Library]:
    executor = Executor(Metrics(), threads=1, max_batch=1)
    executor.start()
    yield Library(executor, [folder], load_settings().engine, most_loaded=2)
    await executor.aclose()


async def test_an_avatar_is_loaded_and_prepared_once(library: Library) -> None:
    engine = CountingEngine()
    avatar = await library.avatar("a")
    prepared = await library.prepared(engine, avatar)
    assert await library.avatar("a") is avatar
    assert await library.prepared(engine, avatar) is prepared
    assert engine.seen == ["a"]


async def test_who_was_not_asked_for_longest_is_let_go(library: Library) -> None:
    engine = CountingEngine()
    first = {name: await library.avatar(name) for name in ("a", "b")}
    assert await library.avatar("a") is first["a"]
    third = await library.avatar("c")
    assert await library.avatar("a") is first["a"]
    assert await library.avatar("c") is third
    assert await library.avatar("b") is not first["b"]
    # A session may still hold what the library let go.
    await library.prepared(engine, first["b"])
    await library.prepared(engine, first["b"])
    await library.prepared(engine, await library.avatar("b"))
    assert engine.seen == ["b", "b", "b"]


async def test_files_that_change_or_go_are_noticed(library: Library, folder: Path) -> None:
    avatar = await library.avatar("a")
    os.utime(folder / "a" / MANIFEST, ns=(1, 1))
    assert await library.avatar("a") is not avatar
    shutil.rmtree(folder / "a")
    with pytest.raises(NotFoundError, match="b, c"):
        await library.avatar("a")
