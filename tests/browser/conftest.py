"""One headless Chromium and one server for all tests of the page; both are closed for good at the end."""

import shutil
import struct
import wave
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aioice.ice
import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, Page, async_playwright

from tests.browser.serving import listened_to, serving
from tests.fakes.avatar_server import STATIC, AvatarServer

FLAGS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--use-fake-device-for-media-stream",
    f"--use-file-for-fake-audio-capture={STATIC / 'sample.wav'}",
    "--allow-loopback-in-peer-connection",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
    "--autoplay-policy=no-user-gesture-required",
]


def chromium_path() -> str:
    """The system's Chromium; fails with the way to get it, for a page nobody opened is not tested."""
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.fail("Chromium is missing; install it with: apt-get install chromium", pytrace=False)
    return path


@pytest.fixture(scope="module")
def loopback_only() -> Iterator[None]:
    """Chromium and the server meet on 127.0.0.1, whatever network the machine has."""
    patch = pytest.MonkeyPatch()
    patch.setattr(aioice.ice, "get_host_addresses", lambda use_ipv4, use_ipv6: ["127.0.0.1"])
    yield
    patch.undo()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(), args=FLAGS, headless=True, chromium_sandbox=False
        )
        try:
            yield browser
        finally:
            await browser.close()


@pytest_asyncio.fixture(loop_scope="module")
async def server(loopback_only: None) -> AsyncIterator[AvatarServer]:
    server = AvatarServer()
    async with serving(server.app()) as server.address:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def context(browser: Browser, server: AvatarServer) -> AsyncIterator[BrowserContext]:
    context = await browser.new_context(viewport={"width": 1280, "height": 860}, base_url=server.address)
    context.set_default_timeout(10_000)
    await context.grant_permissions(["microphone"])
    try:
        yield context
    finally:
        await context.close()


@pytest_asyncio.fixture(loop_scope="module")
async def page(context: BrowserContext) -> AsyncIterator[Page]:
    """The demo page, opened; no test may leave an error in its console."""
    page = await context.new_page()
    complaints = listened_to(page)
    await page.goto("/")
    await page.wait_for_selector(".portrait")
    yield page
    assert complaints == []


@pytest.fixture
def tone_wav(tmp_path: Path) -> Path:
    """Three seconds of a 200 Hz square wave, 16 kHz mono."""
    path = tmp_path / "tone.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"".join(struct.pack("<h", 8000 if i // 40 % 2 else -8000) for i in range(48000)))
    return path
