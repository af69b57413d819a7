"""Backdrops of all kinds: what may lie behind a face, out of focus."""

import cv2
import numpy as np

from models.studio.mesh import Floats, smoothstep

_PAINTED_PX = 128
"""Backdrops are painted this small and enlarged: nothing in them is sharp."""


def random_backdrop(rng: np.random.Generator, size: int) -> Floats:
    """A wall with light falling along it, often a room with things in it, (size, size, 3) linear."""
    n = _PAINTED_PX
    texel = (np.arange(n) + 0.5) / n * 2 - 1
    x, y = np.meshgrid(texel, texel)
    first, second = (_colour(rng) for _ in range(2))
    turn = rng.uniform(0, 2 * np.pi)
    share = smoothstep(-1.2, 1.2, x * np.cos(turn) + y * np.sin(turn))[..., None]
    image = first + (0.25 * second + 0.75 * first * rng.uniform(0.3, 1.6) - first) * share
    for _ in range(int(rng.integers(0, 9))):  # furniture, windows, lamps
        place, half = rng.uniform(-1.1, 1.1, 2), rng.uniform(0.05, 0.5, 2)
        soft = rng.uniform(0.02, 0.15)
        if rng.random() < 0.6:
            away = np.maximum(np.abs(x - place[0]) - half[0], np.abs(y - place[1]) - half[1])
        else:
            away = np.hypot(x - place[0], y - place[1]) - half[0]
        covered = smoothstep(soft, -soft, away)[..., None]
        image = image * (1 - covered) + _colour(rng) * covered
    image = image * (1 + 0.15 * rng.random() * rng.normal(size=(n, n, 1)))
    blurred = cv2.GaussianBlur(image.astype(np.float32), (0, 0), float(rng.uniform(0.8, 5)))
    enlarged = cv2.resize(blurred, (size, size), interpolation=cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.clip(enlarged, 0.0, 1.2), np.float32)


def _colour(rng: np.random.Generator) -> Floats:
    """Mostly dull, seldom bright or dark, linear."""
    hue = rng.uniform(0.2, 1.0, 3)
    dull = rng.beta(2, 2)
    return np.asarray((dull * hue.mean() + (1 - dull) * hue) * rng.beta(1.5, 2.5), np.float32)
