"""Gestures over HTTP: a smile, a nod or a motion template, laid over a running session."""

import json
from typing import Any

from aiohttp import web

from server.errors import RequestError
from server.keys import MANAGER
from server.motion_api import MOTIONS


def routes() -> list[web.AbstractRouteDef]:
    """The route of gestures."""
    return [web.post("/sessions/{id}/gesture", post_gesture)]


async def post_gesture(request: web.Request) -> web.Response:
    """Begin a gesture: JSON ``{"name": "smile"}``, or ``{"motion": NAME}`` for a motion template.

    Answers with its ``seconds``; it begins with the next frame, in place of the one that runs.
    """
    session = request.app[MANAGER].get(request.match_info["id"])
    key, name = _read(await request.text())
    gesture: Any = name
    if key == "motion":
        gesture = await request.app[MOTIONS].gesture(name, session.gesturing().gesture_of)
    return web.json_response({key: name, "seconds": round(await session.gesture(gesture), 3)})


def _read(text: str) -> tuple[str, str]:
    """("name" or "motion", what it is)."""
    try:
        body: Any = json.loads(text)
    except ValueError as error:
        raise RequestError("The gesture is not JSON; send an object with 'name' or 'motion'.") from error
    for key, other in (("name", "motion"), ("motion", "name")):
        if isinstance(body, dict) and isinstance(body.get(key), str) and other not in body:
            return key, body[key]
    raise RequestError('A gesture is either {"name": "smile"} or {"motion": a template\'s name}.')
