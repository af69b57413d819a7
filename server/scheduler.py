"""Which frames to draw next: earliest deadline first, many sessions in one batch. Pure and clock-free."""

import heapq
import itertools
from collections.abc import Callable, Hashable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.engine import Engine
from models.talker import FrameJob, Talker


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


class DeadlineQueue:
    """Frames waiting to be drawn."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Work]] = []
        self._order = itertools.count()

    def __len__(self) -> int:
        return len(self._heap)

    def push(self, work: Work) -> None:
        """Add a frame; equal deadlines keep their order."""
        heapq.heappush(self._heap, (work.deadline_s, next(self._order), work))

    def take(self, now_s: float, max_batch: int) -> tuple[list[Work], list[Work]]:
        """The next batch, all for one engine, and what has missed its deadline and is given up.

        The batch is whatever waits now, up to ``max_batch``: nothing is held back to fill it.
        """
        late: list[Work] = []
        while self._heap and self._heap[0][0] < now_s:
            late.append(heapq.heappop(self._heap)[2])
        batch: list[Work] = []
        others: list[tuple[float, int, Work]] = []
        while self._heap and len(batch) < max_batch:
            entry = heapq.heappop(self._heap)
            if batch and entry[2].engine is not batch[0].engine:
                others.append(entry)
            else:
                batch.append(entry[2])
        for entry in others:
            heapq.heappush(self._heap, entry)
        return batch, late

    def forget(self, owner: Hashable) -> None:
        """Remove every frame of a session that has ended."""
        self._heap = [entry for entry in self._heap if entry[2].owner != owner]
        heapq.heapify(self._heap)
