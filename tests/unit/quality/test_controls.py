"""The controls tell an engine that leaks from one that does not."""

import dataclasses
from typing import Any

import numpy as np

from models.avatar import Avatar
from models.engine import frame_engine
from models.quality import controls
from models.quality.opening import OpeningGauge, Renders
from models.quality.prepared import PreparedOnce
from models.quality.speech_set import room_noise
from server.render import draw
from tests.unit.quality.engines import CopyEngine, RestEngine


def some(renders: Renders, count: int) -> Renders:
    return Renders(renders.frames[:count], renders.pictures[:count], renders.openings_mm[:count])


def test_an_engine_that_copies_its_input_leaks_all_of_it(ada: Avatar, gauge: OpeningGauge, renders: Renders) -> None:
    leak = controls.leak(CopyEngine(), ada, gauge, some(renders, 40))
    assert leak.correlation > 0.98
    assert 0.9 < leak.amplitude_ratio < 1.1


def test_an_engine_that_ignores_its_input_leaks_none(ada: Avatar, gauge: OpeningGauge, renders: Renders) -> None:
    leak = controls.leak(RestEngine(ada), ada, gauge, some(renders, 80))
    assert abs(leak.correlation) < 0.3
    assert leak.amplitude_ratio < 0.2


def test_a_face_at_rest_is_still_in_noise(ada: Avatar, gauge: OpeningGauge) -> None:
    assert abs(controls.stillness(draw, CopyEngine(), ada, gauge, room_noise(1.0, seed=1))) < 0.02


def test_an_avatar_is_prepared_once(ada: Avatar) -> None:
    once, other = PreparedOnce(CopyEngine()), dataclasses.replace(ada, name="other")
    first = once.prepare(ada)
    assert once.prepare(ada) is first
    assert once.prepare(other) is not first


class FramesEngine(CopyEngine):
    """Draws the whole picture white."""

    draws_frames = True

    def picture(self, prepared: Any, drawn: np.ndarray) -> np.ndarray:
        return np.full((512, 512, 3), 255, np.uint8)


def test_whole_frames_are_judged_as_they_are_shown(ada: Avatar, gauge: OpeningGauge) -> None:
    once = PreparedOnce(FramesEngine())
    (first, *_) = draw(once, ada, iter([np.full(4800, 0.1, np.float32)]))
    assert first[:512].min() == first[:512].max()
    assert frame_engine(PreparedOnce(CopyEngine())) is None


def test_the_time_of_a_frame_is_a_time(ada: Avatar) -> None:
    assert 0 <= controls.ms_per_frame(CopyEngine(), ada) < 5
    assert np.isfinite(controls.ms_per_frame(CopyEngine(), ada))
