"""The recordings of live sessions: who may make one, where they lie, when they go.

::

    <recording id>/
      avatar/<name>/   a copy of what the session showed
      sound.flac       what it heard, on its timeline
      timeline.json    written last: with it the recording is whole
"""

import asyncio
import json
import logging
import re
import shutil
import time
import uuid
from pathlib import Path

from server.config import Settings
from server.errors import ConflictError, ForbiddenError, NotFoundError, ServerFullError
from server.own_avatars import is_loopback
from server.session_recorder import AVATARS, BYTES_PER_S, SOUND, TIMELINE, SessionRecorder, Timeline

logger = logging.getLogger(__name__)
_ID = re.compile(r"[0-9a-f]{32}")
_SWEEP_S = 60.0
_ORPHAN_S = 600.0
"""A recording under way is written to every second; one that was not for so long has lost its server."""


class SessionRecordings:
    """``start`` before use, ``aclose`` after the sessions have ended."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.recordings
        self._is_loopback = is_loopback(settings.http.host)
        self._place = self._settings.place
        self._open: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    @property
    def may_record(self) -> bool:
        """Whether those who reach the server may have their session recorded."""
        allow = self._settings.allow
        return allow == "everyone" or (allow == "loopback" and self._is_loopback)

    def start(self) -> None:
        """Begin to remove what is kept too long."""
        self._task = asyncio.create_task(self._sweep_often(), name="sweep-recordings")

    async def aclose(self) -> None:
        """Sweep no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def open(self, avatar: Path) -> SessionRecorder:
        """A recorder for a session that shows the avatar of that folder.

        Raises:
            ForbiddenError: the settings let nobody record.
            ServerFullError: the recordings kept and those under way may take all the room they are given.
        """
        if not self.may_record:
            raise ForbiddenError("This server records no sessions; set recordings.allow, or offer without 'record'.")
        recording_id = uuid.uuid4().hex
        self._open.add(recording_id)  # its room is taken before the first await
        folder = self._place / recording_id
        try:
            used = await asyncio.to_thread(_bytes_of, self._place, self._open)
            if used + len(self._open) * self._settings.max_s * BYTES_PER_S > self._settings.max_bytes:
                raise ServerFullError("The room for recordings is taken; try again later, or offer without 'record'.")
            await asyncio.to_thread(shutil.copytree, avatar, folder / AVATARS / avatar.name)
        except BaseException:
            self._open.discard(recording_id)
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
            raise
        return SessionRecorder(recording_id, folder, self._settings.max_s, lambda: self._open.discard(recording_id))

    async def timeline(self, recording_id: str) -> tuple[Timeline, float]:
        """A whole recording's timeline, and until when it is kept (Unix time).

        Raises:
            NotFoundError: there is none, or its time is over.
            ConflictError: its session goes on.
        """
        self._require_closed(recording_id)
        return await asyncio.to_thread(self._read, recording_id)

    def copy(self, recording_id: str, sound: Path, avatars: Path | None) -> Timeline:
        """Copy a whole recording's sound, and its avatar into the folder ``avatars``. Blocks.

        Raises:
            NotFoundError, ConflictError: see ``timeline``.
        """
        self._require_closed(recording_id)
        timeline, _ = self._read(recording_id)
        folder = self._place / recording_id
        try:
            sound.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(folder / SOUND, sound)
            if avatars is not None:
                shutil.copytree(folder / AVATARS, avatars)
        except FileNotFoundError as error:
            raise _gone() from error
        return timeline

    async def remove(self, recording_id: str) -> None:
        """Delete a recording.

        Raises:
            NotFoundError, ConflictError: see ``timeline``.
        """
        await self.timeline(recording_id)
        await asyncio.to_thread(_remove, self._place / recording_id)

    def _require_closed(self, recording_id: str) -> None:
        if not _ID.fullmatch(recording_id):
            raise _gone()
        if recording_id in self._open:
            raise ConflictError("The session is still being recorded; end it first.")

    def _read(self, recording_id: str) -> tuple[Timeline, float]:
        path = self._place / recording_id / TIMELINE
        try:
            timeline = Timeline(**json.loads(path.read_text(encoding="utf-8")))
            return timeline, path.stat().st_mtime + self._settings.keep_s
        except FileNotFoundError as error:
            raise _gone() from error

    async def _sweep_often(self) -> None:
        while True:
            try:
                await asyncio.to_thread(self._sweep)
            except OSError as error:
                logger.error("The recordings cannot be looked through: %s", error)
            await asyncio.sleep(min(_SWEEP_S, self._settings.keep_s))

    def _sweep(self) -> None:
        if not self._place.is_dir():
            return
        for folder in self._place.iterdir():
            if not _ID.fullmatch(folder.name) or folder.name in self._open:
                continue
            timeline = folder / TIMELINE
            limit_s = self._settings.keep_s if timeline.is_file() else _ORPHAN_S
            touched_s = timeline.stat().st_mtime if timeline.is_file() else _touched_s(folder)
            if time.time() - touched_s > limit_s:
                _remove(folder)
                logger.info("Removed recording %s", folder.name)


def _gone() -> NotFoundError:
    return NotFoundError("There is no such recording; it may have been removed after its time.")


def _remove(folder: Path) -> None:
    """The timeline first: what is left of a removal that was cut short is no recording."""
    (folder / TIMELINE).unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _touched_s(folder: Path) -> float:
    """When anything in ``folder`` itself was last written."""
    return max((path.stat().st_mtime for path in [folder, *folder.iterdir()]), default=0.0)


def _bytes_of(place: Path, without: set[str]) -> int:
    """What the recordings take, those in ``without`` excepted."""
    folders = [folder for folder in place.glob("*") if folder.name not in without]
    return sum(path.stat().st_size for folder in folders for path in folder.rglob("*") if path.is_file())
