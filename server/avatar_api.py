"""Avatars over HTTP: the faces to choose from, and how to add and remove one's own."""

import asyncio
import shutil
import tempfile
from pathlib import Path

from aiohttp import web

from models.errors import AvatarError
from models.face import preview
from server.errors import ConflictError, RequestError
from server.keys import LIBRARY, MANAGER, OWN_AVATARS, SETTINGS
from server.own_avatars import check_name, is_own, parse_box
from server.uploads import read_upload, require_same_origin

_FIELDS = ("name", "title", "licence", "box")


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
    require_same_origin(request)
    with app[OWN_AVATARS].reserve():
        folder = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="visavis-"))
        try:
            upload = await read_upload(request, folder, app[SETTINGS].avatars.max_upload_bytes, _FIELDS)
            name, fields = upload.fields.get("name", ""), upload.fields
            try:
                check_name(name)
                box = parse_box(fields["box"]) if fields.get("box") else None
            except AvatarError as error:
                raise RequestError(str(error)) from error
            licence = fields.get("licence") or "unstated"
            await app[OWN_AVATARS].add(name, upload.file, box, fields.get("title", ""), licence)
        finally:
            await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    body = {"name": name, "portrait": f"/avatars/{name}/portrait.jpg", "preview": f"/avatars/{name}/preview.jpg"}
    return web.json_response(body, status=201, headers={"Location": f"/avatars/{name}/portrait.jpg"})


async def delete_avatar(request: web.Request) -> web.Response:
    """Remove an avatar that was added, unless somebody talks with it."""
    app, name = request.app, request.match_info["name"]
    require_same_origin(request)
    app[OWN_AVATARS].require_change()
    await app[LIBRARY].folder(name)
    if name == app[SETTINGS].avatars.default:
        raise ConflictError(f"'{name}' is this server's default avatar; set avatars.default to another one first.")
    users = sum(session.avatar_name == name for session in app[MANAGER].all())
    if users:
        raise ConflictError(f"'{name}' is on the screen of {users} session(s); end them or wait.")
    await app[OWN_AVATARS].remove(name)
    return web.Response(status=204)
