"""Avatars over HTTP: the faces to choose from, and how to add and remove one's own."""

import asyncio
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from aiohttp import BodyPartReader, web

from models.errors import AvatarError
from models.face import preview
from server.errors import ConflictError, ForbiddenError, RequestError, TooLargeError
from server.keys import LIBRARY, MANAGER, OWN_AVATARS, SETTINGS
from server.own_avatars import check_name, is_own, parse_box

_FIELDS = ("name", "title", "licence", "box")
_FIELD_BYTES = 400
_MOST_PARTS = 10
_WRITE_BYTES = 1 << 20


def routes() -> list[web.AbstractRouteDef]:
    """The routes of avatars."""
    return [
        web.get("/avatars", get_avatars),
        web.post("/avatars", post_avatar),
        web.delete("/avatars/{name}", delete_avatar),
        web.get("/avatars/{name}/portrait.jpg", get_portrait),
        web.get("/avatars/{name}/preview.jpg", get_preview),
    ]


async def get_avatars(request: web.Request) -> web.Response:
    """The faces to choose from."""
    settings = request.app[SETTINGS].avatars
    cards = await request.app[LIBRARY].cards()
    own = await asyncio.to_thread(lambda: {card.name for card in cards if is_own(settings.own, card.name)})
    rows = [
        {
            "name": card.name,
            "title": card.title,
            "licence": card.licence,
            "portrait": f"/avatars/{card.name}/portrait.jpg",
            "width": card.width,
            "height": card.height,
            "own": card.name in own,
        }
        for card in cards
    ]
    uploads = request.app[OWN_AVATARS].may_change
    return web.json_response({"avatars": rows, "default": settings.default, "uploads": uploads})


async def get_portrait(request: web.Request) -> web.Response:
    """An avatar's thumbnail."""
    card = await request.app[LIBRARY].card(request.match_info["name"])
    return web.Response(body=card.portrait_jpeg, content_type="image/jpeg")


async def get_preview(request: web.Request) -> web.Response:
    """The sheet that shows what an own avatar was made into."""
    sheet = await request.app[LIBRARY].file(request.match_info["name"], preview.FILE)
    return web.Response(body=sheet, content_type="image/jpeg")


async def post_avatar(request: web.Request) -> web.Response:
    """Make an avatar of a photo or clip: multipart ``file`` and ``name``, optional ``title``, ``licence``, ``box``."""
    app = request.app
    _require_same_origin(request)
    with app[OWN_AVATARS].reserve():
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="visavis-"))
        try:
            upload = await _read_upload(request, folder, app[SETTINGS].avatars.max_upload_bytes)
            name, fields = upload.fields.get("name", ""), upload.fields
            try:
                check_name(name)
                box = parse_box(fields["box"]) if fields.get("box") else None
            except AvatarError as error:
                raise RequestError(str(error)) from error
            assert upload.file is not None
            licence = fields.get("licence") or "unstated"
            await app[OWN_AVATARS].add(name, upload.file, box, fields.get("title", ""), licence)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    body = {"name": name, "portrait": f"/avatars/{name}/portrait.jpg", "preview": f"/avatars/{name}/preview.jpg"}
    return web.json_response(body, status=201, headers={"Location": f"/avatars/{name}/portrait.jpg"})


async def delete_avatar(request: web.Request) -> web.Response:
    """Remove an avatar that was added, unless somebody talks with it."""
    app, name = request.app, request.match_info["name"]
    _require_same_origin(request)
    app[OWN_AVATARS].require_change()
    await app[LIBRARY].folder(name)
    if name == app[SETTINGS].avatars.default:
        raise ConflictError(f"'{name}' is this server's default avatar; set avatars.default to another one first.")
    users = sum(session.avatar_name == name for session in app[MANAGER].all())
    if users:
        raise ConflictError(f"'{name}' is on the screen of {users} session(s); end them or wait.")
    await app[OWN_AVATARS].remove(name)
    return web.Response(status=204)


@dataclass
class _Upload:
    """What came in a multipart body."""

    file: Path | None = None
    fields: dict[str, str] = field(default_factory=dict)


async def _read_upload(request: web.Request, folder: Path, limit_bytes: int) -> _Upload:
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    upload = _Upload()
    try:
        reader = await request.multipart()
        for _ in range(_MOST_PARTS):
            part = await reader.next()
            if part is None:
                break
            if not isinstance(part, BodyPartReader):
                raise RequestError("A part of the form is a form itself; send file and name side by side.")
            if part.name == "file" and upload.file is None:
                upload.file = folder / _safe_name(part.filename or "")
                await _save(part, upload.file, limit_bytes)
            elif part.name in _FIELDS:
                upload.fields[part.name] = await _text(part)
            else:
                raise RequestError(f"The form has a field '{(part.name or '')[:40]}'; send file, {', '.join(_FIELDS)}.")
    except (ValueError, AssertionError) as error:
        raise RequestError("The body is not multipart/form-data; send fields file and name as a form does.") from error
    if upload.file is None or not upload.file.stat().st_size:
        raise RequestError("The form has no file; send a photo or a clip in its field 'file'.")
    return upload


async def _save(part: BodyPartReader, path: Path, limit_bytes: int) -> None:
    """Write a part to a file, a megabyte at a time and never on the event loop."""
    taken, waiting = 0, bytearray()
    file: BinaryIO = await asyncio.to_thread(path.open, "wb")
    try:
        while chunk := await part.read_chunk(1 << 16):
            taken += len(chunk)
            if taken > limit_bytes:
                raise _too_large(limit_bytes)
            waiting += chunk
            if len(waiting) >= _WRITE_BYTES:
                await asyncio.to_thread(file.write, bytes(waiting))
                waiting.clear()
        await asyncio.to_thread(file.write, bytes(waiting))
    finally:
        await asyncio.to_thread(file.close)


async def _text(part: BodyPartReader) -> str:
    """A short field, one line."""
    content = bytearray()
    while chunk := await part.read_chunk(_FIELD_BYTES + 1):
        content += chunk
        if len(content) > _FIELD_BYTES:
            raise RequestError(f"The field '{part.name}' is longer than {_FIELD_BYTES} bytes.")
    return " ".join(content.decode(errors="replace").split())


def _safe_name(name: str) -> str:
    """A file's name as it may be written and shown: its last part, of plain characters."""
    plain = re.sub(r"[^\w.() -]", "_", re.split(r"[/\\]", name)[-1]).lstrip(". ")
    return plain[-60:] or "upload"


def _require_same_origin(request: web.Request) -> None:
    """A page from elsewhere may not have a visitor's browser change what this server shows."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise ForbiddenError(f"A page of {origin[:80]} may not change avatars here; open this server's own page.")


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(f"The file is larger than {limit_bytes / 1e6:.0f} MB; send a smaller one.")
