"""What the pipeline reads from facial landmarks: how far eyes and lips are open, and where a face points."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError

COUNT = 203
"""Landmarks of the published landmark model."""

Points = NDArray[np.float32]

# Four landmarks of the 203 a ratio: two across the opening, two along it.
_LEFT_EYE, _RIGHT_EYE, _LIPS = (6, 18, 0, 12), (30, 42, 24, 36), (90, 102, 48, 66)
_EPS = 1e-6


def _openness(landmarks: Points, indices: tuple[int, int, int, int]) -> NDArray[np.float32]:
    a, b, c, d = (landmarks[:, index] for index in indices)
    across, along = np.linalg.norm(a - b, axis=1), np.linalg.norm(c - d, axis=1)
    return np.asarray(across / (along + _EPS), np.float32)[:, None]


def eye_ratios(landmarks: Points) -> NDArray[np.float32]:
    """203 landmarks of n faces (n, 203, 2) -> how far the left and the right eye are open, (n, 2)."""
    return np.concatenate((_openness(landmarks, _LEFT_EYE), _openness(landmarks, _RIGHT_EYE)), axis=1)


def lip_ratios(landmarks: Points) -> NDArray[np.float32]:
    """203 landmarks of n faces (n, 203, 2) -> how far the lips are open, (n, 1)."""
    return _openness(landmarks, _LIPS)


def to_68(landmarks: Points) -> Points:
    """203 landmarks (203, 2) -> 68 in the order of 300-W, NaN where it is not known which of the 203 one is.

    Known are the corners of eyes and lips, and the middles of the lips' inner edges.
    """
    places = {36: _LEFT_EYE[2], 39: _LEFT_EYE[3], 42: _RIGHT_EYE[2], 45: _RIGHT_EYE[3]}
    places |= dict(zip((62, 66, 48, 54), _LIPS, strict=True))
    found = np.full((68, 2), np.nan, np.float32)
    found[list(places)] = landmarks[list(places.values())]
    return found


@dataclass(frozen=True)
class _Layout:
    """Indices, in one landmark layout, whose means are the eyes' and the lips' centres."""

    left_eye: tuple[int, ...]
    right_eye: tuple[int, ...]
    lips: tuple[int, ...]


_LAYOUTS = {
    203: _Layout((0, 6, 12, 18), (24, 30, 36, 42), (48, 66)),
    106: _Layout((33, 35, 40, 39), (87, 89, 94, 93), (52, 61)),
    101: _Layout((39, 42, 45, 48), (51, 54, 57, 60), (75, 81)),
    68: _Layout((36, 39), (42, 45), (48, 54)),
    9: _Layout((2, 3), (0, 1), (5, 6)),
    5: _Layout((0,), (1,), (3, 4)),
}


def axis_points(landmarks: Points, with_lips: bool = True) -> NDArray[np.float32]:
    """Two points on a face's axis, the upper first: (2, 2).

    They are the centre of both eyes and that of the lips; without lips, the left eye's centre, and it plus the
    line between the eyes turned by 90 degrees.

    Args:
        landmarks: (n, 2), of a layout of 203, 106, 101, 68, 9 (animals) or 5 points.
        with_lips: False where lips are not to be trusted.

    Raises:
        MediaError: no known layout.
    """
    layout = _LAYOUTS.get(len(landmarks))
    if layout is None:
        raise MediaError(f"{len(landmarks)} landmarks are of no known layout; give {', '.join(map(str, _LAYOUTS))}.")
    left, right, lips = (
        landmarks[list(indices)].mean(axis=0) for indices in (layout.left_eye, layout.right_eye, layout.lips)
    )
    if with_lips:
        return np.stack(((left + right) / 2, lips))
    across = right - left
    return np.stack((left, left + np.stack((-across[1], across[0]))))
