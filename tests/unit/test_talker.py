"""Talker, playout and scheduler: pure, so time is a loop counter."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.avatar import Avatar, load_avatar
from models.errors import AvatarError
from models.probe.engine import ProbeEngine, brightness, level_dbfs
from models.talker import FrameJob, Talker
from server.media.playout import TICK_MS, TICK_SAMPLES, Playout, delay_ticks
from server.render import draw


@pytest.fixture(scope="module")
def avatar(avatar_folder: Path) -> Avatar:
    return load_avatar(avatar_folder)


def tone(ticks: int, level: float = 0.3) -> np.ndarray:
    return (level * np.sin(2 * np.pi * 220 * np.arange(ticks * TICK_SAMPLES) / 48_000)).astype(np.float32)


def ticks_of(sound: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(sound), TICK_SAMPLES):
        yield sound[start : start + TICK_SAMPLES]


def live(
    avatar: Avatar, sound: np.ndarray, drawn_after_ticks: int = 1
) -> tuple[list[np.ndarray], Playout, np.ndarray, list[bool]]:
    """Run the live line; every frame is drawn ``drawn_after_ticks`` after it was asked for.

    Pictures are stamped one frame after another, and leave at most a tick after their stamp.
    """
    engine = ProbeEngine()
    talker = Talker(engine, avatar, engine.prepare(avatar))
    playout = Playout(talker, delay_ticks(engine.window.lookahead_ms, 40))
    pictures: list[np.ndarray] = []
    late: list[bool] = []
    heard: list[np.ndarray] = []
    waiting: list[tuple[int, object]] = []
    silence = np.zeros(TICK_SAMPLES, np.float32)
    chunks = [*ticks_of(sound), *[silence] * (playout.delay_ms // TICK_MS)]
    for tick, chunk in enumerate(chunks):
        waiting += [(tick + drawn_after_ticks, job) for job in playout.hear(chunk)]
        for due, job in [item for item in waiting if item[0] <= tick]:
            waiting.remove((due, job))
            crop = engine.render([job.request])[0]
            playout.deliver(job.index, talker.picture(job, crop))
        departure = playout.depart()
        heard.append(departure.samples)
        late.append(departure.is_late)
        if departure.picture is not None:
            assert tick - departure.picture_tick in (0, 1)
            assert departure.picture_tick % 2 == playout.delay_ms // TICK_MS % 2
            if tick >= playout.delay_ms // TICK_MS:
                pictures.append(departure.picture)
    return pictures, playout, np.concatenate(heard), late


def test_live_and_offline_draw_the_same_frames(avatar: Avatar) -> None:
    silence = np.zeros(30 * TICK_SAMPLES)
    noise = 0.1 * np.random.default_rng(1).standard_normal(26 * TICK_SAMPLES)
    sound = np.concatenate([tone(20), silence, noise]).astype(np.float32)
    offline = list(draw(ProbeEngine(), avatar, iter(np.array_split(sound, 7))))
    online, _, _, late = live(avatar, sound)
    assert len(offline) == 38
    assert len(online) == 38
    assert not any(late)
    for ours, theirs in zip(online, offline, strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_sound_leaves_whole_and_as_late_as_said(avatar: Avatar) -> None:
    sound = tone(50)
    _, playout, heard, _ = live(avatar, sound)
    delay = playout.delay_ms * 48
    assert playout.delay_ms <= 160
    np.testing.assert_array_equal(heard[delay : delay + len(sound)], sound[: len(heard) - delay])
    assert not heard[:delay].any()


def test_a_picture_a_tick_late_leaves_with_its_own_stamp(avatar: Avatar) -> None:
    engine = ProbeEngine()
    talker = Talker(engine, avatar, engine.prepare(avatar))
    playout = Playout(talker, delay_ticks(engine.window.lookahead_ms, 40))
    delay, drawn = playout.delay_ms // TICK_MS, []
    for tick, chunk in enumerate(ticks_of(tone(40))):
        drawn += [(job.index, talker.picture(job, engine.render([job.request])[0])) for job in playout.hear(chunk)]
        frame, phase = divmod(tick - delay, 2)
        if phase and frame >= 0:
            # Delivered 20 ms after it was due.
            index, picture = drawn.pop(0)
            assert index == frame
            playout.deliver(index, picture)
        departure = playout.depart()
        assert not departure.is_late
        if frame >= 0:
            assert (departure.picture is not None) == bool(phase)
            assert departure.picture_tick == tick - phase


def test_late_frames_are_dropped_and_the_sound_goes_on(avatar: Avatar) -> None:
    sound = tone(100)
    pictures, playout, heard, late = live(avatar, sound, drawn_after_ticks=10)
    assert sum(late) >= 45
    assert len(pictures) <= 5
    delay = playout.delay_ms * 48
    np.testing.assert_array_equal(heard[delay : delay + len(sound)], sound)


def test_the_mouth_is_closed_100_ms_after_the_sound(avatar: Avatar) -> None:
    sound = np.concatenate([tone(21), np.zeros(40 * TICK_SAMPLES, np.float32)])
    pictures = list(draw(ProbeEngine(), avatar, iter([sound])))
    for index, picture in enumerate(pictures):
        is_idle = np.array_equal(picture, avatar.frames_i420[index % len(avatar)])
        assert is_idle == (index * 40 >= 21 * TICK_MS + 60), index


def test_nan_is_silence(avatar: Avatar) -> None:
    sound = np.full(20 * TICK_SAMPLES, np.nan, np.float32)
    pictures = list(draw(ProbeEngine(), avatar, iter([sound])))
    assert len(pictures) == 10
    np.testing.assert_array_equal(pictures[3], avatar.frames_i420[3])


def test_a_face_may_begin_anywhere_in_its_idle_loop(avatar: Avatar) -> None:
    engine = ProbeEngine()
    talker = Talker(engine, avatar, engine.prepare(avatar), idle_from=len(avatar) - 2)
    talker.push(tone(20))
    talker.finish()
    jobs = list(talker.jobs())
    asked = [job.request.avatar_frame for job in jobs[:4] if job.request]
    assert asked == [len(avatar) - 2, len(avatar) - 1, 0, 1]
    np.testing.assert_array_equal(talker.idle_picture(5), avatar.frames_i420[3])
    silent = FrameJob(index=5, opacity=0.0, request=None)
    np.testing.assert_array_equal(talker.picture(silent, None), avatar.frames_i420[3])


def test_a_damaged_avatar_is_refused_by_name(avatar_folder: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    for path in avatar_folder.iterdir():
        (broken / path.name).write_bytes(path.read_bytes())
    (broken / "mask.png").write_bytes(b"not a picture")
    with pytest.raises(AvatarError, match=r"broken.*mask\.png"):
        load_avatar(broken)


@given(st.floats(-60, 0))
def test_probe_brightness_can_be_read_back(level: float) -> None:
    assert abs(level_dbfs(brightness(level)) - level) < 0.2


_HELD_BACK = 16
"""Samples at 16 kHz that the resampler keeps."""


@settings(deadline=None, max_examples=25)
@given(sizes=st.lists(st.integers(1, 4000), min_size=20, max_size=60))
def test_a_frame_is_asked_for_with_the_push_that_completes_its_sound(avatar: Avatar, sizes: list[int]) -> None:
    engine = ProbeEngine()
    talker = Talker(engine, avatar, engine.prepare(avatar))
    pushed = asked = 0
    for size in sizes:
        talker.push(np.full(size, 0.1, np.float32))
        pushed += size
        asked += len(list(talker.jobs()))
        heard = pushed // 3
        assert engine.window.samples_needed(asked) > heard - _HELD_BACK
        assert asked == 0 or engine.window.samples_needed(asked - 1) <= heard
