"""Where the drawn crop lies on a face: the same square as on the avatars that the studio draws.

In units of the distance between the eyes: the square's middle row lies just under the nose, so that its lower
half holds the whole moving mouth, and its lower edge under the chin of the open jaw.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.detector import Face

MASK_PX = 288
"""As many pixels as the shipped network draws."""
_MARGIN_PX = 16
_BELOW_EYES = 0.76
_SIDE = 2.83
_FACE_WIDTHS_AN_EYE_DISTANCE = 0.39


def place(face: Face) -> tuple[NDArray[np.float64], float]:
    """Centre (x, y) and side of the square, pixels.

    The distance between the eyes shrinks as a head turns and the face's width hardly does, so both are asked.
    """
    across = face.eyes[1] - face.eyes[0]
    distance = float(np.hypot(*across))
    down = np.array([-across[1], across[0]]) / distance
    scale = float(np.sqrt(distance * _FACE_WIDTHS_AN_EYE_DISTANCE * face.width))
    return face.eyes.mean(axis=0) + _BELOW_EYES * scale * down, _SIDE * scale


def even_boxes(centres: NDArray[np.float64], side: int, width: int, height: int) -> NDArray[np.int32]:
    """Squares of an even ``side`` around each centre (n, 2), corners even, inside the picture: (n, 4)."""
    corner = 2 * np.round((centres - side / 2) / 2)
    corner = np.clip(corner, 0, np.array([width - side, height - side]))
    return np.concatenate([corner, corner + side], axis=1).astype(np.int32)


def blend_mask() -> NDArray[np.uint8]:
    """(288, 288): 255 over mouth, cheeks, jaw and chin; 0 above the nose's base and at the borders.

    The part it shows is the shipped avatars', so that all of them are drawn in one batch.
    """
    inner = MASK_PX - 2 * _MARGIN_PX
    at: NDArray[np.float64] = np.arange(inner, dtype=np.float64) + 0.5
    down = _ramp(at, 125, 139) * _ramp(at, 254, 242)
    across = _ramp(at, 4, 34) * _ramp(at, inner - 4, inner - 34)
    mask = np.asarray(cv2.GaussianBlur(np.outer(down, across) ** 0.9, (0, 0), 1.0))
    mask[:124] = 0
    mask[[0, -1]] = 0
    mask[:, [0, -1]] = 0
    return np.pad(np.round(mask * 255).astype(np.uint8), _MARGIN_PX)


def _ramp(at: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Hermite step from 0 at ``low`` to 1 at ``high`` (which may be the smaller)."""
    t = np.clip((at - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))
