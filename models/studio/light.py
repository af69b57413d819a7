"""The light that a head stands in: a key, a fill, the sky over it and two rims behind it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.studio.identity import Colour

Vector = tuple[float, float, float]


@dataclass(frozen=True)
class Light:
    """Where light comes from, and how much of which colour; the default is the avatars' studio.

    Directions point from the head to the light, x to the picture's right, z to the camera.
    """

    key: Vector = (-0.55, 0.75, 1.0)
    """Of any length. What it leaves in shadow is baked, see ``Renderer``."""
    key_gain: float = 1.30
    key_tint: Colour = (1.0, 0.955, 0.90)
    fill_gain: float = 0.34
    fill_tint: Colour = (0.62, 0.74, 0.95)
    """From the picture's right."""
    ambient_gain: float = 0.5
    ground: Colour = (0.30, 0.24, 0.22)
    sky: Colour = (0.46, 0.50, 0.58)
    rim_gain: float = 1.0
    """Of both rims."""
    catchlight: Vector = (-0.398, 0.522, 0.758)
    """Direction in which an eye mirrors the key."""

    @property
    def direction(self) -> NDArray[np.float64]:
        """Unit vector to the key."""
        key = np.array(self.key)
        return np.asarray(key / np.linalg.norm(key), np.float64)

    @property
    def colours(self) -> NDArray[np.float64]:
        """(6, 3): key, its tint alone, fill, ground, sky, and the gain of the rims thrice."""
        return np.array(
            [
                self.key_gain * np.array(self.key_tint),
                self.key_tint,
                self.fill_gain * np.array(self.fill_tint),
                2 * self.ambient_gain * np.array(self.ground),
                2 * self.ambient_gain * np.array(self.sky),
                [self.rim_gain] * 3,
            ]
        )


STUDIO = Light()

_USUAL_EXPOSURE = 1.5
"""What ``_exposure`` makes of the studio's light."""


def random_key(rng: np.random.Generator) -> Vector:
    """A key that stands anywhere before the face, from a little under its level to high over it."""
    aside, up = np.deg2rad(rng.uniform(-75, 75)), np.deg2rad(rng.uniform(-5, 60))
    return float(np.sin(aside) * np.cos(up)), float(np.sin(up)), float(np.cos(aside) * np.cos(up))


def random_light(rng: np.random.Generator, key: Vector) -> Light:
    """A light with that key: hard or soft, warm or cool, a little dark or a little bright."""
    key_gain, fill_gain, ambient_gain = rng.uniform(0.4, 1.6), rng.uniform(0.1, 0.9), rng.uniform(0.25, 0.9)
    gain = _USUAL_EXPOSURE * rng.uniform(0.72, 1.15) / _exposure(key_gain, fill_gain, ambient_gain)
    return Light(
        key=key,
        key_gain=gain * key_gain,
        key_tint=_tint(rng),
        fill_gain=gain * fill_gain,
        fill_tint=_tint(rng),
        ambient_gain=gain * ambient_gain,
        ground=_tint(rng, rng.uniform(0.2, 0.4)),
        sky=_tint(rng, rng.uniform(0.4, 0.6)),
        rim_gain=float(rng.uniform(0.0, 1.3)),
        catchlight=key,
    )


def _exposure(key_gain: float, fill_gain: float, ambient_gain: float) -> float:
    """About how bright a face gets."""
    return 0.7 * key_gain + 0.4 * fill_gain + 0.9 * ambient_gain


def _tint(rng: np.random.Generator, level: float = 1.0) -> Colour:
    """Between candle and shade, slightly off the line between them."""
    warm, green = rng.uniform(-1, 1), rng.normal() * 0.02
    return level * (0.93 + 0.11 * warm), level * (0.95 + green), level * (0.95 - 0.16 * warm)
