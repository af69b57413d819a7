"""Wiring, start-up and shutdown."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable

import numpy as np
from aiohttp import web

from models.engine import RenderRequest
from models.errors import VisavisError
from models.talker import Talker
from models.timebase import SAMPLES_PER_FRAME
from server import api, avatar_api, engines_api, gesture_api, motion_api, recording_api, signaling
from server.config import Settings
from server.errors import RequestError, ServerFullError
from server.executor import Executor
from server.jobs import api as jobs
from server.keys import EXECUTOR, LIBRARY, MANAGER, METRICS, OWN_AVATARS, READY, RECORDINGS, SETTINGS, Readiness
from server.library import Library
from server.media import rtc
from server.metrics import Metrics
from server.own_avatars import OwnAvatars
from server.paths import AVATARS, own_motions
from server.session_manager import SessionManager
from server.session_recordings import SessionRecordings

logger = logging.getLogger(__name__)

_SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; media-src 'self' blob:; "
        "style-src 'self'; connect-src 'self'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self)",
}


def create_app(settings: Settings) -> web.Application:
    """The whole server as an aiohttp application; it starts what it needs and ends all of it."""
    app = web.Application(client_max_size=settings.http.max_offer_bytes, middlewares=[_errors])
    metrics = Metrics()
    executor = Executor(metrics, settings.engine.threads, settings.engine.max_batch)
    app[SETTINGS], app[METRICS], app[EXECUTOR] = settings, metrics, executor
    # The shipped and the configured ones win over a user's of the same name.
    folders = [settings.avatars.own, AVATARS, *settings.avatars.folders]
    app[LIBRARY] = Library(executor, folders, settings.engine, settings.avatars.most_loaded)
    app[OWN_AVATARS] = OwnAvatars(settings)
    app[RECORDINGS] = SessionRecordings(settings)
    app[MANAGER] = SessionManager(metrics, settings.sessions.max_sessions)
    app[READY] = Readiness()
    app[jobs.JOBS] = jobs.JobService(settings)
    app[motion_api.MOTIONS] = motion_api.Motions(own_motions())
    app.add_routes(
        [
            *signaling.routes(),
            *avatar_api.routes(),
            *motion_api.routes(),
            *gesture_api.routes(),
            *engines_api.routes(),
            *jobs.routes(),
            *recording_api.routes(),
            *api.routes(),
        ]
    )
    app.on_response_prepare.append(_secure)
    app.cleanup_ctx.append(_lifetime)
    app.cleanup_ctx.append(jobs.lifetime)
    app.on_shutdown.append(_stop_making)
    app.on_shutdown.append(jobs.end_streams)
    return app


async def _stop_making(app: web.Application) -> None:
    """Before the server waits for its requests, for one of them waits for the process that makes an avatar."""
    await app[OWN_AVATARS].aclose()


async def _lifetime(app: web.Application) -> AsyncIterator[None]:
    settings = app[SETTINGS]
    rtc.install(settings.ice.host_addresses, settings.ice.port_range)
    app[EXECUTOR].start()
    app[RECORDINGS].start()
    try:
        await app[EXECUTOR].call(rtc.warm_up_codecs)
        await _warm_up(app)
        app[READY].is_warm = True
        yield
    finally:
        app[READY].is_warm = False
        await app[MANAGER].aclose()
        await app[RECORDINGS].aclose()
        await app[EXECUTOR].aclose()


async def _warm_up(app: web.Application) -> None:
    """Load the default engine and avatar and draw once, so that the first visitor waits for nothing."""
    settings, library = app[SETTINGS], app[LIBRARY]
    engine, avatar = await asyncio.gather(
        library.engine(settings.engine.name), library.avatar(settings.avatars.default)
    )
    prepared = await library.prepared(engine, avatar)

    requests = await asyncio.to_thread(_humming, Talker(engine, avatar, prepared))
    await app[EXECUTOR].warm_up(engine, requests, settings.playout.render_budget_ms / 1000)


def _humming(talker: Talker) -> list[RenderRequest]:
    """What a talker asks for that hears a second of something."""
    talker.push(np.float32(0.1) * np.sin(np.arange(20 * 3 * SAMPLES_PER_FRAME, dtype=np.float32)))
    return [job.request for job in talker.jobs() if job.request is not None]


@web.middleware
async def _errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """Every fault as JSON with a sentence."""
    try:
        return await handler(request)
    except RequestError as error:
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, ServerFullError) else {}
        return web.json_response({"error": str(error)}, status=error.status, headers=headers)
    except web.HTTPRequestEntityTooLarge:
        limit = request.app[SETTINGS].http.max_offer_bytes
        return web.json_response({"error": f"The request is larger than {limit} bytes."}, status=413)
    except web.HTTPException as error:
        return web.json_response({"error": f"{error.reason}: {request.method} {request.path}."}, status=error.status)
    except VisavisError as error:
        logger.error("%s", error)
        return web.json_response({"error": str(error)}, status=500)


async def _secure(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_SECURITY_HEADERS)
