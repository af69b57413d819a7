"""An adaptive jitter buffer: packets in as they come, 20 ms of sound out at every tick. Pure, clock-free.

The wanted delay follows the jitter seen lately, within 20 to 60 ms. A lost frame is concealed by the last one
repeated and faded; it never lengthens the delay, since frames are placed by RTP timestamp and read in step
with the tick. Too little in store and the buffer waits one tick (in silence, or concealed); too much and it
leaves one frame out. (After the manner of NetEQ, without time stretching.)
"""

import math
from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FRAME_SAMPLES = 960
"""20 ms at 48 kHz, the RTP clock of Opus (RFC 7587)."""
FRAME_MS = 20
MIN_TARGET_MS = 20
MAX_TARGET_MS = 60
_CAPACITY_FRAMES = 25
_CONCEAL_FRAMES = 3
_FADE_PER_FRAME = 0.5
_JITTER_WINDOW = 150
_JITTER_PERCENTILE = 95
_PATIENCE_TICKS = 10
"""Ticks the store may be over the target before a frame is left out (fewer when that frame is silent)."""
_SILENT_PEAK = 10 ** (-50 / 20)


@dataclass
class JitterStats:
    """Counters of 20 ms frames."""

    received: int = 0
    duplicate: int = 0
    late: int = 0
    concealed: int = 0
    discarded: int = 0
    starved: int = 0


@dataclass
class JitterBuffer:
    """Decoded 20 ms frames by RTP timestamp, read at a steady pace."""

    stats: JitterStats = field(default_factory=JitterStats)
    _frames: dict[int, NDArray[np.float32]] = field(default_factory=dict)
    _next: int | None = None
    """Extended timestamp of the frame to read next; None before the first and after starvation."""
    _newest: int = 0
    _transits: deque[float] = field(default_factory=lambda: deque(maxlen=_JITTER_WINDOW))
    _last: NDArray[np.float32] | None = None
    _concealed_run: int = 0
    _over_ticks: int = 0
    _has_heard: bool = False

    @property
    def target_ms(self) -> int:
        """The delay wanted now, from the spread of transit times: 20 to 60 ms in steps of 20."""
        if len(self._transits) < 2:
            return MIN_TARGET_MS
        transits = np.asarray(self._transits)
        spread_ms = float(np.percentile(transits, _JITTER_PERCENTILE) - transits.min())
        wanted = FRAME_MS * math.ceil(max(spread_ms, 1.0) / FRAME_MS)
        return int(min(max(wanted, MIN_TARGET_MS), MAX_TARGET_MS))

    @property
    def stored_ms(self) -> int:
        """Sound between the next frame to read and the newest one, gaps included."""
        if self._next is None or not self._frames:
            return 0
        return max(0, (self._newest - self._next) // FRAME_SAMPLES + 1) * FRAME_MS

    def push(self, rtp_timestamp: int, samples: NDArray[np.float32], arrival_ms: float) -> None:
        """Store a frame of (960,) samples; ``rtp_timestamp`` is the 32-bit one of its packet."""
        self.stats.received += 1
        timestamp = self._extend(rtp_timestamp)
        self._transits.append(arrival_ms - timestamp * 1000 / 48_000)
        if self._next is not None and timestamp < self._next:
            self.stats.late += 1
            return
        if timestamp in self._frames:
            self.stats.duplicate += 1
            return
        if self._next is not None and timestamp - self._next > _CAPACITY_FRAMES * FRAME_SAMPLES:
            self._restart(timestamp)
        self._frames[timestamp] = samples
        self._newest = max(self._newest, timestamp)
        while len(self._frames) > _CAPACITY_FRAMES:
            del self._frames[min(self._frames)]
            self.stats.discarded += 1
        self._has_heard = True

    def pull(self) -> NDArray[np.float32]:
        """The next (960,) samples; silence where there is nothing to say."""
        if self._next is None:
            if not self._frames or len(self._frames) * FRAME_MS < self.target_ms:
                return self._conceal()
            self._next = min(self._frames)
        self._shorten()
        frame = self._frames.pop(self._next, None)
        if frame is None and not self._frames:
            # Nothing newer either: wait where we are, so that a pause of the sender costs no sound.
            self.stats.starved += 1
            if self._concealed_run >= _CONCEAL_FRAMES:
                self._next = None
            return self._conceal()
        self._next += FRAME_SAMPLES
        if frame is None:
            self.stats.concealed += 1
            return self._conceal()
        self._last, self._concealed_run = frame, 0
        return frame

    def _shorten(self) -> None:
        """Leave a frame out when the store stays over the target: at once if silent, else after a while."""
        assert self._next is not None
        if self.stored_ms <= self.target_ms + FRAME_MS:
            self._over_ticks = 0
            return
        self._over_ticks += 1
        frame = self._frames.get(self._next)
        is_silent = frame is None or float(np.abs(frame).max(initial=0.0)) < _SILENT_PEAK
        if is_silent or self._over_ticks >= _PATIENCE_TICKS:
            self._frames.pop(self._next, None)
            self._next += FRAME_SAMPLES
            self._over_ticks = 0
            self.stats.discarded += 1

    def _conceal(self) -> NDArray[np.float32]:
        self._concealed_run += 1
        if self._last is None or self._concealed_run > _CONCEAL_FRAMES:
            return np.zeros(FRAME_SAMPLES, dtype=np.float32)
        start = _FADE_PER_FRAME ** (self._concealed_run - 1)
        fade = np.linspace(start, start * _FADE_PER_FRAME, FRAME_SAMPLES, dtype=np.float32)
        if self._concealed_run == _CONCEAL_FRAMES:
            fade = np.linspace(start, 0.0, FRAME_SAMPLES, dtype=np.float32)
        # Played backwards every other time, so that the seam does not click.
        frame = self._last[::-1] if self._concealed_run % 2 else self._last
        return np.asarray(frame * fade, dtype=np.float32)

    def _extend(self, rtp_timestamp: int) -> int:
        """32-bit timestamp to one that does not wrap, next to the newest one."""
        if not self._has_heard:
            return rtp_timestamp
        delta = (rtp_timestamp - self._newest) & 0xFFFFFFFF
        return self._newest + (delta - (1 << 32) if delta >= 1 << 31 else delta)

    def _restart(self, timestamp: int) -> None:
        """The sender has jumped: forget what is stored and begin anew."""
        self.stats.discarded += len(self._frames)
        self._frames.clear()
        self._next, self._newest = None, timestamp
