"""The page drives a portrait by voice, webcam and gestures: the whole server, small networks of random weights."""

from collections.abc import AsyncIterator
from pathlib import Path

import cv2
import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright

from models.avatar import load_avatar
from models.liveportrait.stand_in import stand_in
from models.liveportrait.template import save_template
from models.liveportrait.weights import Architecture
from server.app import create_app
from server.config import load_settings
from server.paths import AVATARS
from tests.browser.conftest import FLAGS, chromium_path
from tests.browser.serving import opened, serving
from tests.browser.test_page import PICTURE_CHANGE, SOUND_POWER, connect, notice, until
from tests.fakes.portrait_weights import write_published
from tests.unit.liveportrait.test_gestures import wave

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CAMERA_STATE = "document.getElementById('camera-state').textContent"
FACE = "window.visavis.webcam?.face"
MOVES = f"({PICTURE_CHANGE})().then((change) => change > 5)"


def write_film(path: Path) -> Path:
    """Four seconds of one of our avatars at rest, which somebody leans to both sides, as motion JPEG."""
    ada = load_avatar(AVATARS / "ada")
    pictures = []
    for index in range(0, 100, 2):
        picture = np.ascontiguousarray(ada.frame_rgb(index % len(ada))[:, :, ::-1])
        height, width = picture.shape[:2]
        lean = cv2.getRotationMatrix2D((width / 2, height), 12 * np.sin(2 * np.pi * index / 100), 0.9)
        leaning = cv2.warpAffine(picture, lean, (width, height), borderMode=cv2.BORDER_REPLICATE)
        pictures.append(cv2.imencode(".jpg", leaning)[1].tobytes())
    path.write_bytes(b"".join(pictures))
    return path


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def address(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """A server that draws portraits, and has one motion template."""
    home = tmp_path_factory.mktemp("home")
    chosen = {
        "name": "liveportrait",
        "weights": write_published(home / "weights", stand_in(Architecture(1 / 16, 2))),
        "threads": 1,
        "max_batch": 1,
    }
    chosen["liveportrait"] = {"face_px": 128}
    overrides = {
        "ice": {"host_addresses": ["127.0.0.1"]},
        "engine": chosen,
        "avatars": {"own_folder": home / "own"},
        # A machine that tests run on is busy with much else, a browser for one.
        "playout": {"render_budget_ms": 400},
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(home / "data"))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        save_template(home / "data" / "visavis" / "motions" / "wave.npz", wave())
        async with serving(create_app(load_settings(overrides=overrides))) as address:
            yield address


async def answer_to(page: Page, button: str, path: str) -> int:
    """The status with which the server answers a click."""
    async with page.expect_response(f"**/{path}") as answer:
        await page.click(button)
    return (await answer.value).status


async def test_voice_and_gestures_move_a_portrait_and_a_faceless_camera_is_told(browser: Browser, address: str) -> None:
    async with opened(browser, address, permissions=["microphone", "camera"]) as page:
        assert await page.is_hidden("#live")
        await connect(page, "#microphone")
        await page.wait_for_selector("#camera", state="visible")
        await until(page, "document.getElementById('face').videoWidth === 512")
        assert await page.evaluate(SOUND_POWER, 2000) > 1e-4
        await until(page, MOVES)
        assert await page.is_hidden("#self")
        await page.click("#camera")
        # Chromium's own fake camera shows a clock, and no face.
        await until(page, "window.visavis.webcam?.shown > 0", limit_s=30)
        await until(page, f"{CAMERA_STATE}.startsWith('No face is seen')")
        assert await page.evaluate("document.getElementById('self').videoWidth") > 0
        for name in ("Smile", "Nod", "Surprise", "Wave"):
            assert await answer_to(page, f"#gestures button:text-is('{name}')", "gesture") == 200
        assert await page.evaluate("document.querySelectorAll('#gestures .is-on').length") > 0
        assert await answer_to(page, "#neutral", "neutral") == 200
        await page.set_viewport_size({"width": 360, "height": 740})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await page.click("#camera")
        assert await page.is_hidden("#self")
        assert await page.evaluate(CAMERA_STATE) == ""
        await page.click("#connect")
        assert await page.is_hidden("#live")


async def test_a_face_before_the_webcam_is_followed(address: str, tmp_path: Path) -> None:
    film = write_film(tmp_path / "ada.mjpeg")
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=chromium_path(),
            args=[*FLAGS, f"--use-file-for-fake-video-capture={film}"],
            headless=True,
            chromium_sandbox=False,
        )
        try:
            async with opened(browser, address, permissions=["microphone", "camera"]) as page:
                await connect(page, "#connect")
                await page.click("#camera")
                await until(page, f"{FACE} === 'following'", limit_s=30)
                await until(page, f"{CAMERA_STATE} === 'The avatar follows your head.'")
                await until(page, MOVES)
                assert await answer_to(page, "#neutral", "neutral") == 200
                await page.evaluate("document.getElementById('self').srcObject.getVideoTracks()[0].enabled = false")
                await until(page, f"['holding', 'idle'].includes({FACE})", limit_s=15)
                await until(page, f"/out of sight|No face/.test({CAMERA_STATE})")
        finally:
            await browser.close()


async def test_a_denied_camera_is_explained(browser: Browser, address: str) -> None:
    async with opened(browser, address, permissions=["microphone"]) as page:
        await connect(page, "#connect")
        await page.click("#camera")
        assert "The camera is blocked" in await notice(page)
        assert await page.inner_text("#camera") == "Turn the webcam on"


async def test_a_camera_granted_too_late_stays_off(browser: Browser, address: str) -> None:
    async with opened(browser, address, permissions=["microphone", "camera"]) as page:
        await page.evaluate(
            """() => {
              const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
              navigator.mediaDevices.getUserMedia = async (wish) => {
                await new Promise((resolve) => (window.grant = resolve));
                return (window.granted = await ask(wish));
              };
            }"""
        )
        await connect(page, "#connect")
        await page.click("#camera")
        await until(page, "window.grant !== undefined")
        await page.click("#connect")
        await page.evaluate("window.grant()")
        await until(page, "window.granted?.getTracks().every((track) => track.readyState === 'ended')")
        assert await page.evaluate("document.getElementById('self').srcObject") is None


async def test_an_engine_without_a_camera_shows_nothing_of_it(browser: Browser, address: str) -> None:
    async with opened(browser, address, permissions=["microphone", "camera"]) as page:
        await page.select_option("#engine", "wav2lip")
        await connect(page, "#connect")
        await until(page, "window.visavis.stats !== null")
        assert await page.is_hidden("#live")
        await page.select_option("#engine", "liveportrait")
        await page.wait_for_selector("#camera", state="visible")
        await page.click("#camera")
        await page.wait_for_selector("#self", state="visible")
        await page.select_option("#engine", "wav2lip")
        await page.wait_for_selector("#live", state="hidden")
        assert await page.evaluate("document.getElementById('self').srcObject") is None
