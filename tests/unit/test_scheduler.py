"""The scheduler in virtual time: one device of known speed, many sessions."""

from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from models.probe.engine import ProbeEngine
from server.scheduler import DeadlineQueue, Work

FRAME_S = 0.04
BUDGET_S = 0.055
MAX_BATCH = 8
ALMOST = 1e-9
Cost = Callable[[int], float]


def work(owner: str, engine: ProbeEngine, deadline_s: float) -> Work:
    return Work(owner, engine, None, None, deadline_s, lambda *_: None)  # type: ignore[arg-type]


def network(fps: float, shared: float) -> Cost:
    """Seconds of a batch, of which ``shared`` is the part of a single frame's that is taken once."""
    return lambda frames: (shared + frames * (1 - shared)) / fps


class Drawn:
    """What a device shows; sessions begin at ``phases``, and the device is ``slower`` by a factor of the time."""

    def __init__(
        self,
        phases: list[float],
        cost: Cost,
        seconds: float,
        ends: dict[int, float] | None = None,
        slower: Callable[[float], float] = lambda _: 1.0,
    ) -> None:
        self.times: dict[int, list[float]] = defaultdict(list)
        self.due: dict[int, list[float]] = defaultdict(list)
        """Deadlines of what was drawn, in the order in which it was."""
        self.missed = 0
        queue, engine, ends = DeadlineQueue(), ProbeEngine(), ends or {}
        for size in range(1, MAX_BATCH + 1):
            queue.measured(engine, size, cost(size))  # as the server does before its first visitor
        arrivals = sorted(
            (phase + n * FRAME_S, session)
            for session, phase in enumerate(phases)
            for n in range(int(min(seconds, ends.get(session, seconds)) / FRAME_S))
        )[::-1]
        leaving = sorted((at, session) for session, at in ends.items())
        pushed = drawn = given_up = 0
        now_s = 0.0
        while arrivals or len(queue):
            while arrivals and arrivals[-1][0] <= now_s + ALMOST:
                at, session = arrivals.pop()
                queue.push(work(str(session), engine, at + BUDGET_S))
                pushed += 1
            while leaving and leaving[0][0] <= now_s:
                before = len(queue)
                queue.forget(str(leaving.pop(0)[1]))
                given_up += before - len(queue)
            batch, lost = queue.take(now_s, MAX_BATCH)
            drawn, given_up = drawn + len(batch), given_up + len(lost)
            assert len(batch) <= MAX_BATCH
            if not batch:
                now_s = arrivals[-1][0] if arrivals else now_s + FRAME_S
                continue
            took_s = cost(len(batch)) * slower(now_s)
            for item in batch:
                session = int(item.owner)  # type: ignore[call-overload]
                assert ends.get(session, seconds + 1) >= now_s, "a frame for a closed session"
                self.due[session].append(item.deadline_s)
                if now_s + took_s > item.deadline_s + ALMOST:
                    self.missed += 1
                    continue
                self.times[session].append(now_s + took_s)
            now_s += took_s
            queue.measured(engine, len(batch), took_s)
        assert pushed == drawn + given_up

    def rates(self, begin_s: float, end_s: float, sessions: int) -> list[float]:
        """Frames a second of each session."""
        return [sum(begin_s <= t < end_s for t in self.times[s]) / (end_s - begin_s) for s in range(sessions)]


def most(phases: list[float], cost: Cost, seconds: float) -> float:
    """Frames a second that a device draws that cares for no session: the best of all sizes of batches."""
    return max(_greedy(phases, cost, size, seconds) for size in range(1, MAX_BATCH + 1))


def _greedy(phases: list[float], cost: Cost, limit: int, seconds: float) -> float:
    """The earliest frames that can be ready, as many as there are up to ``limit``."""
    arrivals = sorted(phase + n * FRAME_S for phase in phases for n in range(int(seconds / FRAME_S)))[::-1]
    waiting: list[float] = []
    now_s, drawn = 0.0, 0
    while arrivals:
        while arrivals and arrivals[-1] <= now_s + ALMOST:
            waiting.append(arrivals.pop() + BUDGET_S)
        for size in range(min(limit, len(waiting)), 0, -1):
            ready = [deadline_s for deadline_s in waiting if deadline_s >= now_s + cost(size)]
            if len(ready) >= size:
                waiting, now_s, drawn = ready[size:], now_s + cost(size), drawn + size
                break
        else:
            waiting, now_s = [], arrivals[-1] if arrivals else seconds
    return drawn / now_s


lock_step = st.integers(1, 16).map(lambda count: [0.0] * count)
any_phases = st.lists(st.floats(0, FRAME_S), min_size=1, max_size=16)
networks = st.builds(network, st.floats(19, 1000), st.floats(0, 0.95))
"""The slowest still draws a frame in the time there is."""


@settings(deadline=None, max_examples=20)
@given(lock_step, networks)
def test_sessions_that_tick_together_share_what_the_network_can_draw(phases: list[float], cost: Cost) -> None:
    rates = Drawn(phases, cost, seconds=4).rates(1, 4, len(phases))
    assert max(rates) - min(rates) <= 1
    assert sum(rates) >= 0.9 * most(phases, cost, 4) - 1


@settings(deadline=None, max_examples=30)
@given(any_phases, networks)
def test_nobody_starves_whenever_sessions_tick(phases: list[float], cost: Cost) -> None:
    count, drawn = len(phases), Drawn(phases, cost, seconds=6)
    rates = drawn.rates(2, 6, count)
    # Some may have more, from time that the others cannot use.
    assert min(rates) >= 0.5 * sum(rates) / count - 0.5
    # Where frames of some can be ready only at times when others' cannot, the device waits for those it owes a turn.
    assert sum(rates) >= (0.85 if cost(1) < FRAME_S / 2 else 0.6) * most(phases, cost, 6) - 1
    for due in drawn.due.values():
        assert due == sorted(set(due)), "frames of a session drawn out of order, or twice"


@settings(deadline=None, max_examples=20)
@given(st.lists(st.floats(0, FRAME_S), min_size=1, max_size=4), st.floats(120, 1000))
def test_a_device_that_is_fast_enough_drops_nothing(phases: list[float], fps: float) -> None:
    drawn = Drawn(phases, network(fps, 0.0), seconds=4)
    assert drawn.missed == 0
    assert all(len(times) == 100 for times in drawn.times.values())


@settings(deadline=None, max_examples=15)
@given(any_phases, networks, st.floats(1, 2))
def test_who_leaves_makes_room_within_a_second(phases: list[float], cost: Cost, leave_s: float) -> None:
    assume(len(phases) > 1)
    # All but one leave: it then has the network for itself.
    drawn = Drawn(phases, cost, seconds=5, ends=dict.fromkeys(range(1, len(phases)), leave_s))
    alone = Drawn(phases[:1], cost, seconds=5)
    assert drawn.rates(leave_s + 1, 5, 1)[0] == pytest.approx(alone.rates(leave_s + 1, 5, 1)[0], abs=0.6)


def test_twice_the_load_halves_the_rate_of_all_and_recovers() -> None:
    # Eight sessions on a device of 100 frames a second: 12.5 each. Then four leave, and 25 are back.
    drawn = Drawn([n * 0.005 for n in range(8)], network(100, 0), seconds=12, ends=dict.fromkeys(range(4), 6.0))
    assert all(11.5 <= rate <= 13.5 for rate in drawn.rates(2, 6, 8))
    assert drawn.rates(7, 12, 8) == pytest.approx([0] * 4 + [25] * 4, abs=0.5)
    for session in range(8):
        gaps = [b - a for a, b in pairwise(drawn.times[session]) if 2 < a < 5.9]
        assert max(gaps) < 0.2


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 16), st.floats(0, 0.95), st.floats(2, 6))
def test_a_machine_that_was_slow_for_a_while_is_believed_again_within_a_second(
    count: int, shared: float, factor: float
) -> None:
    # What it draws at ease in a frame's time is all 25 of every session.
    cost = network(fps=25 * (shared + count * (1 - shared)) / 0.75, shared=shared)
    assume(count <= MAX_BATCH or shared < 0.3)
    drawn = Drawn([0.0] * count, cost, seconds=7, slower=lambda now_s: factor if 2 < now_s < 4 else 1.0)
    assert min(drawn.rates(1, 2, count)) >= 24
    assert min(drawn.rates(5, 7, count)) >= 24


def test_a_network_slower_than_the_frame_rate_draws_every_frame_that_can_be_ready() -> None:
    # 50 ms a frame of 40, with 55 ms of time: a frame is begun at once or is late, so every second one is drawn.
    drawn = Drawn([0.0], network(20, 0), seconds=10)
    assert drawn.missed == 0
    assert drawn.rates(0, 10, 1) == [12.5]


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


def test_a_network_too_slow_for_any_frame_is_tried_a_quarter_of_the_time() -> None:
    queue, engine = DeadlineQueue(), ProbeEngine()
    now_s, pushed, busy_s = 0.0, 0, 0.0
    while now_s < 60:
        while pushed * FRAME_S <= now_s:
            queue.push(work("a", engine, pushed * FRAME_S + BUDGET_S))
            pushed += 1
        batch, _ = queue.take(now_s, 8)
        took_s = 0.5 * len(batch)
        if batch:
            queue.measured(engine, len(batch), took_s)
        busy_s, now_s = busy_s + took_s, max(now_s + took_s, pushed * FRAME_S)
    assert 3 < busy_s < 16


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
    for owner, deadline_s, engine in (("a", 1.0, first), ("b", 2.0, second), ("a", 3.0, first)):
        queue.push(work(owner, engine, deadline_s))
    assert [item.deadline_s for item in queue.take(0.0, 8)[0]] == [1.0, 3.0]
    assert [item.deadline_s for item in queue.take(0.0, 8)[0]] == [2.0]
