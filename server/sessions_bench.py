"""``visavis bench sessions``: how many sessions a network of a given speed holds, by the scheduler that serves them.

In virtual time: the queue, its estimates and its batches are the server's, the network is a formula. The figures
are of scheduling alone, the same on every machine; sound, video and the network between are ``loadtest``'s matter.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from models.engine import Engine
from models.probe.engine import ProbeEngine
from models.talker import FrameJob, Talker
from models.timebase import FRAMES_PER_SECOND
from server.scheduler import DeadlineQueue, Work

HELD_FPS = 24.9
"""A session that is drawn this often is held at 25 frames a second: a frame in ten seconds may be missing."""
BUDGET_MS = 75.0
"""Time to draw a frame in: the default ``playout.render_budget_ms``, and a tick late, less the handing over."""
_SETTLING_S = 2.0
_SECONDS = 12.0


@dataclass(frozen=True)
class StubNetwork:
    """A network that is no more than its cost; it speaks for no real one."""

    fps: float
    """Frames a second, drawn one by one."""
    shared: float
    """Share of a frame's time that a batch takes once: 0 where batches save nothing, near 1 on a large GPU."""

    def seconds(self, frames: int) -> float:
        """What a batch takes."""
        return (self.shared + frames * (1 - self.shared)) / self.fps


def rates(network: StubNetwork, sessions: int, max_batch: int = 8, budget_ms: float = BUDGET_MS) -> list[float]:
    """Frames a second of every one of so many sessions that all speak without a pause."""
    queue, engine = DeadlineQueue(), cast(Engine, ProbeEngine())
    for size in range(1, max_batch + 1):
        queue.measured(engine, size, network.seconds(size))  # as a server does before its first visitor
    drawn = dict.fromkeys(range(sessions), 0)
    tick, now_s = 0, 0.0
    while now_s < _SECONDS:
        while tick / FRAMES_PER_SECOND <= now_s:
            # Sessions tick at the same instants.
            for owner in drawn:
                queue.push(_work(owner, engine, tick / FRAMES_PER_SECOND + budget_ms / 1000))
            tick += 1
        batch, _ = queue.take(now_s, max_batch)
        if not batch:
            now_s = tick / FRAMES_PER_SECOND
            continue
        took_s = network.seconds(len(batch))
        now_s += took_s
        queue.measured(engine, len(batch), took_s)
        for work in batch:
            if _SETTLING_S <= now_s <= work.deadline_s:
                drawn[cast(int, work.owner)] += 1
    return [frames / (_SECONDS - _SETTLING_S) for frames in drawn.values()]


def held(
    network: StubNetwork,
    max_batch: int = 8,
    budget_ms: float = BUDGET_MS,
    most: int = 64,
    told: Callable[[dict[str, Any]], object] = id,
) -> int:
    """The most sessions up to ``most`` that are all held; ``told`` hears of every number tried, the first over too."""
    for sessions in range(1, most + 1):
        each = rates(network, sessions, max_batch, budget_ms)
        told({"sessions": sessions, "fps_min": min(each), "fps_max": max(each)})
        if min(each) < HELD_FPS:
            return sessions - 1
    return most


def _work(owner: int, engine: Engine, deadline_s: float) -> Work:
    nobody, nothing = cast(Talker, None), cast(FrameJob, None)  # a queue looks at neither
    return Work(owner, engine, nobody, nothing, deadline_s, _drop)


def _drop(_index: int, _picture: NDArray[np.uint8]) -> None: ...
