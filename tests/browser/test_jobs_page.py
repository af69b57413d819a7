"""The page of films: from a sound file to the film on disk, against the whole server and its own worker."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import av
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from models.sadtalker.stand_in import write_stand_in
from server.app import create_app
from server.config import Settings
from tests.browser.serving import opened, serving
from tests.browser.test_page import notice, until
from tests.unit.face.faces import portrait, write_photo
from tests.unit.jobs.speech import write_speech

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def film_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_stand_in(folder, 0.0625)
    return folder


@pytest_asyncio.fixture(loop_scope="module")
async def jobs_page(
    browser: Browser, settings: Settings, film_weights: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> AsyncIterator[Page]:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    jobs = settings.jobs.model_copy(update={"sadtalker_weights": film_weights})
    async with films_page(browser, settings.model_copy(update={"jobs": jobs})) as page:
        yield page


@asynccontextmanager
async def films_page(browser: Browser, settings: Settings) -> AsyncIterator[Page]:
    narrow = {"viewport": {"width": 360, "height": 740}}
    async with serving(create_app(settings)) as address, opened(browser, address, "/jobs", **narrow) as page:
        await page.click("a[href='/static/jobs.html']")
        await page.wait_for_selector("#job-avatar option[value=disc]", state="attached")
        yield page


async def send(page: Page, sound: Path) -> None:
    await page.set_input_files("#job-sound", sound)
    await page.click("#job-send")


async def test_a_sound_becomes_a_film_that_is_downloaded(jobs_page: Page, tmp_path: Path) -> None:
    await send(jobs_page, write_speech(tmp_path / "words of mine.wav", 4))
    await until(jobs_page, "document.querySelector('.job')?.dataset.state === 'running'", limit_s=30)
    await until(jobs_page, r"/^\d+ of 100 frames, \d+ s left$/.test(document.querySelector('.job-state').innerText)")
    await until(jobs_page, "document.querySelector('.job').dataset.state === 'done'", limit_s=30)
    assert await jobs_page.inner_text(".job-title") == "words of mine.wav"
    assert await jobs_page.inner_text(".job-what") == "disc · probe"
    assert await jobs_page.evaluate("window.visavisJobs.streams.size") == 0
    async with jobs_page.expect_download() as coming:
        await jobs_page.click(".job-film")
    download = await coming.value
    with av.open(str(await download.path())) as film:
        assert sum(1 for _ in film.decode(video=0)) == 100
    await jobs_page.reload()
    await until(jobs_page, "document.querySelector('.job')?.dataset.state === 'done'")
    assert await jobs_page.evaluate("document.documentElement.scrollWidth") <= 360
    await jobs_page.click(".job-end")
    await jobs_page.wait_for_selector(".job", state="detached")
    assert await jobs_page.is_visible("#jobs-none")
    assert await jobs_page.evaluate("localStorage.getItem('visavis.jobs')") == "[]"


async def test_a_job_is_cancelled_and_others_wait(jobs_page: Page, tmp_path: Path) -> None:
    sound = write_speech(tmp_path / "long.wav", 40)
    for count in (1, 2, 3):
        await send(jobs_page, sound)
        await until(jobs_page, f"document.querySelectorAll('.job').length === {count}")
    oldest = ".job:last-child"
    await until(jobs_page, f"document.querySelector('{oldest}').dataset.state === 'running'", limit_s=30)
    assert await jobs_page.inner_text(".job:first-child .job-state") == "Waiting for its turn"
    assert await jobs_page.evaluate("window.visavisJobs.streams.size") == 2
    await jobs_page.click(f"{oldest} .job-end")
    await until(jobs_page, f"document.querySelector('{oldest}').dataset.state === 'cancelled'", limit_s=2)
    assert await jobs_page.inner_text(f"{oldest} .job-end") == "Remove"
    assert await jobs_page.is_hidden(f"{oldest} .job-film")
    await until(jobs_page, "document.querySelector('.job:nth-child(2)').dataset.state === 'running'")


async def test_what_is_refused_is_said(jobs_page: Page, tmp_path: Path) -> None:
    await send(jobs_page, write_speech(tmp_path / "silent.wav", 1, gain=0.0))
    assert "The sound is silent" in await notice(jobs_page)
    await until(jobs_page, "!document.getElementById('job-send').disabled")
    (tmp_path / "me.png").write_bytes(b"\x89PNG")
    await jobs_page.select_option("#job-engine", "sadtalker")
    await jobs_page.set_input_files("#job-picture", tmp_path / "me.png")
    await send(jobs_page, write_speech(tmp_path / "good.wav", 1))
    await until(
        jobs_page, "document.getElementById('notice-text').innerText.includes('is no picture that can be read')"
    )
    assert await jobs_page.locator(".job").count() == 0


async def test_an_engine_asks_for_what_it_draws(jobs_page: Page, tmp_path: Path) -> None:
    told = await jobs_page.inner_text("#job-missing")
    assert "visavis models pull liveportrait --accept-licence" in told
    assert "sadtalker" not in told
    assert await jobs_page.is_disabled("#job-engine option[value=liveportrait]")
    assert await jobs_page.is_visible("#job-avatar")
    assert await jobs_page.is_hidden("#job-picture")
    await jobs_page.select_option("#job-engine", "sadtalker")
    assert await jobs_page.is_hidden("#job-avatar")
    await jobs_page.set_input_files("#job-picture", write_photo(tmp_path / "me.png", portrait()))
    await send(jobs_page, write_speech(tmp_path / "said.wav", 1))
    await until(jobs_page, "document.querySelector('.job')?.dataset.state === 'running'", limit_s=30)
    assert await jobs_page.inner_text(".job-what") == "sadtalker"
    await jobs_page.click(".job-end")
    await until(jobs_page, "document.querySelector('.job').dataset.state === 'cancelled'", limit_s=2)
    await jobs_page.select_option("#job-engine", "wav2lip")
    assert await jobs_page.is_visible("#job-avatar")


async def test_without_its_weights_an_engine_says_how_to_fetch_them(
    browser: Browser, settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    async with films_page(browser, settings) as page:
        assert await page.is_disabled("#job-engine option[value=sadtalker]")
        assert "visavis models pull sadtalker --accept-licence" in await page.inner_text("#job-missing")


async def test_a_job_the_server_no_longer_has(jobs_page: Page, tmp_path: Path) -> None:
    await send(jobs_page, write_speech(tmp_path / "short.wav", 1))
    await until(jobs_page, "document.querySelector('.job')?.dataset.state === 'done'", limit_s=30)
    await jobs_page.evaluate("fetch(`/jobs/${window.visavisJobs.jobs()[0].id}`, { method: 'DELETE' })")
    await jobs_page.reload()
    await until(jobs_page, "document.querySelector('.job')?.dataset.state === 'gone'")
    assert "no such job" in await jobs_page.inner_text(".job-state")
    await jobs_page.click(".job-end")
    await jobs_page.wait_for_selector(".job", state="detached")
