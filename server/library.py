"""The avatars this server can show, and what each engine keeps of them."""

import asyncio
import logging
from pathlib import Path
from typing import Any

from models.avatar import MANIFEST, Avatar, AvatarCard, load_avatar, read_card
from models.engine import Engine
from models.errors import AvatarError
from models.registry import engine_names, load_engine
from server.errors import NotFoundError, RequestError
from server.executor import Executor

logger = logging.getLogger(__name__)


class Library:
    """Loads avatars and engines once, when they are first asked for, without holding up the sessions that run."""

    def __init__(self, executor: Executor, folders: list[Path], weights: Path | None) -> None:
        self._executor = executor
        self._weights = weights
        self._folders = {
            path.parent.name: path.parent for folder in folders for path in sorted(folder.glob(f"*/{MANIFEST}"))
        }
        self._cards: dict[str, AvatarCard] = {}
        self._avatars: dict[str, Avatar] = {}
        self._engines: dict[str, Engine] = {}
        self._prepared: dict[tuple[str, str], Any] = {}
        # Who asks for what another is loading waits for it, rather than loading it twice.
        self._avatar_lock, self._engine_lock, self._prepared_lock = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()

    async def avatar(self, name: str) -> Avatar:
        """An avatar by name.

        Raises:
            NotFoundError: there is none of that name.
            AvatarError: its files are damaged.
        """
        folder = self._folder(name)
        async with self._avatar_lock:
            if name not in self._avatars:
                self._avatars[name] = await asyncio.to_thread(load_avatar, folder)
            return self._avatars[name]

    async def engine(self, name: str) -> Engine:
        """An engine by name.

        Raises:
            RequestError: there is none of that name.
        """
        if name not in engine_names():
            raise RequestError(f"There is no engine '{name}'; choose one of: {', '.join(engine_names())}.")
        async with self._engine_lock:
            if name not in self._engines:
                self._engines[name] = await self._executor.call(lambda: load_engine(name, self._weights))
            return self._engines[name]

    async def prepared(self, engine: Engine, avatar: Avatar) -> Any:
        """What ``engine`` computed once from ``avatar``."""
        key = (engine.name, avatar.name)
        async with self._prepared_lock:
            if key not in self._prepared:
                self._prepared[key] = await self._executor.call_in_steps(engine.preparation(avatar))
            return self._prepared[key]

    async def folder(self, name: str) -> Path:
        """Where an avatar lies, damaged or not.

        Raises:
            NotFoundError: there is none of that name.
        """
        return self._folder(name)

    async def cards(self) -> list[AvatarCard]:
        """What is told of each avatar; a damaged one is named in the log and left out."""
        return await asyncio.to_thread(self._read_cards)

    async def card(self, name: str) -> AvatarCard:
        """One avatar's.

        Raises:
            NotFoundError: there is none of that name.
            AvatarError: its files are damaged.
        """
        return await asyncio.to_thread(self._read_card, name, self._folder(name))

    def _folder(self, name: str) -> Path:
        if name not in self._folders:
            known = ", ".join(sorted(self._folders)) or "none is installed"
            raise NotFoundError(f"There is no avatar '{name}'; choose one of: {known}.")
        return self._folders[name]

    def _read_cards(self) -> list[AvatarCard]:
        found = []
        for name, folder in sorted(self._folders.items()):
            try:
                found.append(self._read_card(name, folder))
            except AvatarError as error:
                logger.warning("%s", error)
        return found

    def _read_card(self, name: str, folder: Path) -> AvatarCard:
        if name not in self._cards:
            self._cards[name] = read_card(folder)
        return self._cards[name]
