"""Avatars that users add: their names, their folder, and the process that makes one while sessions run."""

import asyncio
import ipaddress
import logging
import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.avatar import MANIFEST
from models.errors import AvatarError, VisavisError
from models.face.detector import Box
from server.config import Settings
from server.errors import ConflictError, ForbiddenError, RequestError, ServerFullError
from server.paths import AVATARS, PACKAGES

logger = logging.getLogger(__name__)

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
_NICENESS = 10
_USERS_FAULT = 2
"""The command's exit code where the user can mend what went wrong."""


class OwnAvatars:
    """Makes avatars, one at a time and each in a process of its own at low priority, and removes them."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings.avatars
        self._is_loopback = is_loopback(settings.http.host)
        self._process: asyncio.subprocess.Process | None = None
        self._busy = self._closed = False

    @property
    def may_change(self) -> bool:
        """Whether those who reach the server may add and remove avatars."""
        return self._settings.uploads == "everyone" or (self._settings.uploads == "loopback" and self._is_loopback)

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Hold the one place there is for making an avatar, upload included.

        Raises:
            ForbiddenError: the settings let nobody.
            ServerFullError: another one is being made.
        """
        self.require_change()
        if self._busy or self._closed:
            raise ServerFullError("Another avatar is being made; try again in a moment.")
        self._busy = True
        try:
            yield
        finally:
            self._busy = False

    def require_change(self) -> None:
        """Raise where ``may_change`` is false.

        Raises:
            ForbiddenError: the settings let nobody.
        """
        if not self.may_change:
            raise ForbiddenError(
                "This server takes no avatars over HTTP; add them on its machine with visavis avatar add, or set "
                "avatars.uploads."
            )

    async def add(self, name: str, source: Path, box: Box | None, title: str, licence: str) -> None:
        """Make an avatar of a file; call it inside ``reserve``.

        Raises:
            RequestError: what is wrong with the file, in a sentence.
            ConflictError: the name is taken, or there are too many avatars.
            VisavisError: the process failed or took too long.
        """
        own = self._settings.own
        await asyncio.to_thread(self._check_place, name)
        options = ["--folder", str(own), f"--title={title}", f"--licence={licence}"]
        if box:
            options.append(f"--box={','.join(map(str, box))}")
        try:
            async with asyncio.timeout(self._settings.make_timeout_s):
                code, sentence = await self._run("add", name, str(source), *options)
        except TimeoutError as error:
            raise RequestError(
                f"{source.name} took longer than {self._settings.make_timeout_s:g} s; give a shorter or smaller file."
            ) from error
        finally:
            await asyncio.to_thread(discard_unfinished, own / name)
        if code == _USERS_FAULT:
            raise RequestError(sentence)
        if code:
            logger.error("Making avatar '%s' failed with code %d: %s", name, code, sentence)
            raise VisavisError(f"No avatar could be made of {source.name}; the server's log says why.")

    async def remove(self, name: str) -> None:
        """Delete an added avatar.

        Raises:
            ForbiddenError: it is not one of them.
        """
        if not await asyncio.to_thread(is_own, self._settings.own, name):
            raise ForbiddenError(f"'{name}' was not added over HTTP or by visavis avatar add, and stays.")
        await asyncio.to_thread(remove_avatar, self._settings.own / name)

    async def aclose(self) -> None:
        """Make none any more."""
        self._closed = True
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    def _check_place(self, name: str) -> None:
        own = self._settings.own
        if (own / name).exists():
            raise ConflictError(f"There is an avatar '{name}' already; choose another name or delete it first.")
        if len(list(own.glob(f"*/{MANIFEST}"))) >= self._settings.max_own:
            raise ConflictError(f"There are {self._settings.max_own} avatars already; delete one first.")

    async def _run(self, *arguments: str) -> tuple[int, str]:
        """The command's exit code and the last line of what it complained."""
        environment = os.environ | {
            "PYTHONPATH": str(PACKAGES),
            "OMP_NUM_THREADS": "1",
            "OPENCV_FOR_THREADS_NUM": "1",
            "VISAVIS_AVATARS__MAX_MEGAPIXELS": str(self._settings.max_megapixels),
            "VISAVIS_AVATARS__MAX_CLIP_S": str(self._settings.max_clip_s),
        }
        # -P: the folder that the server was started in may hold modules of these names.
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "server.avatar_command", *arguments,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
            env=environment,
        )  # fmt: skip
        try:
            if hasattr(os, "setpriority"):
                os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
            _, complaint = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            self._process = None
        lines = complaint.decode(errors="replace").strip().splitlines()
        return process.returncode or 0, lines[-1] if lines else ""


def check_name(name: str) -> None:
    """Whether an avatar may have this name.

    Raises:
        AvatarError: it may not.
    """
    if not _NAME.fullmatch(name):
        raise AvatarError(
            f"'{name[:40]}' is no name for an avatar; take at most 32 of a-z, 0-9, - and _, beginning with a letter "
            "or digit."
        )
    if (AVATARS / name).exists():
        raise AvatarError(f"'{name}' is an avatar that visavis brings; choose another name.")


def parse_box(text: str) -> Box:
    """``x0,y0,x1,y1``.

    Raises:
        AvatarError: it is something else.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != 4 or not all(part.isdecimal() and len(part) < 9 for part in parts):
        raise AvatarError(f"A box is x0,y0,x1,y1 in whole pixels, such as 160,185,696,722, not '{text[:40]}'.")
    x0, y0, x1, y1 = map(int, parts)
    return x0, y0, x1, y1


def is_own(own: Path, name: str) -> bool:
    """Whether ``own`` holds an avatar of this name."""
    return _NAME.fullmatch(name) is not None and (own / name / MANIFEST).is_file()


def remove_avatar(folder: Path) -> None:
    """Delete an avatar's folder: renamed first, so that nobody reads half of it."""
    aside = folder.with_name(f".{folder.name}.removed")
    shutil.rmtree(aside, ignore_errors=True)
    folder.rename(aside)
    shutil.rmtree(aside)


def discard_unfinished(folder: Path) -> None:
    """Delete what a killed ``visavis avatar add`` left beside ``folder``."""
    shutil.rmtree(folder.with_name(f".{folder.name}.part"), ignore_errors=True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches a server that listens on ``host``."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
