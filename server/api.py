"""Sessions, health, metrics and the page."""

import asyncio
import os

from aiohttp import web

from server.engine_report import readiness
from server.keys import MANAGER, METRICS, READY, RECORDINGS, SETTINGS
from server.paths import STATIC
from server.turn import ice_servers


def routes() -> list[web.AbstractRouteDef]:
    """Every route but signaling and avatars."""
    return [
        web.get("/", get_page),
        web.get("/config", get_config),
        web.get("/sessions", get_sessions),
        web.get("/sessions/{id}", get_session),
        web.delete("/sessions/{id}", delete_session),
        web.post("/sessions/{id}/neutral", post_neutral),
        web.get("/livez", get_livez),
        web.get("/readyz", get_readyz),
        web.get("/metrics", get_metrics),
        web.static("/static", STATIC),
    ]


async def get_page(_request: web.Request) -> web.FileResponse:
    """The browser demo."""
    return web.FileResponse(STATIC / "index.html")


async def get_config(request: web.Request) -> web.Response:
    """What the page needs to know before it offers; of engines whose weights are missing, how to get them.

    ``recordings`` says whether an offer may ask for a recording.
    """
    settings = request.app[SETTINGS]
    ready, missing = await asyncio.to_thread(readiness, settings.engine)
    return web.json_response(
        {
            "ice_servers": ice_servers(settings.ice),
            "sample": "/static/sample.wav",
            "engines": ready,
            "missing_engines": missing,
            "recordings": request.app[RECORDINGS].may_record,
        }
    )


async def get_sessions(request: web.Request) -> web.Response:
    """Every session."""
    return web.json_response({"sessions": [session.describe() for session in request.app[MANAGER].all()]})


async def get_session(request: web.Request) -> web.Response:
    """One session: state, delay by stage, frames."""
    return web.json_response(request.app[MANAGER].get(request.match_info["id"]).describe())


async def delete_session(request: web.Request) -> web.Response:
    """End a session."""
    await request.app[MANAGER].close(request.match_info["id"], "deleted")
    return web.Response(status=204)


async def post_neutral(request: web.Request) -> web.Response:
    """The next face before the camera counts as at rest; 409 for a session no camera moves."""
    return web.json_response(await request.app[MANAGER].get(request.match_info["id"]).neutral())


async def get_livez(_request: web.Request) -> web.Response:
    """The process is alive; its id lets a load test on this machine watch it."""
    return web.json_response({"status": "ok", "pid": os.getpid()})


async def get_readyz(request: web.Request) -> web.Response:
    """Models warm and a place free."""
    if not request.app[READY].is_warm:
        return web.json_response({"status": "warming up"}, status=503)
    if not request.app[MANAGER].has_room:
        return web.json_response({"status": "full"}, status=503)
    return web.json_response({"status": "ready"})


async def get_metrics(request: web.Request) -> web.Response:
    """Prometheus' text format."""
    return web.Response(body=request.app[METRICS].exposition(), content_type="text/plain", charset="utf-8")
