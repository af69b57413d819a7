"""Motion templates over HTTP: the ones there are, and how to add and remove one."""

import asyncio
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from models.errors import MediaError
from server.errors import ConflictError, ForbiddenError, NotFoundError, RequestError, ServerFullError, TooLargeError
from server.keys import OWN_AVATARS, SETTINGS
from server.uploads import read_upload, require_same_origin

if TYPE_CHECKING:
    from models.liveportrait.template import MotionTemplate

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_FIELDS = ("name", "title", "licence")
_PICKLE = ".pkl"
_PICKLE_BYTES = 4 << 20
"""Unpickling holds Python's lock; no published template is a tenth as large."""


class Motions:
    """The templates in a folder. What was read of one is kept as long as its file stays as it is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.busy = False
        """Whether an upload is being taken: one at a time, for a template may be large."""
        self._rows: dict[str, tuple[int, dict[str, Any]]] = {}
        self._gestures: dict[str, tuple[int, Any]] = {}
        self._reading = asyncio.Lock()
        """One template at a time is read for a session, since it may be large."""

    def path(self, name: str) -> Path:
        """Where a template of this name lies, if there is one.

        Raises:
            RequestError: no template may be called so.
        """
        if not _NAME.fullmatch(name):
            raise RequestError(f"'{name[:40]}' is no template's name; use lower-case letters, digits, - and _.")
        return self.folder / f"{name}.npz"

    async def gesture(self, name: str, read: Callable[[Path], Any]) -> Any:
        """A template as a gesture; ``read`` makes one of its file, once.

        Raises:
            RequestError: no template may be called so.
            NotFoundError: there is none of that name.
            ConflictError: it is damaged, or nothing moves in it.
        """
        path = self.path(name)
        async with self._reading:
            try:
                changed_ns = (await asyncio.to_thread(path.stat)).st_mtime_ns
                known = self._gestures.get(name)
                if known is None or known[0] != changed_ns:
                    known = changed_ns, await asyncio.to_thread(read, path)
            except FileNotFoundError as error:
                self._gestures.pop(name, None)
                names = ", ".join(row["name"] for row in await asyncio.to_thread(self.rows)) or "none is stored"
                raise NotFoundError(f"There is no motion template '{name}'; choose one of: {names}.") from error
            except MediaError as error:
                raise ConflictError(str(error)) from error
            self._gestures[name] = known
            return known[1]

    def rows(self) -> list[dict[str, Any]]:
        """What is told of each template, a damaged one with its fault. Reads files: not for the event loop."""
        found = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                changed_ns = path.stat().st_mtime_ns
            except FileNotFoundError:
                continue  # removed meanwhile
            known = self._rows.get(path.stem)
            found[path.stem] = known if known and known[0] == changed_ns else (changed_ns, _row(path))
        self._rows = found
        return [row for _, row in found.values()]

    def add(self, name: str, upload: Path, title: str, licence: str, most: int) -> dict[str, Any]:
        """Check an uploaded template and keep it. Reads and writes files: not for the event loop.

        Raises:
            ConflictError: the name is taken, or there are ``most`` already.
            RequestError: the file is no template; the sentence says why.
        """
        from models.liveportrait.published_template import read_published
        from models.liveportrait.template import load_template, save_template

        path = self.path(name)
        if path.exists():
            raise ConflictError(f"There is a motion template '{name}' already; choose another name or delete it first.")
        if len(list(self.folder.glob("*.npz"))) >= most:
            raise ConflictError(f"There are {most} motion templates already; delete one first.")
        if upload.suffix == _PICKLE and upload.stat().st_size > _PICKLE_BYTES:
            raise TooLargeError(
                f"The .pkl is larger than {_PICKLE_BYTES >> 20} MiB; convert it with visavis motion extract, and send "
                "the .npz."
            )
        try:
            template: MotionTemplate = (read_published if upload.suffix == _PICKLE else load_template)(upload)
        except MediaError as error:
            # The file lies in a folder of the server's, which is nobody's business.
            raise RequestError(str(error).replace(f"{upload.parent}{os.sep}", "")) from error
        named = replace(template, title=title or template.title or name, licence=licence or template.licence)
        save_template(path, named)
        return _told(name, named)


MOTIONS = web.AppKey("motions", Motions)


def routes() -> list[web.AbstractRouteDef]:
    """The routes of motion templates."""
    return [
        web.get("/motions", get_motions),
        web.post("/motions", post_motion),
        web.delete("/motions/{name}", delete_motion),
    ]


async def get_motions(request: web.Request) -> web.Response:
    """Every template: name, title, licence, frames, frames a second."""
    rows = await asyncio.to_thread(request.app[MOTIONS].rows)
    return web.json_response({"motions": rows, "uploads": request.app[OWN_AVATARS].may_change})


async def post_motion(request: web.Request) -> web.Response:
    """Add a template: multipart ``file`` (our ``.npz``, or a published ``.pkl``), ``name``, ``title``, ``licence``."""
    app, motions = request.app, request.app[MOTIONS]
    require_same_origin(request)
    _require_change(request)
    if motions.busy:
        raise ServerFullError("Another motion template is being added; try again in a moment.")
    motions.busy = True
    try:
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="visavis-"))
        try:
            upload = await read_upload(request, folder, app[SETTINGS].avatars.max_upload_bytes, _FIELDS)
            fields, most = upload.fields, app[SETTINGS].avatars.max_own
            name = fields.get("name", "")
            row = await asyncio.to_thread(
                motions.add, name, upload.file, fields.get("title", ""), fields.get("licence", ""), most
            )
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    finally:
        motions.busy = False
    return web.json_response(row, status=201)


async def delete_motion(request: web.Request) -> web.Response:
    """Remove a template; who plays it has read it already."""
    name = request.match_info["name"]
    require_same_origin(request)
    _require_change(request)
    path = request.app[MOTIONS].path(name)
    try:
        await asyncio.to_thread(path.unlink)
    except FileNotFoundError as error:
        raise NotFoundError(f"There is no motion template '{name}'.") from error
    return web.Response(status=204)


def _require_change(request: web.Request) -> None:
    """Who may add avatars may add templates."""
    if not request.app[OWN_AVATARS].may_change:
        raise ForbiddenError(
            "This server takes no motion templates over HTTP; add them on its machine with visavis motion extract, or "
            "set avatars.uploads."
        )


def _row(path: Path) -> dict[str, Any]:
    from models.liveportrait.template import load_template

    try:
        return _told(path.stem, load_template(path))
    except MediaError as error:
        return {"name": path.stem, "error": str(error)}


def _told(name: str, template: "MotionTemplate") -> dict[str, Any]:
    return {
        "name": name,
        "title": template.title,
        "licence": template.licence,
        "frames": len(template),
        "fps": template.fps,
        "seconds": round(len(template) / template.fps, 3),
    }
