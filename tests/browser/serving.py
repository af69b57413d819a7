"""A server on a free port, and a page of it whose console stays clean."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web
from playwright.async_api import Browser, ConsoleMessage, Page

# Chromium itself reports refused requests in the console. These addresses are refused by tests on purpose;
# a missing script, style or picture is not among them.
REFUSED_ON_PURPOSE = ("/offer", "/config", "/sessions/")


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[str]:
    """The address of a running server."""
    runner = web.AppRunner(app, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


@asynccontextmanager
async def opened(browser: Browser, address: str, refused: str = "", **options: Any) -> AsyncIterator[Page]:
    """The page of a server, in a context with ``options``; no error may be left in its console.

    ``refused``: where addresses begin that the test has refused besides.
    """
    context = await browser.new_context(base_url=address, **options)
    context.set_default_timeout(15_000)
    try:
        page = await context.new_page()
        complaints = listened_to(page, refused)
        await page.goto("/")
        await page.wait_for_selector(".portrait")
        yield page
        assert complaints == []
    finally:
        await context.close()


def listened_to(page: Page, refused: str = "") -> list[str]:
    """What a page complains about from now on."""
    complaints: list[str] = []
    page.on("console", lambda message: is_complaint(message, refused) and complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def is_complaint(message: ConsoleMessage, refused: str = "") -> bool:
    """Whether a console line tells of a fault of the page, rather than of one that the test made."""
    if message.type != "error":
        return False
    on_purpose = (*REFUSED_ON_PURPOSE, refused) if refused else REFUSED_ON_PURPOSE
    wanted = urlsplit(message.location["url"]).path.startswith(on_purpose)
    return not (wanted and "Failed to load resource" in message.text) and "elsewhere.invalid" not in message.text
