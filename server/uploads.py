"""Files sent as forms: read piece by piece, within limits, and only from the server's own page."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit

from aiohttp import BodyPartReader, web

from server.errors import ForbiddenError, RequestError, TooLargeError

_FIELD_BYTES = 400
_MOST_PARTS = 10
_WRITE_BYTES = 1 << 20


@dataclass
class Upload:
    """What came in a multipart body."""

    file: Path
    fields: dict[str, str] = field(default_factory=dict)


async def read_upload(request: web.Request, folder: Path, limit_bytes: int, names: Sequence[str]) -> Upload:
    """Read a form of one ``file``, which is written to ``folder``, and short fields of these names.

    Raises:
        TooLargeError: the body or the file exceeds ``limit_bytes``.
        RequestError: it is no such form.
    """
    if (request.content_length or 0) > limit_bytes:
        raise _too_large(limit_bytes)
    file: Path | None = None
    fields: dict[str, str] = {}
    try:
        reader = await request.multipart()
        for _ in range(_MOST_PARTS):
            part = await reader.next()
            if part is None:
                break
            if not isinstance(part, BodyPartReader):
                raise RequestError("A part of the form is a form itself; send file and name side by side.")
            if part.name == "file" and file is None:
                file = folder / _safe_name(part.filename or "")
                await _save(part, file, limit_bytes)
            elif part.name is not None and part.name in names:
                fields[part.name] = await _text(part)
            else:
                raise RequestError(f"The form has a field '{(part.name or '')[:40]}'; send file, {', '.join(names)}.")
    except (ValueError, AssertionError) as error:
        raise RequestError("The body is not multipart/form-data; send fields file and name as a form does.") from error
    if file is None or not file.stat().st_size:
        raise RequestError("The form has no file; send one in its field 'file'.")
    return Upload(file, fields)


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


def require_same_origin(request: web.Request) -> None:
    """A page from elsewhere may not have a visitor's browser change what this server shows."""
    origin = request.headers.get("Origin")
    if origin is not None and urlsplit(origin).netloc != request.host:
        raise ForbiddenError(f"A page of {origin[:80]} may not change this server; open this server's own page.")


def _too_large(limit_bytes: int) -> TooLargeError:
    return TooLargeError(f"The file is larger than {limit_bytes / 1e6:.0f} MB; send a smaller one.")
