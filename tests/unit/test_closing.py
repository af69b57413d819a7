import numpy as np
import pytest

from models.timebase import SPEECH_RATE_HZ as RATE_HZ
from server.closing import PAUSE_S, closings


def scene(closing_s: float, pause_s: float = 1.2) -> tuple[np.ndarray, np.ndarray, np.ndarray, float]:
    """A still third of a second, two sentences of a second, each with a pause after it; one region of nine paints."""
    rng = np.random.default_rng(4)
    spoken = [(0.3, 1.3), (1.3 + pause_s, 2.3 + pause_s)]
    samples = np.zeros(int((2.3 + 2 * pause_s) * RATE_HZ))
    times_s = np.arange(0, len(samples) / RATE_HZ, 0.04)
    brightness = np.full((len(times_s), 9), 150.0) + rng.normal(0, 1, (len(times_s), 9))
    for begin_s, end_s in spoken:
        samples[int(begin_s * RATE_HZ) : int(end_s * RATE_HZ)] = rng.normal(0, 0.1, int((end_s - begin_s) * RATE_HZ))
        painted = (times_s >= begin_s) & (times_s < end_s + closing_s)
        brightness[painted, 5] = 200
    return times_s + 100, brightness, samples, 100.0


@pytest.mark.parametrize("closing_s", [0.0, 0.08, 0.32])
def test_finds_when_the_mouth_is_shut(closing_s: float) -> None:
    assert closings(*scene(closing_s)) == pytest.approx([closing_s] * 2, abs=0.045)


def test_a_mouth_that_stays_open_is_not_taken_for_rest() -> None:
    assert closings(*scene(1.0)) == [PAUSE_S] * 2


def test_a_breath_is_no_end_of_speech_and_nothing_is_no_answer() -> None:
    assert len(closings(*scene(0.04, pause_s=0.4))) == 0
    assert closings(np.zeros(0), np.zeros((0, 9)), np.zeros(100), 0.0) == []
