"""Speech-like sound from a seed, for calibration and checks where no recording is at hand."""

import numpy as np
from numpy.typing import NDArray


def babble(seconds: float, rate_hz: int, seed: int = 7) -> NDArray[np.float64]:
    """Syllables of gliding pitch and of hiss, with pauses: (n,) mono in [-1, 1]."""
    rng = np.random.default_rng(seed)
    samples = np.zeros(int(seconds * rate_hz))
    at_s = 0.05
    while at_s < seconds - 0.3:
        length = int(rng.uniform(0.08, 0.28) * rate_hz)
        t = np.arange(length) / rate_hz
        if rng.random() < 0.7:
            pitch = rng.uniform(90, 220) + rng.uniform(-150, 150) * t
            phase = 2 * np.pi * np.cumsum(pitch) / rate_hz
            weights = rng.uniform(0.1, 1, 18) / np.arange(1, 19) ** 0.5
            sound = sum(w * np.sin(k * phase) for k, w in enumerate(weights, 1)) / 6
        else:
            sound = 0.2 * rng.standard_normal(length)
        sound = sound * np.hanning(length) * rng.uniform(0.2, 1)
        begin = int(at_s * rate_hz)
        piece = samples[begin : begin + length]
        piece += sound[: len(piece)]
        at_s += length / rate_hz + (rng.uniform(0.3, 0.6) if rng.random() < 0.1 else rng.uniform(0, 0.06))
    return np.asarray(np.clip(samples, -1, 1))
