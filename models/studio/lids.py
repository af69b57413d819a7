"""Lids that meet: the asset's blink suits one opening of the eyes, every identity has another."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from models.studio.mesh import Floats

_COLUMNS = np.linspace(-0.9, 0.9, 13)
"""Where the opening is measured, in eye radii from the eye's middle."""
_HALF_COLUMN = 0.06
_MOVES, _STAYS = 0.6, 0.15
"""Shares of a column's largest drop in a blink above which a vertex is of the upper lid, below which of the lower."""
_WAY = 0.88
"""Share of the measured way a lid goes: its thick outer edge arrives before the rim on the eye does."""
_CORNER_GAIN = 0.4
_MAGNIFIED = 1.45
"""Reach of the magnification, in eye radii from the eye's foremost point."""
_LASH_ROOT = 1.10
"""Where lashes leave the lid, in eye radii from the eye's middle."""


def blink_gain(skin: Floats, blink: Floats, sphere: Floats) -> Callable[[Floats], NDArray[np.float64]]:
    """By how much to scale a blink so that the upper lid comes down onto the lower one, no more and no less.

    Args:
        skin: (n, 3) vertices at rest.
        blink: (n, 3) offsets of the shape ``eyeBlinkLeft`` or ``eyeBlinkRight``.
        sphere: the eye as x, y, z, radius.

    Returns:
        A function of x (decimetres).
    """
    x, y, z, radius = (float(value) for value in sphere)
    away = np.linalg.norm(skin - sphere[:3], axis=1)
    of_eye = (away < 1.25 * radius) & (skin[:, 2] > z + 0.3 * radius)
    places, gains = x + _COLUMNS * radius, np.full(len(_COLUMNS), _CORNER_GAIN)
    for index, place in enumerate(places):
        near = np.nonzero(of_eye & (np.abs(skin[:, 0] - place) < _HALF_COLUMN * radius))[0]
        drop = -blink[near, 1]
        upper = near[drop > _MOVES * drop.max(initial=0.0)]
        lower = near[(drop < _STAYS * drop.max(initial=0.0)) & (skin[near, 1] < y)]
        if len(upper) and len(lower):
            above, below = upper[np.argmin(skin[upper, 1])], lower[np.argmax(skin[lower, 1])]
            gains[index] = _WAY * (skin[above, 1] - skin[below, 1]) / (blink[below, 1] - blink[above, 1])
    gains = np.minimum(gains, 1.1 * np.median(gains[3:-3]))
    for _ in range(2):
        gains[1:-1] = (gains[:-2] + 2 * gains[1:-1] + gains[2:]) / 4
    return lambda where: np.interp(where, places, gains)


def shorten_lashes(lashes: Floats, eyes: Floats, length: float) -> Floats:
    """Lashes of ``length`` times their own: (n, 3) vertices drawn in toward the (2, 4) eye spheres."""
    sphere = eyes[(lashes[:, 0] < 0).astype(int)]
    outward = lashes - sphere[:, :3]
    away = np.linalg.norm(outward, axis=1) / sphere[:, 3]
    kept = np.where(away > _LASH_ROOT, _LASH_ROOT + length * (away - _LASH_ROOT), away)
    return np.asarray(sphere[:, :3] + outward * (kept / away)[:, None], np.float32)


def magnify_eyes(vertices: Floats, deltas: Floats, eyes: Floats, scale: float) -> tuple[Floats, Floats, Floats]:
    """Eyes and lids drawn ``scale`` times as large about each eye's foremost point, fading out around them.

    Args:
        vertices: (n, 3) of all that is near the eyes.
        deltas: (52, n, 3) blend shapes, scaled alike.
        eyes: (2, 4) spheres.
        scale: 1 changes nothing.

    Returns:
        New vertices, deltas and eyes.
    """
    vertices, deltas, eyes = vertices.copy(), deltas.copy(), eyes.copy()
    for sphere in eyes:
        front = sphere[:3] + np.array([0, 0, sphere[3]], np.float32)
        away = np.linalg.norm(vertices - front, axis=1) / (_MAGNIFIED * sphere[3])
        factor = (1 + (scale - 1) * np.exp(-(away**2.5))).astype(np.float32)[:, None]
        vertices = front + (vertices - front) * factor
        deltas *= factor
        sphere[:3] = front + (sphere[:3] - front) * scale
        sphere[3] *= scale
    return vertices, deltas, eyes
