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
