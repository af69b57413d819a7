"""How well mouth codes that were heard follow those that were said."""

import math

import numpy as np
from numpy.typing import NDArray

from models.studio.visemes import MOUTH_NAMES
from models.timebase import FRAME_MS

Codes = NDArray[np.float32]

_STILL = 1e-3
_PRESS = MOUTH_NAMES.index("mouthPress")


def judge(ours: Codes, true: Codes) -> dict[str, float]:
    """Correlation, amplitude and lag of the opening, mean correlation of all controls, closure recall.

    Args:
        ours: (frames, K) mouth codes as heard.
        true: (frames, K) the labels.
    """
    each = [_correlation(a, b) for a, b in zip(ours.T, true.T, strict=True) if b.std() > _STILL]
    spoken = np.convolve(true[:, 0] > 0.1, np.ones(9), "same") > 0
    shut = (true[:, 0] < 0.03) & (true[:, _PRESS] > 0.25) & spoken
    near = np.minimum(ours[:, 0], np.minimum(np.roll(ours[:, 0], 1), np.roll(ours[:, 0], -1)))
    widest = float(true[:, 0].max())
    return {
        "jaw_correlation": _correlation(ours[:, 0], true[:, 0]),
        "mouth_correlation": float(np.mean(each)),
        "lag_ms": _lag_ms(ours[:, 0], true[:, 0]),
        "jaw_amplitude": float(ours[:, 0].std() / true[:, 0].std()),
        "closure_recall": float((near[shut] < 0.15 * widest).mean()) if shut.any() else math.nan,
        "opening_in_silence": float(np.quantile(ours[~spoken, 0], 0.95) / widest) if (~spoken).any() else math.nan,
    }


def _correlation(heard: Codes, true: Codes) -> float:
    """Pearson's; 0 where one of the two hardly moves."""
    return float(np.corrcoef(heard, true)[0, 1]) if min(heard.std(), true.std()) > _STILL else 0.0


def _lag_ms(heard: Codes, true: Codes, reach: int = 3) -> float:
    """By how much ``heard`` is late, at the peak of a parabola through the best correlations."""
    shifts = range(-reach, reach + 1)
    scores = [
        _correlation(heard[reach : len(true) - reach], np.roll(true, s)[reach : len(true) - reach]) for s in shifts
    ]
    best = min(max(int(np.argmax(scores)), 1), len(scores) - 2)
    left, middle, right = scores[best - 1 : best + 2]
    bend = left - 2 * middle + right
    return FRAME_MS * (best - reach + (0.5 * (left - right) / bend if bend < 0 else 0.0))
