"""What a batch costs, as measured: how long one of a size takes, and which size draws most."""

from collections.abc import Sequence

import numpy as np

_SHARE, _SHAPE_SHARE = 0.2, 0.02
"""Weight of a new measurement in the running means, and in what its size takes in proportion to the others."""
_LEAST_S = 1e-6
_EXCESSES = 2.0
_HOPE = 0.5
"""Exponent of the cost beyond the largest size seen; so low that larger ones are tried: measuring puts it right."""
_NEARLY = 1.02
"""A batch may cost this much more a frame than the best one, if it is smaller."""


class BatchCost:
    """What each size takes on the machine at its best, and how much slower it is of late, for all sizes alike.

    Kept apart, so that a size that was measured in a bad moment is believed in again as soon as others are quick.
    """

    def __init__(self) -> None:
        self._base_s: dict[int, float] = {}
        self._slowness, self._excess = 1.0, 0.0
        """Running means: of the measured over the base, and of how much it was over the former."""
        self._told: dict[int, float] = {}
        """What ``of`` said since the last measurement."""

    def add(self, frames: int, seconds: float) -> None:
        """Note how long a batch of ``frames`` took."""
        seconds = max(seconds, _LEAST_S)
        base_s = self._base_s.setdefault(frames, seconds / self._slowness)
        slowness = seconds / base_s
        if slowness < self._slowness / 2:
            self._slowness, self._excess = slowness, 0.0  # what was measured before was another machine
        else:
            off = min(slowness, 2 * self._slowness) - self._slowness  # a hiccup is not the rule
            self._base_s[frames] *= 1 + _SHAPE_SHARE * off / self._slowness
            self._excess += _SHARE * (max(0.0, off) - self._excess)
            self._slowness += _SHARE * off
        self._told.clear()

    def of(self, frames: int) -> float:
        """Seconds that a batch seldom exceeds: between the sizes seen, and nearly in proportion outside of them.

        As TCP takes its time-out from round trips (RFC 6298), if less careful: a frame that is late is lost, and so
        is one that is not tried. 0 before the first measurement. Too good an estimate is put right by drawing; too
        bad a one would never be tried.
        """
        if frames not in self._told:
            self._told[frames] = self._bound(frames)
        return self._told[frames]

    def best_size(self, sizes: Sequence[int]) -> int:
        """The smallest of some sizes that draws about as many frames a second as any.

        Not larger than it must be, for who comes during a batch has to wait for its end.
        """
        best = min(self.of(size) / size for size in sizes)
        return min(size for size in sizes if self.of(size) / size <= _NEARLY * best) if best else max(sizes)

    def _bound(self, frames: int) -> float:
        if not self._base_s:
            return 0.0
        sizes = sorted(self._base_s)
        share = min(1.0, frames / sizes[0]) * float(max(1.0, frames / sizes[-1]) ** _HOPE)
        base_s = share * float(np.interp(frames, sizes, [self._base_s[size] for size in sizes]))
        return base_s * (self._slowness + _EXCESSES * self._excess)
