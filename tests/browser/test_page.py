"""The demo page in headless Chromium, against a server that answers over real WebRTC."""

import asyncio
from pathlib import Path

import pytest
from playwright.async_api import Browser, Page

from tests.fakes.avatar_server import AvatarServer

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CONNECTED = "window.visavis.state === 'connected'"

# The largest difference between two pictures of the video, taken 300 ms apart.
PICTURE_CHANGE = """async () => {
  const video = document.getElementById("face");
  const grab = () => {
    const canvas = new OffscreenCanvas(64, 64);
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 64, 64);
    return context.getImageData(0, 0, 64, 64).data;
  };
  const before = grab();
  await new Promise((resolve) => setTimeout(resolve, 300));
  return grab().reduce((most, value, i) => Math.max(most, Math.abs(value - before[i])), 0);
}"""

# The loudest of the sound that came in over `ms`, as a mean square.
SOUND_POWER = """async (ms) => {
  const context = new AudioContext();
  await context.resume();
  const meter = new AnalyserNode(context, { fftSize: 2048 });
  const tracks = document.getElementById("face").srcObject.getAudioTracks();
  context.createMediaStreamSource(new MediaStream(tracks)).connect(meter);
  const samples = new Float32Array(2048);
  let most = 0;
  for (const end = performance.now() + ms; performance.now() < end;) {
    await new Promise((resolve) => setTimeout(resolve, 40));
    meter.getFloatTimeDomainData(samples);
    most = Math.max(most, samples.reduce((sum, x) => sum + x * x, 0) / samples.length);
  }
  await context.close();
  return most;
}"""


async def until(page: Page, expression: str, limit_s: float = 12) -> None:
    """Waits for an expression to hold. Playwright's own way needs eval, which the page's policy forbids."""
    async with asyncio.timeout(limit_s):
        while not await page.evaluate(expression):  # noqa: ASYNC110 - the page has no event to await
            await asyncio.sleep(0.05)


async def connect(page: Page, button: str) -> None:
    await page.click(button)
    await until(page, CONNECTED)


async def notice(page: Page) -> str:
    await page.wait_for_selector("#notice-text:not(:empty)")
    return await page.inner_text("#notice-text")


async def test_microphone_comes_back_with_a_moving_face(page: Page, server: AvatarServer) -> None:
    await connect(page, "#microphone")
    await until(page, "document.getElementById('face').videoWidth === 256")
    assert await page.evaluate(PICTURE_CHANGE) > 20
    assert await page.evaluate(SOUND_POWER, 2000) > 1e-4
    assert server.offers[0]["avatar"] == "ada"


async def test_strip_shows_figures(page: Page) -> None:
    await connect(page, "#microphone")
    await until(page, "(s => s && s.fps > 15 && s.delayMs > 162 && s.skewMs !== null)(window.visavis.stats)")
    assert await page.inner_text("#state") == "Live"
    assert 15 < int(await page.inner_text("#fps")) < 35
    assert (await page.inner_text("#delay")).endswith(" ms")
    assert (await page.inner_text("#skew")).endswith(" ms")
    await page.click("#parts-box summary")
    assert "80 ms" in await page.inner_text("#parts")


async def test_silence_before_a_source_then_sample_without_new_offer(page: Page, server: AvatarServer) -> None:
    await connect(page, "#connect")
    assert await page.evaluate(SOUND_POWER, 500) < 1e-6
    assert await page.evaluate(PICTURE_CHANGE) > 20
    await page.click("#sample")
    assert await page.evaluate(SOUND_POWER, 2500) > 1e-4
    await page.click("#sample")
    await until(page, "window.visavis.source === 'silence'")
    assert len(server.offers) == 1


async def test_sample_connects_by_itself(page: Page) -> None:
    await connect(page, "#sample")
    await until(page, "window.visavis.source === 'sample'")
    assert await page.evaluate(SOUND_POWER, 2500) > 1e-4


async def test_own_file_is_spoken_then_silence_returns(page: Page, tone_wav: Path) -> None:
    await page.click("#connect")
    await page.set_input_files("#file-input", tone_wav)
    await until(page, "window.visavis.source === 'file'")
    assert await page.evaluate(SOUND_POWER, 1500) > 1e-3
    await until(page, "window.visavis.source === 'silence'")


async def test_undecodable_file_is_explained(page: Page, tmp_path: Path) -> None:
    broken = tmp_path / "notes.wav"
    broken.write_bytes(b"these are words, not sound")
    await page.click("#connect")
    await page.set_input_files("#file-input", broken)
    assert "“notes.wav” can't be read as sound" in await notice(page)


async def test_chosen_avatar_is_sent_also_while_connected(page: Page, server: AvatarServer) -> None:
    await page.check("input[value=ben]")
    await connect(page, "#connect")
    assert [offer["avatar"] for offer in server.offers] == ["ben"]
    await page.check("input[value=cleo]")
    await until(page, f"{CONNECTED} && window.visavis.sessionId === 's2'")
    assert [offer["avatar"] for offer in server.offers] == ["ben", "cleo"]
    assert server.deleted == ["s1"]


async def test_disconnect_frees_the_place(page: Page, server: AvatarServer) -> None:
    await connect(page, "#connect")
    await page.click("#connect")
    assert await page.inner_text("#state") == "Not connected"
    for _ in range(40):
        if server.deleted:
            break
        await asyncio.sleep(0.05)
    assert server.deleted == ["s1"]


async def test_mute_silences_the_avatar_only(page: Page) -> None:
    await connect(page, "#microphone")
    await page.click("#mute")
    assert await page.evaluate("document.getElementById('face').muted")
    assert await page.inner_text("#mute") == "Unmute avatar"
    assert await page.evaluate("window.visavis.source") == "microphone"


async def test_full_server_is_explained_and_tried_again(page: Page, server: AvatarServer) -> None:
    server.full = True
    await page.click("#microphone")
    assert await notice(page) == "All 2 places are taken; try again in a moment."
    assert await page.inner_text("#countdown") == "Trying again in 1 s."
    server.full = False
    await until(page, CONNECTED)
    assert await page.evaluate("window.visavis.source") == "microphone"
    assert await page.is_hidden("#notice")


async def test_cancel_ends_the_tries(page: Page, server: AvatarServer) -> None:
    server.full = True
    server.retry_after_s = 30
    await page.click("#connect")
    await page.click("#cancel")
    assert await page.evaluate("window.visavis.state") == "idle"
    assert await page.evaluate("document.activeElement.id") == "connect"
    assert len(server.offers) == 1


async def test_reconnects_and_keeps_the_microphone(page: Page, server: AvatarServer) -> None:
    await connect(page, "#microphone")
    await server.drop()
    await until(page, "window.visavis.state === 'waiting'")
    await until(page, f"{CONNECTED} && window.visavis.sessionId === 's2'")
    assert await page.evaluate("window.visavis.source") == "microphone"
    await until(page, "document.getElementById('face').videoWidth === 256")
    assert await page.evaluate(SOUND_POWER, 2000) > 1e-4


async def test_absent_server_is_explained(page: Page, server: AvatarServer) -> None:
    server.away = True
    await page.click("#connect")
    assert "The server does not answer" in await notice(page)
    server.away = False
    await until(page, CONNECTED)


async def test_denied_microphone_is_explained(browser: Browser, server: AvatarServer) -> None:
    context = await browser.new_context(base_url=server.address, permissions=[])
    try:
        await context.grant_permissions([])
        page = await context.new_page()
        await page.goto("/")
        await page.click("#microphone")
        assert "The microphone is blocked" in await notice(page)
        assert server.offers == []
    finally:
        await context.close()


async def test_blocked_autoplay_offers_a_button(page: Page) -> None:
    # Stands for Safari, which may refuse sound even after a click; Chromium has no flag that strict.
    await page.evaluate(
        """() => {
          const play = HTMLMediaElement.prototype.play;
          HTMLMediaElement.prototype.play = function () {
            return this.muted ? play.call(this) : Promise.reject(new DOMException("no", "NotAllowedError"));
          };
        }"""
    )
    await connect(page, "#connect")
    await page.wait_for_selector("#unmute", state="visible")
    assert await page.evaluate(PICTURE_CHANGE) > 20
    await page.click("#unmute")
    assert not await page.evaluate("document.getElementById('face').muted")
    assert await page.is_hidden("#unmute")


async def test_keyboard_alone(page: Page, server: AvatarServer) -> None:
    walk = []
    for _ in range(6):
        await page.keyboard.press("Tab")
        walk.append(await page.evaluate("document.activeElement.id || document.activeElement.name"))
        focused = "document.activeElement.closest('.portrait') ?? document.activeElement"
        assert await page.evaluate(f"getComputedStyle({focused}).outlineWidth") == "3px"
    assert walk == ["microphone", "sample", "file", "avatar", "connect", "mute"]
    await page.focus("input[value=ada]")
    await page.keyboard.press("ArrowRight")
    await page.focus("#connect")
    await page.keyboard.press("Enter")
    await until(page, CONNECTED)
    assert server.offers[0]["avatar"] == "ben"


@pytest.mark.parametrize("state", ["idle", "connected", "full"])
async def test_no_sideways_scroll_on_a_phone(page: Page, server: AvatarServer, state: str) -> None:
    await page.set_viewport_size({"width": 360, "height": 740})
    if state == "connected":
        await connect(page, "#microphone")
        await until(page, "window.visavis.stats?.delayMs > 0")
        await page.click("#parts-box summary")
    elif state == "full":
        server.full = True
        await page.click("#connect")
        await notice(page)
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360


async def test_content_security_policy_is_in_force(page: Page) -> None:
    # Proves that the other tests, which allow no console error, ran under the policy.
    blocked = await page.evaluate(
        """() => new Promise((resolve) => {
          document.addEventListener("securitypolicyviolation", (e) => resolve(e.effectiveDirective));
          const image = new Image();
          image.src = "http://elsewhere.invalid/x.png";
        })"""
    )
    assert blocked == "img-src"
