"""What a batch costs, as measured: how long one of a size takes, and which size draws most."""

from collections.abc import Sequence

import numpy as np

_SHARE = 0.2
"""Weight of a new measurement in the running mean."""
_HOPE = 0.5
"""Exponent of the cost beyond the largest size seen; so low that larger ones are tried: measuring puts it right."""
_NEARLY = 1.02
"""A batch may cost this much more a frame than the best one, if it is smaller."""


class BatchCost:
    """Running mean and mean deviation of the seconds that a batch takes, for every size seen."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, float]] = {}
        self._told: dict[int, float] = {}
        """What ``of`` said since the last measurement."""

    def add(self, frames: int, seconds: float) -> None:
        """Note how long a batch of ``frames`` took.

        A machine that slows down or recovers does so for every size: the others follow, or one that was measured in
        a bad moment would never be tried again.
        """
        mean_s, deviation_s = self._seen.get(frames, (seconds, 0.0))
        if seconds < mean_s / 2:
            new_s, deviation_s = seconds, 0.0  # what was measured was another machine's state
        else:
            seconds = min(seconds, 2 * mean_s)  # a hiccup is not the rule
            deviation_s += _SHARE * (abs(seconds - mean_s) - deviation_s)
            new_s = mean_s + _SHARE * (seconds - mean_s)
        drift = new_s / mean_s if mean_s else 1.0
        self._seen = {size: (drift * mean, drift * deviation) for size, (mean, deviation) in self._seen.items()}
        self._seen[frames] = new_s, deviation_s
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
        if not self._seen:
            return 0.0
        sizes = sorted(self._seen)
        share = min(1.0, frames / sizes[0]) * float(max(1.0, frames / sizes[-1]) ** _HOPE)
        return share * float(np.interp(frames, sizes, [sum(self._seen[size]) for size in sizes]))
