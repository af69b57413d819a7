"""Recording from the live page, against the whole server: offered where it is allowed, kept, made a film of."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from server.app import create_app
from server.config import Settings
from tests.browser.serving import opened, serving
from tests.browser.test_page import connect, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@asynccontextmanager
async def recording_page(browser: Browser, settings: Settings, allow: str, folder: Path) -> AsyncIterator[Page]:
    changed = settings.recordings.model_copy(update={"allow": allow, "folder": folder})
    app = create_app(settings.model_copy(update={"recordings": changed}))
    # A recording is asked for until it is there.
    async with (
        serving(app) as address,
        opened(browser, address, refused="/recordings", permissions=["microphone"]) as page,
    ):
        yield page


async def test_a_recorded_session_is_kept_and_made_a_film_of(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    async with recording_page(browser, settings, "loopback", tmp_path / "recordings") as page:
        await page.check("#record")
        await connect(page, "#microphone")
        recording = await page.evaluate("window.visavis.recording")
        assert not await page.is_visible("#recording")
        await until(page, "window.visavis.stats?.fps > 5")
        await page.click("#connect")
        told = f"fetch('/recordings/{recording}').then((answer) => answer.json())"
        await until(page, f"{told}.then((body) => body.frames > 0)")
        assert (await page.evaluate(told))["avatar"] == await page.evaluate("window.visavis.avatar")
        await page.click("#recording")
        await page.wait_for_selector("#job-recording", state="visible")
        assert not await page.is_visible("#job-sound")
        await page.click("#job-send")
        await until(page, "window.visavisJobs.jobs()[0]?.told?.frames > 0")


async def test_a_session_that_is_not_to_be_recorded_is_not(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    async with recording_page(browser, settings, "loopback", tmp_path / "recordings") as page:
        await page.wait_for_selector("#record", state="visible")
        await connect(page, "#connect")
        assert await page.evaluate("window.visavis.recording") is None
        await page.click("#connect")
        assert not await page.is_visible("#recording")
        assert not await asyncio.to_thread((tmp_path / "recordings").exists)


async def test_recording_is_offered_only_where_it_is_allowed(
    browser: Browser, settings: Settings, tmp_path: Path
) -> None:
    async with recording_page(browser, settings, "nobody", tmp_path / "recordings") as page:
        await until(page, "document.getElementById('engine').options.length > 0")
        assert not await page.is_visible("#record")
        assert await page.evaluate("fetch('/config').then((a) => a.json()).then((body) => body.recordings)") is False
