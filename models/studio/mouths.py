"""Which mouths a corpus shows: those of speech, and made-up ones for what speech seldom does."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio.arkit import ARKIT_NAMES, INDEX

_FREE_SHAPES = (
    ("mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper")
    + ("mouthClose",)
    + tuple(f"mouth{stem}" for stem in ("Smile", "Stretch", "LowerDown", "UpperUp", "Press", "Dimple", "Frown"))
)


def load_curves(path: Path) -> NDArray[np.float32]:
    """(n, 52) weights in the order of ``ARKIT_NAMES``.

    Raises:
        MediaError: when the file holds no such array.
    """
    try:
        with np.load(path) as data:
            curves = data["curves"].astype(np.float32)
            names = [str(name) for name in data["names"]] if "names" in data else list(ARKIT_NAMES)
    except (OSError, KeyError, ValueError) as error:
        raise MediaError(f"{path.name} has no 'curves' array; write it with np.savez(curves=...).") from error
    if curves.ndim != 2 or curves.shape[1] != len(names) or sorted(names) != list(ARKIT_NAMES):
        raise MediaError(f"{path.name}: 'curves' must be (n, 52) with ARKit's 52 names.")
    return np.ascontiguousarray(curves[:, [names.index(name) for name in ARKIT_NAMES]])


def made_up_mouth(rng: np.random.Generator) -> NDArray[np.float32]:
    """A random combination of a few mouth shapes, (52,), mostly symmetric, of speaking strength."""
    vector = np.zeros(len(ARKIT_NAMES), np.float32)
    vector[INDEX["jawOpen"]] = rng.beta(1.1, 2.4) * 0.9
    for stem in rng.choice(_FREE_SHAPES, rng.integers(1, 5), replace=False):
        strength = float(rng.beta(1.2, 2.2)) * 0.9
        if stem in INDEX:
            limit = float(vector[INDEX["jawOpen"]]) if stem == "mouthClose" else 1.0
            vector[INDEX[stem]] = min(strength, limit)
        else:
            tilt = float(rng.normal()) * 0.08
            vector[INDEX[stem + "Left"]] = strength * (1 + tilt)
            vector[INDEX[stem + "Right"]] = strength * (1 - tilt)
    return vector


def choose_mouths(
    rng: np.random.Generator, curves: NDArray[np.float32], count: int, made_up: float
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """``count`` mouths, of which a share ``made_up`` is: their rows of the curves (-1: made up) and weights (n, 52)."""
    rows = np.where(rng.random(count) < made_up, -1, rng.integers(0, len(curves), count))
    return rows, np.stack([curves[row] if row >= 0 else made_up_mouth(rng) for row in rows])
