"""The jitter buffer in virtual time."""

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.media.jitter import FRAME_MS, FRAME_SAMPLES, JitterBuffer


def frame(index: int) -> np.ndarray:
    """A frame that tells its own number."""
    return np.full(FRAME_SAMPLES, 0.1 + index * 1e-4, dtype=np.float32)


def number(samples: np.ndarray) -> int:
    return round((float(samples[0]) - 0.1) / 1e-4)


def play(
    arrivals: list[tuple[float, int]], ticks: int, first_timestamp: int = 0
) -> tuple[list[np.ndarray], JitterBuffer]:
    """Feed (arrival in ms, frame number) and pull once every 20 ms, from 5 ms on."""
    buffer = JitterBuffer()
    waiting = sorted(arrivals, key=lambda item: item[0])
    pulled = []
    for tick in range(ticks):
        now_ms = 5.0 + tick * FRAME_MS
        while waiting and waiting[0][0] <= now_ms:
            arrival_ms, index = waiting.pop(0)
            buffer.push((first_timestamp + index * FRAME_SAMPLES) & 0xFFFFFFFF, frame(index), arrival_ms)
        pulled.append(buffer.pull())
    return pulled, buffer


def steady(count: int) -> list[tuple[float, int]]:
    return [(index * 20.0, index) for index in range(count)]


def test_a_clean_network_costs_at_most_one_frame_and_loses_nothing() -> None:
    pulled, buffer = play(steady(200), 200)
    heard = [number(samples) for samples in pulled if samples.any()]
    assert heard == list(range(heard[0], heard[0] + len(heard)))
    assert heard[0] == 0
    assert len(heard) >= 198
    assert buffer.stats.concealed == buffer.stats.late == 0


@pytest.mark.parametrize("lost", [1, 3, 10, 40])
def test_loss_does_not_lengthen_the_delay(lost: int) -> None:
    arrivals = [(t, i) for t, i in steady(400) if not 100 <= i < 100 + lost]
    pulled, _ = play(arrivals, 400)
    before, after = number(pulled[90]), number(pulled[390])
    assert (390 - after) * FRAME_MS <= (90 - before) * FRAME_MS + FRAME_MS


def test_one_lost_frame_is_concealed_once_and_fades() -> None:
    pulled, buffer = play([(t, i) for t, i in steady(100) if i != 50], 100)
    assert buffer.stats.concealed == 1
    gap = next(k for k in range(40, 60) if number(pulled[k]) not in (number(pulled[k - 1]) + 1,))
    assert 0 < np.abs(pulled[gap]).max() <= np.abs(pulled[gap - 1]).max()


def test_a_pause_of_the_sender_is_silence_then_the_sound_goes_on_in_order() -> None:
    arrivals = [(t + (1000.0 if i >= 50 else 0.0), i) for t, i in steady(100)]
    pulled, buffer = play(arrivals, 180)
    numbers = [number(samples) for samples in pulled if samples.any() and float(np.ptp(samples)) == 0.0]
    assert numbers == sorted(numbers)
    assert set(range(60, 99)) <= set(numbers)
    assert not pulled[80].any()
    assert buffer.stored_ms <= 80


def test_timestamps_wrap_round() -> None:
    pulled, buffer = play(steady(50), 50, first_timestamp=(1 << 32) - 20 * FRAME_SAMPLES)
    assert sum(bool(samples.any()) for samples in pulled) >= 48
    assert buffer.stats.late == 0


def test_jitter_raises_the_target_and_calm_lowers_it() -> None:
    rng = random.Random(3)
    rough = [(i * 20.0 + rng.uniform(0, 45), i) for i in range(300)]
    calm = [(i * 20.0, i) for i in range(300, 800)]
    buffer = play(rough, 300)[1]
    assert buffer.target_ms == 60
    pulled, buffer = play(rough + calm, 800)
    assert buffer.target_ms == 20
    assert (799 - number(pulled[799])) * FRAME_MS <= 80


@given(
    st.lists(st.tuples(st.floats(0, 120), st.booleans(), st.booleans()), min_size=1, max_size=150),
    st.integers(0, (1 << 32) - 1),
)
def test_whatever_the_network_does_the_sound_stays_in_order_and_the_store_bounded(
    packets: list[tuple[float, bool, bool]], first_timestamp: int
) -> None:
    arrivals = []
    for index, (lateness_ms, lost, twice) in enumerate(packets):
        if not lost:
            arrivals += [(index * 20.0 + lateness_ms, index)] * (2 if twice else 1)
    pulled, buffer = play(arrivals, len(packets) + 20, first_timestamp)
    assert all(samples.shape == (FRAME_SAMPLES,) and np.isfinite(samples).all() for samples in pulled)
    real = [number(samples) for samples in pulled if samples.any() and float(np.ptp(samples)) == 0.0]
    assert all(a < b for a, b in zip(real, real[1:], strict=False))
    assert buffer.stored_ms <= 26 * FRAME_MS
