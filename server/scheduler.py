"""Which frames to draw next: earliest deadline first, many sessions in one batch. Pure and clock-free.

A frame that cannot be ready by its deadline is given up before time is spent on it. When what waits is more than
can be drawn in time, the session that was drawn most often of late gives up a frame, so that under overload all
frame rates fall alike: drawing late frames of everybody would show nothing to anybody.
"""

import bisect
import itertools
import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.engine import Engine
from models.talker import FrameJob, Talker

_COST_SHARE = 0.2
"""Weight of a new measurement in the running mean of a batch's cost."""
_DEVIATIONS = 2.0
_NEARLY = 1.02
"""A batch may cost this much more a frame than the best one, if it is smaller."""
_MEMORY_S = 2.0
"""Time in which what a session was drawn counts less by a factor e."""


@dataclass(frozen=True)
class Work:
    """A frame somebody waits for."""

    owner: Hashable
    engine: Engine
    talker: Talker
    job: FrameJob
    deadline_s: float
    deliver: Callable[[int, NDArray[np.uint8]], None]
    """Called on the event loop with (frame index, I420 picture)."""


class BatchCost:
    """Seconds that a batch takes, as measured: running mean and mean deviation for every size seen."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, float]] = {}

    def add(self, frames: int, seconds: float) -> None:
        """Note how long a batch of ``frames`` took."""
        mean_s, deviation_s = self._seen.get(frames, (seconds, 0.0))
        deviation_s += _COST_SHARE * (abs(seconds - mean_s) - deviation_s)
        self._seen[frames] = mean_s + _COST_SHARE * (seconds - mean_s), deviation_s

    def of(self, frames: int) -> float:
        """Seconds that a batch hardly ever exceeds: between the sizes seen, and in proportion outside of them.

        As TCP takes its time-out from round trips (RFC 6298). 0 before the first measurement. Too good an estimate of
        a small batch is put right by drawing it; too bad a one would never be tried.
        """
        if not self._seen:
            return 0.0
        sizes = sorted(self._seen)
        share = min(1.0, frames / sizes[0]) * max(1.0, frames / sizes[-1])
        bounds = [mean_s + _DEVIATIONS * deviation_s for mean_s, deviation_s in map(self._seen.__getitem__, sizes)]
        return share * float(np.interp(frames, sizes, bounds))

    def best_size(self, limit: int, within_s: float) -> int:
        """The smallest batch up to ``limit``, ready ``within_s``, that draws about as many frames a second as any.

        Not larger than it must be, for who comes during a batch has to wait for its end. At least 1.
        """
        if not self._seen:
            return limit
        sizes = [size for size in range(1, limit + 1) if self.of(size) <= within_s]
        best = min((self.of(size) / size for size in sizes), default=0.0)
        return next((size for size in sizes if self.of(size) / size <= _NEARLY * best), 1)


class DeadlineQueue:
    """Frames waiting to be drawn."""

    def __init__(self) -> None:
        self._waiting: list[tuple[float, int, Work]] = []
        self._order = itertools.count()
        self._costs: dict[Engine, BatchCost] = {}
        self._drawn: dict[Hashable, tuple[float, float]] = {}
        """Owner -> (recent frames drawn, when that was right)."""

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, work: Work) -> None:
        """Add a frame; equal deadlines keep their order."""
        bisect.insort(self._waiting, (work.deadline_s, next(self._order), work))

    def measured(self, engine: Engine, frames: int, seconds: float) -> None:
        """Note how long ``engine`` took for a batch."""
        self._costs.setdefault(engine, BatchCost()).add(frames, seconds)

    def take(self, now_s: float, max_batch: int) -> tuple[list[Work], list[Work]]:
        """The next batch, all for one engine, and the frames that are given up.

        The batch is of what waits now, up to ``max_batch`` and no more than can be ready by its first deadline:
        nothing is held back to fill it. If estimates say that nothing can be ready, one frame whose deadline has
        not passed is tried all the same, for only drawing corrects an estimate.
        """
        given_up = self._shed(now_s, max_batch)
        if not self._waiting:
            hopeful = [work for work in given_up if work.deadline_s >= now_s]
            if not hopeful:
                return [], given_up
            last = max(hopeful, key=lambda work: work.deadline_s)
            given_up.remove(last)
            return self._count([last], now_s), given_up
        deadline_s, _, first = self._waiting[0]
        same = [entry for entry in self._waiting if entry[2].engine is first.engine]
        size = self._cost(first.engine).best_size(min(max_batch, len(same)), deadline_s - now_s)
        chosen = same[:size]
        for entry in chosen:
            self._waiting.remove(entry)
        return self._count([work for _, _, work in chosen], now_s), given_up

    def forget(self, owner: Hashable) -> None:
        """Remove every frame of a session that has ended."""
        self._waiting = [entry for entry in self._waiting if entry[2].owner != owner]
        self._drawn.pop(owner, None)

    def _cost(self, engine: Engine) -> BatchCost:
        return self._costs.setdefault(engine, BatchCost())

    def _shed(self, now_s: float, max_batch: int) -> list[Work]:
        """Remove and return frames until all that wait can be drawn in time, one batch after another."""
        given_up: list[Work] = []
        while (late := self._first_late(now_s, max_batch)) is not None:
            upto = self._waiting[: late + 1]
            hopeless = [entry for entry in upto if now_s + self._cost(entry[2].engine).of(1) > entry[0]]
            # Of the best-served session, the frame that is due first: its next one then follows in step.
            best_served = max(upto, key=lambda entry: (self._served(entry[2].owner, now_s), -entry[0]))
            victim = hopeless[0] if hopeless else best_served
            self._waiting.remove(victim)
            given_up.append(victim[2])
        return given_up

    def _first_late(self, now_s: float, max_batch: int) -> int | None:
        """Position of the first waiting frame that would not be ready in time, if all before it are drawn."""
        ready_s = now_s
        for position, (deadline_s, _, work) in enumerate(self._waiting):
            cost = self._cost(work.engine)
            size = cost.best_size(max_batch, math.inf)
            ready_s += cost.of(size) / size
            if max(ready_s, now_s + cost.of(1)) > deadline_s:
                return position
        return None

    def _served(self, owner: Hashable, now_s: float) -> float:
        """How much of a session was drawn of late."""
        drawn, at_s = self._drawn.get(owner, (0.0, now_s))
        return drawn * math.exp((at_s - now_s) / _MEMORY_S)

    def _count(self, batch: list[Work], now_s: float) -> list[Work]:
        for work in batch:
            self._drawn[work.owner] = (self._served(work.owner, now_s) + 1.0, now_s)
        return batch
