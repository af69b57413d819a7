"""An adaptive jitter buffer in the manner of NetEQ: packets in as they come, 20 ms of sound out at every tick.

Pure and clock-free: the caller says what time it is. Delay means the time from when a packet would arrive over the
fastest path seen lately to when its first sample is pulled. It is kept between a floor that follows the jitter
(10 to 40 ms) and the target 20 ms above it, since packets and ticks both come in steps of 20 ms. Sound is
lengthened and shortened a pitch period at a time. A gap is carried on and faded over 60 ms, and does not lengthen
the delay: sound is placed by its RTP timestamp.
"""

from bisect import bisect_left, insort
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.audio import waveform
from models.audio.waveform import Samples
from models.timebase import WIRE_RATE_HZ

FRAME_MS = 20
PER_MS = WIRE_RATE_HZ // 1000
FRAME_SAMPLES = FRAME_MS * PER_MS
"""20 ms at 48 kHz, the RTP clock of Opus (RFC 7587)."""
MIN_FLOOR_MS = 10.0
MAX_FLOOR_MS = 40.0
MAX_TARGET_MS = MAX_FLOOR_MS + FRAME_MS
MAX_DELAY_MS = MAX_TARGET_MS + FRAME_MS
"""Beyond this, what has come too late is left out rather than played faster."""
CAPACITY = 1000 * PER_MS
"""Samples in store at most, should nobody pull."""
_MARGIN_MS = 4.0
_RESTART_MS = 2000.0
_JOINT = 5 * PER_MS
_LEVELS = 300
_MIN_LEVELS = 100
_RECENT = 10


@dataclass
class JitterStats:
    """Counters since the beginning: packets, except ``concealed``."""

    received: int = 0
    duplicate: int = 0
    late: int = 0
    lost: int = 0
    discarded: int = 0
    concealed: int = 0
    """Pulls that held any made-up sound between real sound and silence."""
    compressed_ms: float = 0.0
    stretched_ms: float = 0.0


class _Transits:
    """Arrival minus RTP time of the last packets: its minimum is the fastest path, its spread the jitter."""

    def __init__(self) -> None:
        self._order: deque[float] = deque()
        self._sorted: list[float] = []

    def add(self, transit_ms: float) -> None:
        if len(self._order) == 500:
            del self._sorted[bisect_left(self._sorted, self._order.popleft())]
        self._order.append(transit_ms)
        insort(self._sorted, transit_ms)

    @property
    def fastest_ms(self) -> float:
        return self._sorted[0]

    @property
    def jitter_ms(self) -> float:
        """The 98th percentile above the fastest."""
        return self._sorted[int(0.98 * (len(self._sorted) - 1))] - self._sorted[0]

    def __len__(self) -> int:
        return len(self._order)


class JitterBuffer:
    """Decoded packets of any length by RTP timestamp (48 kHz), read 20 ms at a time."""

    def __init__(self) -> None:
        self.stats = JitterStats()
        self._newest = 0
        self._restart()

    def _restart(self) -> None:
        """Forget everything but the counters."""
        self._packets: dict[int, Samples] = {}
        self._transits = _Transits()
        self.playhead: int | None = None
        """Unwrapped RTP timestamp of the next sample; None before the first."""
        self._ahead: Samples = np.zeros(0, dtype=np.float32)
        self._history: Samples = np.zeros(0, dtype=np.float32)
        self._extension: Samples = np.zeros(0, dtype=np.float32)
        self._made_up = 0
        """Samples made up since the last real one."""
        self._wanted = 0
        """Samples still to be inserted to reach the floor."""
        # Both less the delay inserted since the beginning, so that past values stay comparable.
        self._inserted = 0
        self._levels: deque[int] = deque(maxlen=_LEVELS)
        self._recent_ms: deque[float] = deque(maxlen=_RECENT)

    @property
    def floor_ms(self) -> float:
        """Delay below which sound is lengthened: the jitter and a margin, 10 to 40 ms."""
        jitter_ms = self._transits.jitter_ms if len(self._transits) else 0.0
        return min(max(jitter_ms + _MARGIN_MS, MIN_FLOOR_MS), MAX_FLOOR_MS)

    @property
    def target_ms(self) -> float:
        """Delay above which sound is shortened at once, 30 to 60 ms."""
        return self.floor_ms + FRAME_MS

    @property
    def current_ms(self) -> float:
        """The delay of the sound now being pulled; 0 before the first."""
        # The least of the last ticks: a tick that was late itself says nothing about the network.
        return min(self._recent_ms, default=0.0) + self._inserted / PER_MS if self._recent_ms else 0.0

    @property
    def stored_ms(self) -> float:
        """Sound in store."""
        return (self._ahead.size + sum(samples.size for samples in self._packets.values())) / PER_MS

    def push(self, rtp_timestamp: int, samples: NDArray[np.float32 | np.int16], arrival_ms: float) -> None:
        """Store a packet's (n,) mono samples at 48 kHz; ``rtp_timestamp`` is its 32-bit one."""
        self.stats.received += 1
        timestamp = self._unwrapped(rtp_timestamp)
        transit_ms = arrival_ms - timestamp / PER_MS
        if len(self._transits) and abs(transit_ms - self._transits.fastest_ms) > _RESTART_MS:
            self.stats.discarded += len(self._packets)
            self._restart()
        if timestamp in self._packets:
            self.stats.duplicate += 1
            return
        self._transits.add(transit_ms)
        self._newest = max(self._newest, timestamp) if len(self._transits) > 1 else timestamp
        if self.playhead is not None and timestamp + samples.size <= self.playhead + self._ahead.size:
            self.stats.late += 1
            return
        if samples.dtype == np.int16:
            samples = samples.astype(np.float32) / 32768.0
        self._packets[timestamp] = np.asarray(samples, dtype=np.float32)
        while self.stored_ms * PER_MS > CAPACITY and len(self._packets) > 1:
            del self._packets[min(self._packets)]
            self.stats.discarded += 1

    def pull(self, now_ms: float) -> Samples:
        """The next (960,) samples; silence where there is nothing to say. ``now_ms``: as ``arrival_ms``."""
        self._collect()
        if self.playhead is not None and not self._made_up:
            self._steer(now_ms)
        made_up = self._made_up
        parts: list[Samples] = []
        left = FRAME_SAMPLES
        while left:
            part = self._next(left, now_ms + (FRAME_SAMPLES - left) / PER_MS)
            parts.append(part)
            left -= part.size
        if self._made_up > made_up and made_up < waveform.FADED and self._history.size:
            self.stats.concealed += 1
        return np.concatenate(parts)

    def _next(self, count: int, now_ms: float) -> Samples:
        """From 1 to ``count`` samples, or none after a step that calls for another look."""
        self._collect()
        if self._ahead.size:
            return self._take(count)
        if not self._packets:
            return self._carry_on(count)
        first = min(self._packets)
        if self.playhead is None or self._made_up >= waveform.FADED:
            # In silence the delay is free to choose; wait until it will bear the jitter.
            if self._delay_ms(first, now_ms) < self.floor_ms:
                return self._carry_on(count)
        elif first - self.playhead > self._made_up:
            return self._carry_on(min(count, first - self.playhead - self._made_up))
        self._resume(first, now_ms)
        return np.zeros(0, dtype=np.float32)

    def _delay_ms(self, timestamp: int, now_ms: float) -> float:
        return now_ms - self._transits.fastest_ms - timestamp / PER_MS

    def _collect(self) -> None:
        """Move packets that follow without a gap to the sound ahead."""
        while self.playhead is not None and not self._made_up and self._packets:
            end = self.playhead + self._ahead.size
            first = min(self._packets)
            if first > end:
                return
            samples = self._packets.pop(first)[end - first :]
            self._ahead = np.concatenate((self._ahead, samples))

    def _take(self, count: int) -> Samples:
        assert self.playhead is not None
        taken, self._ahead = self._ahead[:count], self._ahead[count:]
        self.playhead += taken.size
        self._history = np.concatenate((self._history, taken))[-waveform.HISTORY :]
        return taken

    def _carry_on(self, count: int) -> Samples:
        if self.playhead is None:
            return np.zeros(count, dtype=np.float32)
        if not self._made_up:
            self._extension = waveform.carried_on(self._history, waveform.FADED + _JOINT)
        part = self._extension[self._made_up : self._made_up + count]
        self._made_up += count
        return np.pad(part, (0, count - part.size))

    def _resume(self, first: int, now_ms: float) -> None:
        """Go on with real sound, from the oldest packet that is not too late to be worth its delay."""
        while len(self._packets) > 1 and self._delay_ms(first, now_ms) > MAX_DELAY_MS:
            del self._packets[first]
            self.stats.discarded += 1
            first = min(self._packets)
        if self.playhead is not None:
            gap = first - self.playhead
            if 0 < gap <= _RESTART_MS * PER_MS:
                self.stats.lost += round(gap / self._packets[first].size)
            self._inserted += self._made_up - gap
            if self._made_up > gap:
                # It came too late, so there is no room to shorten what has just been lengthened.
                self._levels.append(-self._inserted)
        self.playhead = first
        joint = self._extension[self._made_up : self._made_up + _JOINT]
        self._made_up = 0
        self._collect()
        joint = np.pad(joint, (0, _JOINT - joint.size))[: self._ahead.size]
        rise = np.linspace(0.0, 1.0, joint.size, dtype=np.float32)
        if self._history.size:
            self._ahead[: joint.size] = joint * (1 - rise) + self._ahead[: joint.size] * rise

    def _steer(self, now_ms: float) -> None:
        """Bring the delay nearer to what is wanted, by at most one pitch period."""
        assert self.playhead is not None
        spare = self._ahead.size - FRAME_SAMPLES
        if spare >= 0:
            self._levels.append(spare - self._inserted)
        self._recent_ms.append(self._delay_ms(self.playhead, now_ms) - self._inserted / PER_MS)
        if len(self._recent_ms) < _RECENT:
            return
        delay_ms = self.current_ms
        if delay_ms > self.target_ms:
            self._wanted = 0
            self._shorten(spare, 0.5 if delay_ms < MAX_DELAY_MS else -1.0)
        elif len(self._levels) >= _MIN_LEVELS and delay_ms > self.floor_ms:
            # Only what no packet of the last seconds would have missed.
            unused = min(self._levels) + self._inserted
            self._shorten(min(spare, unused, int((delay_ms - self.floor_ms) * PER_MS)), 0.9)
        elif delay_ms < self.floor_ms - _MARGIN_MS or self._wanted > 0:
            self._lengthen()

    def _shorten(self, most: int, likeness: float) -> None:
        longest = min(most, waveform.MAX_PERIOD)
        if longest < waveform.MIN_PERIOD or self._ahead.size < FRAME_SAMPLES:
            return
        assert self.playhead is not None
        period, found = waveform.best_period(self._ahead, longest)
        if found >= likeness:
            self._ahead = waveform.without_period(self._ahead, period)
            self.playhead += period
            self._inserted -= period
            self.stats.compressed_ms += period / PER_MS

    def _lengthen(self) -> None:
        if self._wanted <= 0:
            # Less than a whole packet's worth would not help: the next packet is needed as early as before.
            self._wanted = FRAME_SAMPLES
        longest = min(self._ahead.size - waveform.COMPARED, self._ahead.size // 2, waveform.MAX_PERIOD)
        if longest < waveform.MIN_PERIOD:
            return
        assert self.playhead is not None
        period, found = waveform.best_period(self._ahead, longest)
        if found >= 0.9:
            self._ahead = waveform.with_period(self._ahead, period)
            self.playhead -= period
            self._inserted += period
            self._wanted -= period
            self.stats.stretched_ms += period / PER_MS

    def _unwrapped(self, rtp_timestamp: int) -> int:
        """32-bit timestamp to one that does not wrap, the nearest to the newest one."""
        if not len(self._transits):
            return rtp_timestamp
        delta = (rtp_timestamp - self._newest) & 0xFFFFFFFF
        return self._newest + (delta - (1 << 32) if delta >= 1 << 31 else delta)
