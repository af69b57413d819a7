"""Which frames to draw next: earliest deadline first, many sessions in one batch. Pure and clock-free.

A frame that cannot be ready by its deadline is given up before time is spent on it. When what waits is more than
can be drawn in time, the session goes first that was drawn least, so that under overload all frame rates fall
alike: drawing late frames of everybody would show nothing to anybody.
"""

import bisect
import itertools
import math
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.engine import Engine
from models.talker import FrameJob, Talker
from models.timebase import FRAME_MS
from server.batch_cost import BatchCost

_FRAME_S = FRAME_MS / 1000
_LAG = 2
"""A session this many frames behind others keeps its place before them, even if its next frame is yet to come."""
_TRY_S = 0.2
_TRY_COSTS = 4.0
"""Where nothing can be ready by the estimate, one frame is tried so long after the last batch, and so many costs."""


@dataclass(frozen=True, eq=False)
class Work:
    """A frame somebody waits for."""

    owner: Hashable
    engine: Engine
    talker: Talker
    job: FrameJob
    deadline_s: float
    deliver: Callable[[int, NDArray[np.uint8]], None]
    """Called on the event loop with (frame index, I420 picture)."""


class DeadlineQueue:
    """Frames waiting to be drawn."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._costs: dict[Engine, BatchCost] = {}
        self._taken_s: dict[Engine, float] = {}
        """When an engine's last batch was taken."""
        self._drawn: dict[Hashable, int] = {}
        """Owner -> frames drawn, counted from the least of all others' counts when it began to speak."""
        self._due: dict[Hashable, tuple[float, Engine]] = {}
        """Owner -> (deadline of the next frame to come, who draws it)."""

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, work: Work) -> None:
        """Add a frame; equal deadlines keep their order."""
        bisect.insort(self._waiting, (work.deadline_s, next(self._order), work))
        if self._due.get(work.owner, (-math.inf,))[0] < work.deadline_s - _FRAME_S / 2:
            # After silence: what it did not need then, it is not owed now.
            speaking = [o for o, (due_s, _) in self._due.items() if due_s >= work.deadline_s - _FRAME_S / 2]
            least = min((self._drawn[owner] for owner in speaking), default=0)
            self._drawn[work.owner] = max(least, self._drawn.get(work.owner, 0))
        self._due[work.owner] = work.deadline_s + _FRAME_S, work.engine

    def measured(self, engine: Engine, frames: int, seconds: float) -> None:
        """Note how long ``engine`` took for a batch."""
        self._cost(engine).add(frames, seconds)

    def take(self, now_s: float, max_batch: int) -> tuple[list[Work], list[Work]]:
        """The next batch, all for one engine, and the frames that are given up.

        The batch is of what waits now, up to ``max_batch``, and ready by all its deadlines: nothing is held back to
        fill it. It may be empty though frames wait, where drawing them would cost a session its next frame that is
        behind already; look again when one is pushed.
        """
        given_up = self._remove(lambda work: now_s + self._cost(work.engine).of(1) > work.deadline_s)
        if not self._waiting:
            return self._attempt(given_up, now_s)
        batches = list(self._batches(now_s, max_batch))
        if not batches:
            return [], given_up
        cost = self._cost(batches[0][0].engine)
        size = cost.best_size([len(batch) for batch in batches])
        batch = next(batch for batch in batches if len(batch) == size)
        self._remove(set(batch).__contains__)
        newest_s = {work.owner: work.deadline_s for work in batch}
        # What their sessions have waiting from before goes too: frames are never drawn out of order.
        given_up += self._remove(lambda work: work.deadline_s < newest_s.get(work.owner, -math.inf))
        return self._note(batch, now_s), given_up

    def forget(self, owner: Hashable) -> None:
        """Remove every frame of a session that has ended."""
        self._remove(lambda work: work.owner == owner)
        self._drawn.pop(owner, None)
        self._due.pop(owner, None)

    def _cost(self, engine: Engine) -> BatchCost:
        return self._costs.setdefault(engine, BatchCost())

    def _remove(self, condition: Callable[[Work], bool]) -> list[Work]:
        removed = [work for _, _, work in self._waiting if condition(work)]
        if removed:
            self._waiting = [entry for entry in self._waiting if not condition(entry[2])]
        return removed

    def _attempt(self, given_up: list[Work], now_s: float) -> tuple[list[Work], list[Work]]:
        """One of the frames that cannot be ready by the estimate, now and then: only drawing corrects an estimate."""
        for work in reversed(given_up):
            rest_s = max(_TRY_S, _TRY_COSTS * self._cost(work.engine).of(1))
            if work.deadline_s >= now_s >= self._taken_s.get(work.engine, -math.inf) + rest_s:
                given_up.remove(work)
                return self._note([work], now_s), given_up
        return [], given_up

    def _batches(self, now_s: float, max_batch: int) -> Iterator[list[Work]]:
        """What may be drawn next: of every size the frames whose turn it is."""
        waiting = [work for _, _, work in self._waiting]
        overloaded = not self._is_feasible(waiting, now_s, max_batch)
        # Among equals goes first who was drawn least, or the last in line would be the one to miss every time.
        waiting.sort(key=lambda work: (0.0 if overloaded else work.deadline_s, self._drawn[work.owner]))
        alike = [work for work in waiting if work.engine is waiting[0].engine]
        for size in range(1, min(max_batch, len(alike)) + 1):
            end_s = now_s + self._cost(waiting[0].engine).of(size)
            ready = [work for work in alike if work.deadline_s >= end_s]
            if overloaded:
                ready = list({work.owner: work for work in reversed(ready)}.values())[::-1]
            batch = ready[:size]
            in_time = len(batch) == size and (overloaded or batch[0] is waiting[0])
            passed_over = waiting if overloaded else []
            if in_time and self._leaves_turns(batch, passed_over, now_s, end_s):
                yield batch

    def _is_feasible(self, waiting: list[Work], now_s: float, max_batch: int) -> bool:
        """Whether all that waits can be drawn in time, earliest deadline first, one batch after another."""
        ready_s = now_s
        while waiting:
            cost = self._cost(waiting[0].engine)
            alike = [work for work in waiting if work.engine is waiting[0].engine][:max_batch]
            within_s = waiting[0].deadline_s - ready_s
            sizes = [size for size in range(1, len(alike) + 1) if cost.of(size) <= within_s]
            if not sizes:
                return False
            drawn = alike[: cost.best_size(sizes)]
            ready_s += cost.of(len(drawn))
            waiting = [work for work in waiting if work not in drawn]
        return True

    def _leaves_turns(self, batch: list[Work], passed_over: list[Work], now_s: float, end_s: float) -> bool:
        """Whether no session that is behind those of ``batch`` loses its turn if the device is busy till ``end_s``."""
        behind = max(self._drawn[work.owner] for work in batch) - _LAG
        owners = {work.owner for work in batch}
        losing = {work.owner for work in passed_over}
        for owner, (due_s, engine) in self._due.items():
            latest_s = due_s - self._cost(engine).of(1)
            if now_s <= latest_s < end_s:
                losing.add(owner)
        return all(self._drawn[owner] > behind for owner in losing - owners)

    def _note(self, batch: list[Work], now_s: float) -> list[Work]:
        for work in batch:
            self._drawn[work.owner] += 1
        self._taken_s[batch[0].engine] = now_s
        return batch
