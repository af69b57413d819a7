"""A visitor's own face, from the file to the screen and away again, against the whole server."""

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from server.app import create_app
from server.config import Settings
from tests.browser.serving import opened, serving
from tests.browser.test_page import connect, notice, until
from tests.unit.face.faces import portrait, talking, write_clip, write_photo

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def own_page(browser: Browser, settings: Settings) -> AsyncIterator[Page]:
    """The page of a server that takes avatars."""
    async with serving(create_app(settings)) as address, opened(browser, address, refused="/avatars") as page:
        await page.click("#own-box summary")
        yield page


async def test_a_face_is_added_shown_and_deleted(own_page: Page, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "me.mp4", talking(14, 0))
    await own_page.set_input_files("#own-file", clip)
    await own_page.fill("#own-name", "Zoë M.")
    await own_page.click("#own-make")
    assert "Making" in await own_page.inner_text("#own-make")
    await until(own_page, "window.visavis.avatar === 'zoe-m'", limit_s=60)
    await until(own_page, "document.getElementById('own-sheet').naturalWidth > 800")
    assert "Zoë M." in await own_page.inner_text("#portraits")
    await connect(own_page, "#connect")
    await until(own_page, "document.getElementById('face').videoWidth > 0")
    await own_page.click("#own-delete")
    assert await own_page.inner_text("#own-delete") == "Really delete Zoë M.?"
    await own_page.click("#own-delete")
    assert "on the screen of 1 session" in await notice(own_page)
    await own_page.click("#connect")
    await until(own_page, "fetch('/sessions').then((a) => a.json()).then((body) => body.sessions.length === 0)")
    await own_page.click("#own-delete")
    await own_page.click("#own-delete")
    await until(own_page, "window.visavis.avatar === 'disc'")
    assert "Zoë" not in await own_page.inner_text("#portraits")
    assert await own_page.is_hidden("#own-preview")


async def test_two_faces_are_asked_about(own_page: Page, tmp_path: Path) -> None:
    both = write_photo(tmp_path / "both.png", np.hstack([portrait(), portrait(60)]))
    await own_page.set_input_files("#own-file", both)
    await own_page.fill("#own-name", "Two")
    await own_page.click("#own-make")
    assert "both.png shows 2 faces, at " in await notice(own_page)
    assert await own_page.is_visible("#own-face")
    assert await own_page.inner_text("#own-make") == "Make the avatar"


async def test_no_sideways_scroll_on_a_phone(own_page: Page) -> None:
    await own_page.set_viewport_size({"width": 360, "height": 740})
    assert await own_page.evaluate("document.documentElement.scrollWidth") <= 360
