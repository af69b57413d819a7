"""Smoothing of motion: each number is a random walk seen through noise (Kalman; Rauch, Tung and Striebel, 1965)."""

import numpy as np
from numpy.typing import NDArray

Sequence = NDArray[np.float64]

STEP_VARIANCE = 1e-5
OBSERVATION_VARIANCE = 3e-7
_FIRST_VARIANCE = 1.0


class ForwardFilter:
    """The causal half, for live motion: what is known of the present from the past."""

    def __init__(self, observation_variance: float = OBSERVATION_VARIANCE) -> None:
        self.observation_variance = observation_variance
        self._mean: Sequence | None = None
        self._variance = _FIRST_VARIANCE

    def step(self, values: NDArray[np.floating]) -> Sequence:
        """The next frame's values, any one shape -> their estimates."""
        observed = np.asarray(values, np.float64)
        if self._mean is None:
            predicted, variance = observed, _FIRST_VARIANCE
        else:
            predicted, variance = self._mean, self._variance + STEP_VARIANCE
        gain = variance / (variance + self.observation_variance)
        self._mean, self._variance = predicted + gain * (observed - predicted), (1 - gain) * variance
        return self._mean

    @property
    def variance(self) -> float:
        """Variance of the last estimate; the same for every number."""
        return self._variance


def smooth(sequence: NDArray[np.floating], observation_variance: float = OBSERVATION_VARIANCE) -> NDArray[np.float32]:
    """A whole sequence (frames, ...) smoothed forwards and backwards; needs the future, so for clips only."""
    forward, means, variances = ForwardFilter(observation_variance), [], []
    for values in sequence:
        means.append(forward.step(values))
        variances.append(forward.variance)
    for i in range(len(means) - 2, -1, -1):
        # The prediction of frame i + 1 is frame i's mean, so only its variance differs.
        gain = variances[i] / (variances[i] + STEP_VARIANCE)
        means[i] = means[i] + gain * (means[i + 1] - means[i])
    return np.asarray(np.stack(means), np.float32)
