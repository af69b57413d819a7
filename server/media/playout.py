"""Frame n and its 40 ms of sound leave together. Pure and clock-free: one call is one 20 ms tick.

At tick k the sound of tick k - delay leaves. Frame n is the sound of ticks 2 n and 2 n + 1, so it leaves at
tick 2 n + delay, or not at all if it is not drawn by then: late frames are dropped, sound never is. Before
the first sound has passed through, silence and the idle loop leave, so a peer sees a face at once.
"""

import math
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.talker import FrameJob, Talker
from models.timebase import FRAME_MS, WIRE_RATE_HZ

TICK_MS = 20
TICK_SAMPLES = WIRE_RATE_HZ * TICK_MS // 1000
TICKS_PER_FRAME = FRAME_MS // TICK_MS


def delay_ticks(lookahead_ms: float, render_budget_ms: float) -> int:
    """Ticks from a sound's arrival to its leaving: the engine's look-ahead, then time to draw."""
    return math.ceil((lookahead_ms + render_budget_ms) / TICK_MS)


@dataclass(frozen=True)
class Departure:
    """What leaves at one tick."""

    tick: int
    samples: NDArray[np.float32]
    """(960,) at 48 kHz."""
    picture: NDArray[np.uint8] | None
    """I420, on every second tick unless it was late."""
    is_late: bool
    """A picture was due and is not there."""


class Playout:
    """One session's line between the ear and the mouth."""

    def __init__(self, talker: Talker, delay: int) -> None:
        self._talker = talker
        self._delay = delay
        self._tick = 0
        self._sound = deque([np.zeros(TICK_SAMPLES, dtype=np.float32)] * delay)
        self._pictures: dict[int, NDArray[np.uint8]] = {}

    @property
    def delay_ms(self) -> int:
        """Delay from sound in to the same sound out."""
        return self._delay * TICK_MS

    @property
    def tick(self) -> int:
        """Index of the tick to come."""
        return self._tick

    def hear(self, samples: NDArray[np.float32]) -> Iterable[FrameJob]:
        """Take this tick's (960,) of sound; returns the frames that can now be drawn.

        Frames in silence need no drawing and are settled here.
        """
        self._sound.append(samples)
        self._talker.push(samples)
        waiting = []
        for job in self._talker.jobs():
            if job.request is None:
                self._pictures[job.index] = self._talker.picture(job, None)
            else:
                waiting.append(job)
        return waiting

    def leaves_at(self, frame: int) -> int:
        """The tick at which ``frame`` leaves."""
        return TICKS_PER_FRAME * frame + self._delay

    def deliver(self, frame: int, picture: NDArray[np.uint8]) -> None:
        """A drawn picture; one that comes after its tick is forgotten."""
        if self.leaves_at(frame) >= self._tick:
            self._pictures[frame] = picture

    def depart(self) -> Departure:
        """What leaves at this tick; advances to the next one. Call after ``hear``."""
        tick, self._tick = self._tick, self._tick + 1
        samples = self._sound.popleft()
        frame, phase = divmod(tick - self._delay, TICKS_PER_FRAME)
        if phase:
            return Departure(tick, samples, None, is_late=False)
        picture = self._talker.idle_picture(frame) if frame < 0 else self._pictures.pop(frame, None)
        return Departure(tick, samples, picture, is_late=picture is None)
