"""From a camera's picture to the square M looks at."""

import cv2
import numpy as np

from models.face.detector import Face, FaceDetector
from models.liveportrait.crop import NETWORK_PX
from models.liveportrait.pixels import Picture

_SCALE, _UP = 1.9, 0.06
"""The square, of the detector's box: hair to shoulders."""
_STRAY, _GROWTH = 0.30, 1.5
"""A face that has moved by this share of the square, or is this much larger or smaller, gets another square."""


class Webcam:
    """Finds one face in picture after picture. Not thread-safe.

    The square stays where it is while the face is in it: one that moved with the head would hide its motion.
    """

    def __init__(self, side_px: int = NETWORK_PX) -> None:
        self._side_px = side_px
        self._detector = FaceDetector()
        self._last: Face | None = None
        self._square: tuple[float, float, float] | None = None

    def look(self, picture: Picture) -> Picture | None:
        """The crop (side, side, 3) about the widest face in an RGB picture (h, w, 3); None where there is none."""
        face = None if self._last is None else self._detector.find_near(picture, self._last)
        if face is None:
            face = next(iter(self._detector.find(picture)), None)
        self._last = face
        if face is None:
            return None
        x0, y0, x1, y1 = face.box
        size = _SCALE * face.width
        x, y = (x0 + x1) / 2, (y0 + y1) / 2 - _UP * size
        if self._square is None or _strays(self._square, (x, y, size)):
            self._square = (x, y, size)
        return _cut(picture, self._square, self._side_px)


def _strays(square: tuple[float, float, float], face: tuple[float, float, float]) -> bool:
    away = np.hypot(face[0] - square[0], face[1] - square[1])
    return bool(away > _STRAY * square[2] or not 1 / _GROWTH < face[2] / square[2] < _GROWTH)


def _cut(picture: Picture, square: tuple[float, float, float], side_px: int) -> Picture:
    x, y, size = square
    scale = side_px / size
    matrix = np.array(((scale, 0, side_px / 2 - scale * x), (0, scale, side_px / 2 - scale * y)))
    return np.asarray(cv2.warpAffine(picture, matrix, (side_px, side_px)), np.uint8)
