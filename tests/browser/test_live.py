"""The page against the whole server as it is shipped: its default avatar, its default engine, its own weights."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from server.app import create_app
from server.config import load_settings
from tests.browser.serving import opened, serving
from tests.browser.test_page import PICTURE_CHANGE, SOUND_POWER, connect, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module")
async def address() -> AsyncIterator[str]:
    async with serving(create_app(load_settings(overrides={"ice": {"host_addresses": ["127.0.0.1"]}}))) as address:
        yield address


async def test_a_spoken_sentence_comes_back_with_a_talking_face(browser: Browser, address: str) -> None:
    async with opened(browser, address, permissions=["microphone"]) as page:
        await connect(page, "#microphone")
        await until(page, "document.getElementById('face').videoWidth === 512")
        assert await page.evaluate(SOUND_POWER, 3000) > 1e-4
        assert await page.evaluate(PICTURE_CHANGE) > 10
        await until(page, "(s => s && s.fps > 20 && s.delayMs > 100 && s.skewMs !== null)(window.visavis.stats)")
        metrics = await page.evaluate("fetch('/metrics').then((answer) => answer.text())")
        drawn = next(line for line in metrics.splitlines() if line.startswith("visavis_batch_frames_sum"))
        assert float(drawn.split()[1]) > 20
        assert "visavis_engine_errors_total 0.0" in metrics
        assert 'visavis_stage_delay_seconds_count{stage="playout"}' in metrics
        await page.click("#connect")
        await until(page, "fetch('/sessions').then((a) => a.json()).then((body) => body.sessions.length === 0)")
