"""Frame n and its 40 ms of sound leave together. Pure and clock-free: one call is one 20 ms tick.

At tick k the sound of tick k - delay leaves. Frame n is the sound of ticks 2 n and 2 n + 1, so it is due at
tick 2 n + delay. Drawn by the next tick it leaves then, with the time stamp it would have had; after that it is
dropped. Sound never is. Before the first sound has passed through, silence and the idle loop leave, so a peer
sees a face at once.
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
    """I420: of one tick in two, unless it was not drawn in time."""
    picture_tick: int
    """When the picture was due: now, or a tick ago."""
    is_late: bool
    """It will never leave."""


class Playout:
    """One session's line between the ear and the mouth."""

    def __init__(self, talker: Talker, delay: int) -> None:
        self._talker = talker
        self._delay = delay
        self._tick = 0
        self._sound = deque([np.zeros(TICK_SAMPLES, dtype=np.float32)] * delay)
        self._pictures: dict[int, NDArray[np.uint8]] = {}
        self._is_awaiting = False
        """The picture that was due at the tick before is not there yet."""

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

    def latest_tick(self, frame: int) -> int:
        """The last tick at which ``frame`` may leave."""
        return TICKS_PER_FRAME * frame + self._delay + 1

    def deliver(self, frame: int, picture: NDArray[np.uint8]) -> None:
        """A drawn picture; one that can no longer leave is forgotten."""
        if self.latest_tick(frame) >= self._tick:
            self._pictures[frame] = picture

    def depart(self) -> Departure:
        """What leaves at this tick; advances to the next one. Call after ``hear``."""
        tick, self._tick = self._tick, self._tick + 1
        samples = self._sound.popleft()
        frame, phase = divmod(tick - self._delay, TICKS_PER_FRAME)
        if phase and not self._is_awaiting:
            return Departure(tick, samples, None, tick, is_late=False)
        picture = self._talker.idle_picture(frame) if frame < 0 else self._pictures.pop(frame, None)
        self._is_awaiting = picture is None and not phase
        return Departure(tick, samples, picture, tick - phase, is_late=picture is None and phase > 0)
