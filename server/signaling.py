"""SDP in, SDP out."""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiortc import RTCIceServer

from models.errors import VisavisError
from server.errors import RequestError
from server.keys import EXECUTOR, LIBRARY, MANAGER, METRICS, RECORDINGS, SETTINGS
from server.session import Session
from server.turn import ice_servers


@dataclass(frozen=True)
class Offer:
    """The body of ``POST /offer``."""

    sdp: str
    avatar: str | None
    engine: str | None
    record: bool


def routes() -> list[web.RouteDef]:
    """The signaling routes."""
    return [web.post("/offer", post_offer)]


async def post_offer(request: web.Request) -> web.Response:
    """Answer an offer: JSON ``sdp``, ``type``, optional ``avatar``, ``engine`` and ``record``."""
    app = request.app
    try:
        with app[MANAGER].reserve():
            offer = _read_offer(await request.text())
            session, answer = await _open(app, offer)
            app[MANAGER].adopt(session)
    except VisavisError as error:
        app[METRICS].offers_refused.labels(status=str(getattr(error, "status", 500))).inc()
        raise
    body = {"sdp": answer, "type": "answer", "session_id": session.id}
    return web.json_response(body if session.recording_id is None else body | {"recording": session.recording_id})


async def _open(app: web.Application, offer: Offer) -> tuple[Session, str]:
    settings, library = app[SETTINGS], app[LIBRARY]
    engine = await library.engine(offer.engine or settings.engine.name)
    avatar = await library.avatar(offer.avatar or settings.avatars.default)
    prepared = await library.prepared(engine, avatar)
    servers = [RTCIceServer(**server) for server in ice_servers(settings.ice)]
    session = Session(settings, app[METRICS], app[EXECUTOR], engine, avatar, prepared, servers)
    try:
        if offer.record:
            session.record(await app[RECORDINGS].open(await library.folder(avatar.name)))
        return session, await session.answer(offer.sdp)
    except BaseException:
        await session.aclose("refused")
        raise


def _read_offer(text: str) -> Offer:
    try:
        body: Any = json.loads(text)
    except ValueError as error:
        raise RequestError("The offer is not JSON; send an object with 'sdp' and 'type'.") from error
    if not isinstance(body, dict) or not isinstance(body.get("sdp"), str) or body.get("type") != "offer":
        raise RequestError("The offer needs a string 'sdp' and 'type': 'offer'.")
    for key in ("avatar", "engine"):
        if body.get(key) is not None and not isinstance(body[key], str):
            raise RequestError(f"The offer's '{key}' must be a name.")
    record = body.get("record", False)
    if not isinstance(record, bool):
        raise RequestError("The offer's 'record' must be true or false.")
    return Offer(body["sdp"], body.get("avatar"), body.get("engine"), record)
