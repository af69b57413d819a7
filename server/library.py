"""The avatars this server can show, and what each engine keeps of them."""

import asyncio
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.avatar import MANIFEST, Avatar, AvatarCard, load_avatar, read_card
from models.engine import Engine
from models.errors import AvatarError, CheckpointError
from models.registry import engine_names, load_engine
from server.config import EngineSettings
from server.errors import ConflictError, NotFoundError, RequestError
from server.executor import Executor

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Place:
    """Where an avatar lies, and which one of that name it is."""

    folder: Path
    changed_ns: int


@dataclass(frozen=True)
class _Loaded:
    """An avatar in memory."""

    place: _Place
    avatar: Avatar
    prepared: dict[str, Any]
    """What engines computed once of it, by their names."""


class Library:
    """Loads avatars and engines once, when they are first asked for, without holding up the sessions that run.

    The folders are looked at anew each time, so avatars come and go without a restart; what is kept of one is
    dropped when its manifest changes, or when others were asked for since.
    """

    def __init__(self, executor: Executor, folders: list[Path], settings: EngineSettings, most_loaded: int) -> None:
        """``most_loaded``: avatars to keep in memory, besides those that sessions hold."""
        self._executor = executor
        self._settings = settings
        self._folders = folders
        self._most_loaded = most_loaded
        self._cards: dict[str, tuple[_Place, AvatarCard]] = {}
        self._loaded: dict[str, _Loaded] = {}
        """By name; who was asked for last comes last."""
        self._engines: dict[str, Engine] = {}
        # Who asks for what another is loading waits for it, rather than loading it twice.
        self._avatar_lock, self._engine_lock, self._prepared_lock = asyncio.Lock(), asyncio.Lock(), asyncio.Lock()

    async def avatar(self, name: str) -> Avatar:
        """An avatar by name.

        Raises:
            NotFoundError: there is none of that name.
            AvatarError: its files are damaged.
        """
        place = await self._place(name)
        async with self._avatar_lock:
            loaded = self._loaded.get(name)
            if loaded is None or loaded.place != place:
                loaded = _Loaded(place, await asyncio.to_thread(load_avatar, place.folder), {})
            self._loaded.pop(name, None)
            self._loaded[name] = loaded
            while len(self._loaded) > self._most_loaded:
                del self._loaded[next(iter(self._loaded))]
            return loaded.avatar

    async def engine(self, name: str) -> Engine:
        """An engine by name.

        Raises:
            RequestError: there is none of that name.
            ConflictError: its weights are missing or damaged; the message names the command that fetches them.
        """
        if name not in engine_names():
            raise RequestError(f"There is no engine '{name}'; choose one of: {', '.join(engine_names())}.")
        async with self._engine_lock:
            if name not in self._engines:
                how = self._settings.loading(name)
                try:
                    self._engines[name] = await self._executor.call(lambda: load_engine(name, **how))
                except CheckpointError as error:
                    raise ConflictError(str(error)) from error
            return self._engines[name]

    async def prepared(self, engine: Engine, avatar: Avatar) -> Any:
        """What ``engine`` computed once from ``avatar``."""
        async with self._prepared_lock:
            loaded = self._loaded.get(avatar.name)
            prepared = loaded.prepared if loaded is not None and loaded.avatar is avatar else {}
            if engine.name not in prepared:
                prepared[engine.name] = await self._executor.call_in_steps(engine.preparation(avatar))
            return prepared[engine.name]

    async def cards(self) -> list[AvatarCard]:
        """What is told of each avatar; a damaged one is named in the log and left out."""
        places = await self._look()
        return await asyncio.to_thread(self._read_cards, places)

    async def card(self, name: str) -> AvatarCard:
        """One avatar's.

        Raises:
            NotFoundError: there is none of that name.
            AvatarError: its files are damaged.
        """
        place = await self._place(name)
        return await asyncio.to_thread(self._read_card, name, place)

    async def folder(self, name: str) -> Path:
        """Where an avatar lies, damaged or not.

        Raises:
            NotFoundError: there is none of that name.
        """
        return (await self._place(name)).folder

    async def file(self, name: str, file_name: str) -> bytes:
        """A file of an avatar's folder.

        Raises:
            NotFoundError: there is no such avatar or file.
        """
        path = await self.folder(name) / file_name
        try:
            return await asyncio.to_thread(path.read_bytes)
        except FileNotFoundError as error:
            raise NotFoundError(f"Avatar '{name}' has no {file_name}.") from error

    async def _place(self, name: str) -> _Place:
        places = await self._look()
        if name not in places:
            known = ", ".join(sorted(places)) or "none is installed"
            raise NotFoundError(f"There is no avatar '{name}'; choose one of: {known}.")
        return places[name]

    async def _look(self) -> dict[str, _Place]:
        """Every avatar there is; what was kept of those that are gone is let go."""
        places = await asyncio.to_thread(_scan, self._folders)
        for kept in (self._cards, self._loaded):
            for name in kept.keys() - places.keys():
                del kept[name]
        return places

    def _read_cards(self, places: dict[str, _Place]) -> list[AvatarCard]:
        found = []
        for name, place in sorted(places.items()):
            try:
                found.append(self._read_card(name, place))
            except AvatarError as error:
                logger.warning("%s", error)
        return found

    def _read_card(self, name: str, place: _Place) -> AvatarCard:
        known = self._cards.get(name)
        if known is None or known[0] != place:
            known = place, read_card(place.folder)
            self._cards[name] = known
        return known[1]


def _scan(folders: list[Path]) -> dict[str, _Place]:
    places = {}
    for folder in folders:
        for manifest in sorted(folder.glob(f"[!.]*/{MANIFEST}")):
            try:
                places[manifest.parent.name] = _Place(manifest.parent, manifest.stat().st_mtime_ns)
            except FileNotFoundError:
                continue  # removed meanwhile
    return places
