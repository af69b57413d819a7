"""What an engine needs of a network that hears."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.engine import MelWindow

Array = NDArray[np.float32]

_MEL_FLOOR, _MEL_RANGE = -4.0, 8.0
_FADE = 0.02
"""Loudness over which the mouth comes back after silence."""


class Hearing(Protocol):
    """Sound in, the 52 ARKit weights out."""

    window: MelWindow

    def weights(self, mel: Array) -> Array:
        """(n, 80, window.columns) mel windows -> (n, 52) weights in the order of ``ARKIT_NAMES``."""
        ...


def loudness(mel: Array) -> Array:
    """Mean of each column over the bands, 0 silence to 1: (80, columns) -> (columns,)."""
    return np.asarray((mel.mean(axis=0) - _MEL_FLOOR) / _MEL_RANGE, np.float32)


def presence(loud: Array) -> float:
    """Whether there is sound at all at the end of a window (its last 60 ms at 80 columns a second): 0 to 1.

    A mouth multiplied by it is closed 60 ms after the last sound, whatever the network says of silence.
    """
    return float(np.clip(loud[-5:].max() / _FADE, 0.0, 1.0))


def activity(loud: Array) -> float:
    """How much speech there was lately, 0 to 1; the window's columns weighed by a Hann window, so without jumps."""
    return float(np.clip(3.0 * _hann_mean(loud), 0.0, 1.0))


def emphasis(loud: Array) -> float:
    """How much louder than its own past the sound has become, 0 to 1: stressed syllables stand out."""
    recent = _hann_mean(loud[len(loud) // 2 :])
    return float(np.clip(3.0 * (recent - _hann_mean(loud)), 0.0, 1.0))


def _hann_mean(values: Array) -> float:
    weights = np.hanning(len(values) + 2)[1:-1]
    return float(values @ weights / weights.sum())
