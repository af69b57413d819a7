"""The jitter buffer in virtual time."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio import waveform
from server.media.jitter import CAPACITY, FRAME_MS, FRAME_SAMPLES, MAX_TARGET_MS, PER_MS, JitterBuffer

Arrivals = list[tuple[float, int]]


def sound(index: int, count: int = FRAME_SAMPLES) -> np.ndarray:
    """A 200 Hz tone with some noise, the same for the same packet."""
    t = (index * count + np.arange(count)) / 48_000
    noise = np.random.default_rng(index).normal(0, 0.005, count)
    return (0.3 * np.sin(2 * np.pi * 200 * t) + noise).astype(np.float32)


class Line:
    """Feeds (arrival in ms, packet number) and pulls every 20 ms, noting what each tick gave."""

    def __init__(
        self, arrivals: Arrivals, ticks: int, origin: int = 0, phase_ms: float = 5.0, pace: float = 1.0
    ) -> None:
        self.buffer = JitterBuffer()
        self.blocks: list[np.ndarray] = []
        self.delays: list[float] = []
        self.playheads: list[int] = []
        waiting = sorted(arrivals)
        next_one = 0
        for tick in range(ticks):
            now_ms = phase_ms + tick * FRAME_MS * pace
            while next_one < len(waiting) and waiting[next_one][0] <= now_ms:
                arrival_ms, index = waiting[next_one]
                next_one += 1
                self.buffer.push((origin + index * FRAME_SAMPLES) & 0xFFFFFFFF, sound(index), arrival_ms)
            before = self.buffer.stats.stretched_ms
            self.blocks.append(self.buffer.pull(now_ms))
            self.delays.append(self.buffer.current_ms)
            if self.buffer.playhead is not None:
                stretched = self.buffer.stats.stretched_ms - before
                self.playheads.append(self.buffer.playhead + round(stretched * PER_MS))
        self.heard = np.concatenate(self.blocks)


def steady(count: int, jitter_ms: float = 0.0, seed: int = 0) -> Arrivals:
    rng = random.Random(seed)
    return [(index * 20.0 + rng.uniform(0, jitter_ms), index) for index in range(count)]


@pytest.mark.parametrize("phase_ms", [0.0, 5.0, 11.0, 19.0])
def test_a_clean_network_costs_thirty_ms_at_most_and_nothing_is_lost(phase_ms: float) -> None:
    line = Line(steady(1000, jitter_ms=3.0), 1000, phase_ms=phase_ms)
    assert max(line.delays[50:]) <= 30.0
    assert min(line.delays[50:]) >= 5.0
    stats = line.buffer.stats
    assert (stats.lost, stats.late, stats.discarded, stats.concealed) == (0, 0, 0, 0)


def test_what_is_not_touched_is_heard_sample_for_sample() -> None:
    line = Line(steady(60), 60, phase_ms=12.0)
    sent = np.concatenate([sound(i) for i in range(50)])
    start = int(np.flatnonzero(line.heard)[0])
    assert np.array_equal(line.heard[start : start + sent.size], sent)


@pytest.mark.parametrize("lost", [1, 2, 3, 10, 40])
@pytest.mark.parametrize("phase_ms", [1.0, 12.0])
def test_loss_does_not_lengthen_the_delay(lost: int, phase_ms: float) -> None:
    arrivals = [(t, i) for t, i in steady(400, 3.0) if not 150 <= i < 150 + lost]
    line = Line(arrivals, 400, phase_ms=phase_ms)
    assert line.delays[-1] <= line.delays[140] + 0.1
    assert line.buffer.stats.lost == lost
    assert line.buffer.stats.concealed == min(lost, 3) or lost > 3


def test_a_lost_packet_is_carried_on_in_tone_and_without_a_click() -> None:
    line = Line([(t, i) for t, i in steady(100) if i != 50], 100, phase_ms=12.0)
    start = int(np.flatnonzero(line.heard)[0])
    gap = line.heard[start + 50 * FRAME_SAMPLES : start + 51 * FRAME_SAMPLES]
    meant = sound(50)
    assert float(np.corrcoef(gap, meant)[0, 1]) > 0.9
    around = line.heard[start + 49 * FRAME_SAMPLES : start + 53 * FRAME_SAMPLES]
    plain = np.abs(np.diff(sound(49))).max()
    assert np.abs(np.diff(around)).max() < 2 * plain


def test_silence_after_sixty_ms_without_input() -> None:
    line = Line(steady(50), 100)
    assert not line.heard[60 * FRAME_SAMPLES :].any()
    assert line.buffer.stats.concealed <= 4


def test_nothing_in_is_silence_out() -> None:
    line = Line([], 10)
    assert line.heard.shape == (9600,)
    assert not line.heard.any()


@pytest.mark.parametrize("stall_ms", [60.0, 300.0, 1500.0])
def test_after_a_stall_the_delay_returns(stall_ms: float) -> None:
    # Everything sent during the stall arrives together at its end.
    arrivals = [(max(t, 4000.0 + stall_ms) if 4000 <= t < 4000 + stall_ms else t, i) for t, i in steady(1400, 2.0)]
    line = Line(arrivals, 1400)
    assert max(line.delays[-500:]) <= MAX_TARGET_MS + FRAME_MS
    assert line.delays[-1] <= 40.0


def test_a_packet_30_ms_late_is_still_heard_and_the_delay_comes_back() -> None:
    arrivals = [(t + (30.0 if i == 100 else 0.0), i) for t, i in steady(1000)]
    line = Line(arrivals, 1000, phase_ms=12.0)
    assert line.buffer.stats.discarded == line.buffer.stats.lost == 0
    assert line.delays[102] >= line.delays[90] + 4.0, "told at once, though the delay is the least of ten ticks"
    assert line.delays[-1] <= 30.0


def test_reordered_packets_are_put_in_order() -> None:
    arrivals = sorted(steady(600, jitter_ms=35.0, seed=4))
    order = [index for _, index in arrivals]
    assert sum(a > b for a, b in zip(order, order[1:], strict=False)) > 50
    line = Line(arrivals, 600)
    assert line.buffer.stats.late + line.buffer.stats.discarded <= 6
    assert all(a <= b for a, b in zip(line.playheads, line.playheads[1:], strict=False))


def test_duplicates_are_counted_and_heard_once() -> None:
    line = Line(sorted(steady(100) + steady(100)), 100, phase_ms=12.0)
    assert line.buffer.stats.received == 200
    assert line.buffer.stats.duplicate + line.buffer.stats.late == 100
    assert np.array_equal(
        line.heard[np.flatnonzero(line.heard)[0] :][: 90 * FRAME_SAMPLES], np.concatenate([sound(i) for i in range(90)])
    )


def test_timestamps_wrap_round() -> None:
    line = Line(steady(80), 80, origin=(1 << 32) - 20 * FRAME_SAMPLES, phase_ms=12.0)
    assert np.array_equal(
        line.heard[np.flatnonzero(line.heard)[0] :][: 70 * FRAME_SAMPLES], np.concatenate([sound(i) for i in range(70)])
    )


def test_jitter_raises_the_target_and_calm_lowers_it() -> None:
    rough = [(i * 20.0 + random.Random(i).uniform(0, 45), i) for i in range(500)]
    line = Line(rough, 500)
    assert line.buffer.target_ms == MAX_TARGET_MS
    late = line.buffer.stats
    assert late.late + late.discarded <= 25
    calm = [(i * 20.0, i) for i in range(500, 2000)]
    line = Line(rough + calm, 2000)
    assert line.buffer.target_ms == 30.0
    assert line.delays[-1] <= 30.0


@pytest.mark.parametrize("pace", [0.998, 0.9995, 1.0005, 1.002])
def test_a_drifting_clock_is_absorbed(pace: float) -> None:
    ticks = 3000
    line = Line(steady(3100, 2.0), ticks, pace=pace)
    assert max(line.delays[100:]) <= 45.0
    assert line.buffer.stats.discarded == 0
    made_up_s = line.buffer.stats.concealed * 0.02
    assert made_up_s <= 0.2, "drift is taken up a pitch period at a time, not by gaps"


@pytest.mark.parametrize("milliseconds", [10, 40, 60])
def test_packets_of_other_lengths(milliseconds: int) -> None:
    size = milliseconds * PER_MS
    buffer = JitterBuffer()
    heard, pushed = [], 0
    for tick in range(300):
        now_ms = tick * 20.0 + 3.0
        while (pushed + 1) * milliseconds <= now_ms:
            buffer.push(pushed * size, sound(pushed, size), (pushed + 1) * milliseconds)
            pushed += 1
        heard.append(buffer.pull(now_ms))
    assert buffer.stats.lost == buffer.stats.late == 0
    assert np.abs(np.concatenate(heard)[-9600:]).max() > 0.25


def test_int16_is_scaled() -> None:
    buffer = JitterBuffer()
    for index in range(4):
        buffer.push(index * 960, np.full(960, 16384, dtype=np.int16), index * 20.0)
    assert max(float(buffer.pull(60.0 + 20 * k).max()) for k in range(3)) == 0.5


def test_a_jump_of_the_senders_clock_begins_anew() -> None:
    buffer = JitterBuffer()
    for index in range(200):
        origin = 0 if index < 100 else 10_000_000
        buffer.push(origin + index * 960, sound(index), index * 20.0)
        block = buffer.pull(index * 20.0 + 12.0)
    assert np.abs(block).max() > 0.2
    assert buffer.current_ms <= 30.0


def test_unpulled_sound_is_bounded() -> None:
    buffer = JitterBuffer()
    for index in range(500):
        buffer.push(index * 960, sound(index), index * 20.0)
    assert buffer.stored_ms * PER_MS <= CAPACITY
    assert buffer.stats.discarded == 450


@pytest.mark.parametrize("change", [waveform.without_period, waveform.with_period])
def test_a_tone_stays_a_tone_when_its_length_changes(change: object) -> None:
    tone = np.sin(2 * np.pi * 200 * np.arange(2400) / 48_000).astype(np.float32)
    period, likeness = waveform.best_period(tone, waveform.MAX_PERIOD)
    assert period % 240 <= 1 or period % 240 >= 239
    assert likeness > 0.99
    changed = change(tone, period)  # type: ignore[operator]
    assert abs(changed.size - tone.size) == period
    assert np.abs(np.diff(changed)).max() < 1.5 * np.abs(np.diff(tone)).max()
    assert changed[-1] == tone[-1]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.floats(0, 150), st.booleans(), st.booleans()), min_size=1, max_size=120),
    st.integers(0, (1 << 32) - 1),
    st.floats(0, 19.9),
)
def test_whatever_the_network_does(packets: list[tuple[float, bool, bool]], origin: int, phase_ms: float) -> None:
    arrivals: Arrivals = []
    for index, (lateness_ms, lost, twice) in enumerate(packets):
        if not lost:
            arrivals += [(index * 20.0 + lateness_ms, index)] * (2 if twice else 1)
    # The network calms down afterwards.
    calm = len(packets)
    arrivals += [(index * 20.0, index) for index in range(calm, calm + 700)]
    line = Line(arrivals, calm + 700, origin, phase_ms)
    assert all(block.shape == (FRAME_SAMPLES,) and block.dtype == np.float32 for block in line.blocks)
    assert np.isfinite(line.heard).all()
    assert np.abs(line.heard).max() < 0.7
    assert all(a <= b for a, b in zip(line.playheads, line.playheads[1:], strict=False)), "sound never goes back"
    assert line.buffer.stored_ms <= 150
    assert line.delays[-1] <= MAX_TARGET_MS + FRAME_MS
    assert np.abs(line.heard[-4800:]).max() > 0.25
