"""Figures of merit of pictures and of curves: pure functions of arrays."""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Curve = NDArray[np.float64]
Picture = NDArray[np.uint8]
Inside = NDArray[np.bool_]

_PEAK = 255.0
_SSIM_SIGMA_PX = 1.5
_SSIM_WINDOW_PX = 11
_SSIM_C1, _SSIM_C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2


@dataclass(frozen=True)
class Lag:
    """Where two curves agree best."""

    lag_ms: float
    """Positive: the second curve is late."""
    correlation: float


def mean_square_error(a: Picture, b: Picture, inside: Inside) -> float:
    """Of two (h, w, 3) pictures, over the (h, w) pixels ``inside``."""
    difference = a[inside].astype(np.float64) - b[inside].astype(np.float64)
    return float(np.mean(difference**2))


def psnr_db(mean_square: float) -> float:
    """Peak signal-to-noise ratio of 8-bit pictures; infinite for equal ones."""
    return float("inf") if mean_square <= 0 else 10.0 * float(np.log10(_PEAK**2 / mean_square))


def luma(picture: Picture) -> Picture:
    """(h, w) luma (BT.601) of an (h, w, 3) RGB picture."""
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), dtype=np.uint8)


def ssim(a: Picture, b: Picture, inside: Inside) -> float:
    """Mean structural similarity of two (h, w) luma pictures over the pixels ``inside``; 1 for equal ones.

    Gaussian window of 11 px and sigma 1.5 px, K1 = 0.01, K2 = 0.03 (Z. Wang et al., "Image quality assessment:
    from error visibility to structural similarity", 2004).
    """
    x, y = a.astype(np.float32), b.astype(np.float32)
    mean_x, mean_y = _smooth(x), _smooth(y)
    variance_x = _smooth(x * x) - mean_x**2
    variance_y = _smooth(y * y) - mean_y**2
    covariance = _smooth(x * y) - mean_x * mean_y
    upper = (2 * mean_x * mean_y + _SSIM_C1) * (2 * covariance + _SSIM_C2)
    lower = (mean_x**2 + mean_y**2 + _SSIM_C1) * (variance_x + variance_y + _SSIM_C2)
    return float(np.mean((upper / lower)[inside]))


def _smooth(picture: NDArray[np.float32]) -> NDArray[np.float32]:
    size = (_SSIM_WINDOW_PX, _SSIM_WINDOW_PX)
    return np.asarray(cv2.GaussianBlur(picture, size, _SSIM_SIGMA_PX), dtype=np.float32)


def sharpness(picture: Picture, inside: Inside) -> float:
    """Variance of the Laplacian of an (h, w) luma picture over the pixels ``inside``."""
    edges = np.asarray(cv2.Laplacian(picture, cv2.CV_32F))
    return float(np.var(edges[inside], dtype=np.float64))


def correlation(a: Curve, b: Curve) -> float:
    """Pearson's; 0 where one of them does not move."""
    if len(a) < 2 or np.ptp(a) < 1e-9 or np.ptp(b) < 1e-9:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def best_lag(label: Curve, drawn: Curve, chosen: Inside, frame_ms: float, reach: int = 6) -> Lag | None:
    """How late ``drawn`` is behind ``label``, to a fraction of a frame.

    Args:
        label: (n,).
        drawn: (n,).
        chosen: (n,) the frames of ``drawn`` that count; they are compared with ``label`` up to ``reach`` frames away.
        frame_ms: time from one frame to the next.
        reach: the furthest lag looked at, in frames.

    Returns:
        The peak of the correlation, by a parabola through its neighbours; None where there is none within reach.
    """
    frames = np.flatnonzero(chosen)
    frames = frames[(frames >= reach) & (frames < len(label) - reach)]
    scores = [correlation(label[frames - shift], drawn[frames]) for shift in range(-reach, reach + 1)]
    best = int(np.argmax(scores))
    if not 0 < best < len(scores) - 1 or scores[best] <= 0.0:
        return None
    left, middle, right = scores[best - 1 : best + 2]
    bend = left - 2 * middle + right
    offset = 0.5 * (left - right) / bend if bend < 0 else 0.0
    return Lag((best + offset - reach) * frame_ms, middle - 0.25 * (left - right) * offset)


def amplitude_ratio(drawn: Curve, render: Curve) -> float:
    """Standard deviation of ``drawn`` over that of ``render``; 0 where the render does not move."""
    spread = float(np.std(render))
    return float(np.std(drawn)) / spread if spread > 1e-9 else 0.0


def frames_near(time_s: float, within_s: float, frames_per_second: float, count: int) -> NDArray[np.int64]:
    """The frames whose centre lies within ``within_s`` of a time; ``count`` frames there are."""
    centres_s = (np.arange(count) + 0.5) / frames_per_second
    return np.flatnonzero(np.abs(centres_s - time_s) <= within_s + 1e-9)


def closure_recall(
    opening: Curve, closures_s: Sequence[float], threshold: float, within_s: float, frames_per_second: float
) -> float | None:
    """Share of ``closures_s`` with a frame nearby whose opening is below ``threshold``; None without closures."""
    if not closures_s:
        return None
    found = 0
    for time_s in closures_s:
        near = frames_near(time_s, within_s, frames_per_second, len(opening))
        found += bool(len(near) and opening[near].min() < threshold)
    return found / len(closures_s)


def false_closures(drawn: Curve, render: Curve, threshold: float, clearly_open: float, chosen: Inside) -> float | None:
    """Share of the frames with an open mouth in which the drawn one is shut.

    A frame counts where ``render`` is over ``clearly_open`` in it and both its neighbours, so that a frame of lag
    makes no false closure; None if there is no such frame.
    """
    is_open = render > clearly_open
    around = is_open.copy()
    around[1:] &= is_open[:-1]
    around[:-1] &= is_open[1:]
    around &= chosen
    return float(np.mean(drawn[around] < threshold)) if around.any() else None


def dilated(chosen: Inside, frames: int) -> Inside:
    """``chosen`` and every frame up to ``frames`` away from it."""
    return np.asarray(np.convolve(chosen, np.ones(2 * frames + 1), "same") > 0.5, dtype=np.bool_)
