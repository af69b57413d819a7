"""Recordings over HTTP: look at one, remove it.

Who holds a recording's id, from the answer to the offer, may use it; ids cannot be guessed, and there is no list.
"""

from dataclasses import asdict

from aiohttp import web

from server.keys import RECORDINGS
from server.uploads import require_same_origin


def routes() -> list[web.RouteDef]:
    """The routes of recordings."""
    return [
        web.get("/recordings/{id}", get_recording),
        web.delete("/recordings/{id}", delete_recording),
    ]


async def get_recording(request: web.Request) -> web.Response:
    """A recording's timeline, once its session has ended."""
    recording_id = request.match_info["id"]
    timeline, kept_until_s = await request.app[RECORDINGS].timeline(recording_id)
    return web.json_response({"id": recording_id, **asdict(timeline), "kept_until_unix_s": kept_until_s})


async def delete_recording(request: web.Request) -> web.Response:
    """Remove a recording; jobs that were made of it go on."""
    require_same_origin(request)
    await request.app[RECORDINGS].remove(request.match_info["id"])
    return web.Response(status=204)
