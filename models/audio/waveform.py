"""Speech made a little shorter, longer, or carried on, one pitch period at a time. Pure functions on 48 kHz mono.

After the manner of WSOLA (Verhelst & Roelands 1993) and of ITU-T G.711 Appendix I for concealment.
"""

import numpy as np
from numpy.typing import NDArray

from models.timebase import WIRE_RATE_HZ

Samples = NDArray[np.float32]

MIN_PERIOD = WIRE_RATE_HZ // 400
"""Shortest pitch period looked for: 2.5 ms."""
MAX_PERIOD = 15 * WIRE_RATE_HZ // 1000
"""Longest pitch period looked for: 15 ms."""
COMPARED = 10 * WIRE_RATE_HZ // 1000
"""Samples compared with those one period away: 10 ms."""
QUIET_RMS = 10 ** (-55 / 20)
"""Below this any cut is inaudible."""
FULL, FADED = 10 * WIRE_RATE_HZ // 1000, 60 * WIRE_RATE_HZ // 1000
"""What is carried on stays as loud for 10 ms and is gone after 60."""
HISTORY = COMPARED + 2 * MAX_PERIOD
"""Samples from which sound is carried on."""
_COARSE = 6


def _similarity(still: Samples, moving: Samples) -> NDArray[np.float64]:
    """Normalised correlation of ``still`` (n,) with every n-window of ``moving`` (m,): (m - n + 1,)."""
    windows = np.lib.stride_tricks.sliding_window_view(moving, still.size)
    norms = np.sqrt(np.einsum("ij,ij->i", windows, windows) * float(still @ still))
    return np.asarray((windows @ still) / np.maximum(norms, 1e-9), dtype=np.float64)


def _decimated(samples: Samples) -> Samples:
    whole = samples[: samples.size // _COARSE * _COARSE]
    return np.asarray(whole.reshape(-1, _COARSE).mean(axis=1), dtype=np.float32)


def best_period(samples: Samples, longest: int) -> tuple[int, float]:
    """Period from MIN_PERIOD to ``longest`` at which the beginning of ``samples`` repeats itself, and how well.

    Needs ``COMPARED + longest`` samples. The likeness is 1 for a perfect repeat and for all but silence.
    """
    if float(np.sqrt(np.mean(samples[: COMPARED + longest] ** 2))) < QUIET_RMS:
        return longest, 1.0
    coarse = _decimated(samples[: COMPARED + longest])
    compared = COMPARED // _COARSE
    likeness = _similarity(coarse[:compared], coarse[MIN_PERIOD // _COARSE :])
    centre = MIN_PERIOD + _COARSE * int(np.argmax(likeness))
    low, high = max(MIN_PERIOD, centre - _COARSE), min(longest, centre + _COARSE)
    fine = _similarity(samples[:COMPARED], samples[low : high + COMPARED])
    return low + int(np.argmax(fine)), float(np.max(fine))


def _ramp(count: int) -> Samples:
    return np.linspace(0.0, 1.0, count, dtype=np.float32)


def without_period(samples: Samples, period: int) -> Samples:
    """``samples`` shortened by ``period``; needs two periods. The end is left as it was."""
    rise = _ramp(period)
    joint = samples[:period] * (1 - rise) + samples[period : 2 * period] * rise
    return np.concatenate((joint, samples[2 * period :]))


def with_period(samples: Samples, period: int) -> Samples:
    """``samples`` lengthened by ``period``; needs two periods. Beginning and end are left as they were."""
    rise = _ramp(period)
    joint = samples[period : 2 * period] * (1 - rise) + samples[:period] * rise
    return np.concatenate((samples[:period], joint, samples[period:]))


def carried_on(history: Samples, count: int) -> Samples:
    """What might follow ``history``: its last pitch period repeated, (count,) samples, silence from ``FADED`` on.

    Needs COMPARED + MAX_PERIOD samples of history; silence otherwise.
    """
    if history.size < COMPARED + MAX_PERIOD:
        return np.zeros(count, dtype=np.float32)
    # Looked for backwards from the end, where the sound has to go on.
    period, likeness = best_period(np.ascontiguousarray(history[::-1]), MAX_PERIOD)
    if likeness < 0.5:
        # A short period of noise would buzz.
        period = MAX_PERIOD
    last = history[-period:].copy()
    # The step from the end back to the beginning is spread over the first quarter.
    quarter = period // 4
    last[:quarter] += (history[-1] - history[-period - 1]) * (1 - _ramp(quarter))
    gain = np.clip((FADED - np.arange(count)) / (FADED - FULL), 0.0, 1.0)
    return np.asarray(np.resize(last, count) * gain, dtype=np.float32)
