"""Engines over HTTP: how fast each is on this machine, and which suits which need."""

import asyncio

from aiohttp import web

from server.engine_report import report
from server.keys import SETTINGS
from server.paths import measured_engines


def routes() -> list[web.AbstractRouteDef]:
    """The routes of engines."""
    return [web.get("/engines", get_engines)]


async def get_engines(request: web.Request) -> web.Response:
    """What ``visavis recommend`` measured here; nothing is measured while sessions run.

    ``served`` are the engines that a session can be offered, ``not_served`` says what is missing of the others.
    """
    return web.json_response(await asyncio.to_thread(report, measured_engines(), request.app[SETTINGS].engine))
