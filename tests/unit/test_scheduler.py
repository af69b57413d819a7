"""The scheduler in virtual time: one device of known speed, many sessions."""

from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.probe.engine import ProbeEngine
from server.scheduler import BatchCost, DeadlineQueue, Work

FRAME_S = 0.04
BUDGET_S = 0.06


def work(owner: str, engine: ProbeEngine, deadline_s: float) -> Work:
    return Work(owner, engine, None, None, deadline_s, lambda *_: None)  # type: ignore[arg-type]


class Drawn:
    """What a device shows that takes ``fixed_s + n * frame_s`` for a batch of n; sessions begin at ``phases``."""

    def __init__(
        self, phases: list[float], fixed_s: float, frame_s: float, seconds: float, ends: dict[int, float] | None = None
    ) -> None:
        self.times: dict[int, list[float]] = defaultdict(list)
        self.due: dict[int, list[float]] = defaultdict(list)
        self.missed = 0
        queue, engine, ends = DeadlineQueue(), ProbeEngine(), ends or {}
        arrivals = sorted(
            (phase + n * FRAME_S, session)
            for session, phase in enumerate(phases)
            for n in range(int(min(seconds, ends.get(session, seconds)) / FRAME_S))
        )
        leaving = sorted((at, session) for session, at in ends.items())
        now_s = 0.0
        while arrivals or len(queue):
            while arrivals and arrivals[0][0] <= now_s:
                at, session = arrivals.pop(0)
                queue.push(work(str(session), engine, at + BUDGET_S))
            while leaving and leaving[0][0] <= now_s:
                queue.forget(str(leaving.pop(0)[1]))
            batch, _ = queue.take(now_s, 8)
            if not batch:
                now_s = arrivals[0][0] if arrivals else now_s
                continue
            took_s = fixed_s + frame_s * len(batch)
            for item in batch:
                assert ends.get(int(item.owner), seconds + 1) >= now_s, "a frame for a closed session"  # type: ignore[call-overload]
                if now_s + took_s > item.deadline_s:
                    self.missed += 1
                    continue
                self.times[int(item.owner)].append(now_s + took_s)  # type: ignore[call-overload]
                self.due[int(item.owner)].append(item.deadline_s)  # type: ignore[call-overload]
            now_s += took_s
            queue.measured(engine, len(batch), took_s)

    def rates(self, begin_s: float, end_s: float, sessions: int) -> list[float]:
        """Frames a second of each session."""
        return [sum(begin_s <= t < end_s for t in self.times[s]) / (end_s - begin_s) for s in range(sessions)]


phases = st.lists(st.floats(0, FRAME_S), min_size=1, max_size=10)


@settings(deadline=None, max_examples=15)
@given(phases, st.floats(0, 0.005), st.floats(0.001, 0.015))
def test_overload_slows_everybody_alike(phases: list[float], fixed_s: float, frame_s: float) -> None:
    drawn = Drawn(phases, fixed_s, frame_s, seconds=5)
    rates = drawn.rates(1, 5, len(phases))
    assert max(rates) - min(rates) <= 3
    # The device need not find partners for a batch, but what it can draw one by one it must draw.
    assert sum(rates) >= 0.75 * min(25 * len(phases), 1 / (fixed_s + frame_s))
    for due in drawn.due.values():
        assert due == sorted(due)


@settings(deadline=None, max_examples=15)
@given(st.lists(st.floats(0, FRAME_S), min_size=1, max_size=4), st.floats(0.001, 0.008))
def test_a_device_that_is_fast_enough_drops_nothing(phases: list[float], frame_s: float) -> None:
    drawn = Drawn(phases, 0.0, frame_s, seconds=4)
    assert drawn.missed == 0
    assert all(len(times) == 100 for times in drawn.times.values())


def test_twice_the_load_halves_the_rate_of_all_and_recovers() -> None:
    # Eight sessions on a device of 100 frames a second: 12.5 each. Then four leave, and 25 are back.
    drawn = Drawn([n * 0.005 for n in range(8)], 0.0, 0.01, seconds=12, ends=dict.fromkeys(range(4), 6.0))
    assert all(11.5 <= rate <= 13.5 for rate in drawn.rates(2, 6, 8))
    assert drawn.rates(7, 12, 8) == pytest.approx([0] * 4 + [25] * 4, abs=0.5)
    for session in range(8):
        gaps = [b - a for a, b in zip(drawn.times[session], drawn.times[session][1:], strict=False) if 2 < a < 5.9]
        assert max(gaps) < 0.2


def test_an_estimate_that_is_too_high_is_tried_again() -> None:
    queue, engine = DeadlineQueue(), ProbeEngine()
    for _ in range(20):
        queue.measured(engine, 1, 5.0)  # say, the machine slept
    now_s, drawn = 0.0, 0
    while now_s < 4:
        queue.push(work("a", engine, now_s + BUDGET_S))
        batch, _ = queue.take(now_s, 8)
        for _item in batch:
            queue.measured(engine, 1, 0.01)
        drawn += len(batch)
        now_s += FRAME_S
    assert drawn == 100


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 10)), max_size=40), st.floats(0, 10), st.integers(1, 8))
def test_earliest_deadline_first_and_nothing_lost(items: list[tuple[str, float]], now_s: float, max_batch: int) -> None:
    queue, engine = DeadlineQueue(), ProbeEngine()
    for owner, deadline_s in items:
        queue.push(work(owner, engine, deadline_s))
    queue.forget("c")
    expected = sorted(deadline for owner, deadline in items if owner != "c")
    seen: list[float] = []
    while len(queue):
        batch, given_up = queue.take(now_s, max_batch)
        assert len(batch) <= max_batch
        assert all(item.deadline_s < now_s for item in given_up)
        assert all(item.deadline_s >= now_s and item.owner != "c" for item in batch)
        seen += [item.deadline_s for item in [*given_up, *batch]]
    assert seen == expected


def test_a_batch_is_of_one_engine() -> None:
    queue, first, second = DeadlineQueue(), ProbeEngine(), ProbeEngine()
    for deadline_s, engine in ((1.0, first), (2.0, second), (3.0, first)):
        queue.push(work("a", engine, deadline_s))
    assert [item.deadline_s for item in queue.take(0.0, 8)[0]] == [1.0, 3.0]
    assert [item.deadline_s for item in queue.take(0.0, 8)[0]] == [2.0]


def test_the_batch_size_is_the_one_that_draws_most_in_the_time_there_is() -> None:
    cost = BatchCost()
    assert (cost.of(3), cost.best_size(8, 0.0)) == (0.0, 8)
    for frames, seconds in ((1, 0.010), (2, 0.016), (4, 0.028), (8, 0.090)):
        cost.add(frames, seconds)
    assert (cost.of(3), cost.of(16)) == pytest.approx((0.022, 0.180))
    assert cost.best_size(8, 1.0) == 4
    assert cost.best_size(8, 0.020) == 2
    assert cost.best_size(8, 0.001) == 1
