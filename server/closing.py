"""How soon the mouth is shut when the sound has ended, from decoded pictures and decoded sound."""

import numpy as np
from numpy.typing import NDArray

from models.timebase import SPEECH_RATE_HZ as RATE_HZ
from server.measure import Floats, levels_dbfs

SILENCE_DBFS = -55.0
PAUSE_S = 0.6
"""A pause at least this long is an end of speech."""
_SPOKEN_S = 0.2
_AT_REST = 8.0
"""Steps of luma within which a region is as at rest: the idle loop itself moves a little."""
_FIRST_PICTURES = 3
"""These show the face at rest: nothing has been heard yet."""


def closings(times_s: Floats, brightness: Floats, samples: Floats, start_s: float) -> list[float]:
    """Seconds from each end of speech to the first picture from which on the mouth is at rest; at most ``PAUSE_S``.

    Args:
        times_s: (n,) when each picture is due.
        brightness: (n, regions) luma; the region that changes most is the one that shows the sound.
        samples: the received sound at ``RATE_HZ``.
        start_s: when its first sample is due, on the pictures' clock.
    """
    if len(times_s) <= _FIRST_PICTURES:
        return []
    shown = brightness[:, int(np.argmax(brightness.std(axis=0)))]
    at_rest = np.abs(shown - np.median(shown[:_FIRST_PICTURES])) < _AT_REST
    hop = RATE_HZ // 500
    quiet = levels_dbfs(samples, hop) < SILENCE_DBFS
    found = []
    for begin, end in _runs(quiet):
        spoken = quiet[max(0, begin - round(_SPOKEN_S * RATE_HZ / hop)) : begin]
        ended_s = start_s + begin * hop / RATE_HZ
        if (end - begin) * hop < PAUSE_S * RATE_HZ or not len(spoken) or spoken.mean() > 0.5:
            continue
        around = (times_s > ended_s - 0.2) & (times_s < ended_s + PAUSE_S)
        if not around.any():
            continue
        moving = np.flatnonzero(~at_rest[around])
        after = times_s[around][moving[-1] + 1 :] if len(moving) else times_s[around]
        found.append(max(0.0, float(after[0] - ended_s)) if len(after) else PAUSE_S)
    return found


def _runs(flags: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """[begin, end) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], flags, [False])).astype(np.int8)))
    return [(int(begin), int(end)) for begin, end in edges.reshape(-1, 2)]
