"""Faces in a picture, by the Haar cascades that OpenCV 4 ships (Viola & Jones 2001; Lienhart & Maydt 2002).

No weights to fetch and no further package. A cascade alone sees faces in foliage, so a face counts that two
cascades agree on, or in which a pair of eyes is found.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import VisavisError

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, from the forehead to the chin."""

_SEARCH_PX = 640
"""Longest side of the picture that is searched."""
_SMALLEST = 1 / 12
"""Of the searched picture's longest side: smaller faces are not looked for."""
_BYSTANDER = 0.35
"""A face less than this wide, against the widest, is nobody's avatar."""
_TILTS_DEGREES = (20, -20, 40, -40)
_FACE_PX = 160
"""Width that a face is brought to before its eyes, or itself in the next frame, are looked for."""
_EYE_HEIGHT, _EYE_DISTANCE = 0.40, 0.39
"""Where eyes lie in a box, of its width: what holds if they are not found."""


@dataclass(frozen=True)
class Face:
    """A face found."""

    box: Box
    eyes: NDArray[np.float64]
    """(2, 2): x, y of the eye on the left of the picture, then of the other one."""

    @property
    def width(self) -> int:
        """Of the box, pixels."""
        return self.box[2] - self.box[0]

    def scaled(self, factor: float) -> "Face":
        """The same face in a picture of ``factor`` times the size."""
        x0, y0, x1, y1 = (round(edge * factor) for edge in self.box)
        return Face((x0, y0, x1, y1), self.eyes * factor)


def face_of_box(box: Box) -> Face:
    """A face of which only the box is known."""
    x0, y0, x1, _ = box
    width = x1 - x0
    eyes = [[x0 + width * (0.5 + side * _EYE_DISTANCE / 2), y0 + width * _EYE_HEIGHT] for side in (-1, 1)]
    return Face(box, np.array(eyes))


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


class FaceDetector:
    """Finds faces. Not thread-safe: one a thread.

    Raises:
        VisavisError: OpenCV comes without cascades, as version 5 does.
    """

    def __init__(self) -> None:
        self._strict, self._loose, self._eye = (
            _cascade(name) for name in ("frontalface_alt2", "frontalface_default", "eye")
        )

    def find(self, rgb: NDArray[np.uint8]) -> list[Face]:
        """Every face of a picture (h, w, 3), the widest first, but for those much smaller than it."""
        factor = min(1.0, _SEARCH_PX / max(rgb.shape[:2]))
        grey = _grey(rgb, factor)
        faces = self._upright(grey)
        for degrees in _TILTS_DEGREES:
            faces = faces or self._tilted(grey, degrees)
        faces = [face.scaled(1 / factor) for face in faces]
        return [face for face in faces if face.width >= _BYSTANDER * faces[0].width]

    def find_near(self, rgb: NDArray[np.uint8], last: Face) -> Face | None:
        """The face that was ``last`` seen one frame ago, in the next frame (h, w, 3)."""
        x0, y0, x1, y1 = last.box
        margin = last.width // 3
        left, top = max(0, x0 - margin), max(0, y0 - margin)
        factor = _FACE_PX / last.width
        part = _grey(rgb[top : y1 + margin, left : x1 + margin], factor)
        sizes = (round(0.8 * _FACE_PX), round(1.25 * _FACE_PX))
        found = _detect(self._strict, part, 1.05, 3, *sizes)
        if not found:
            return None
        middle = np.array([(x0 + x1) / 2 - left, (y0 + y1) / 2 - top]) * factor
        nearest = min(found, key=lambda box: float(np.hypot(*(_middle(box) - middle))))
        face = self._with_eyes(part, nearest)[0].scaled(1 / factor)
        a, b, c, d = face.box
        return Face((a + left, b + top, c + left, d + top), face.eyes + (left, top))

    def _upright(self, grey: NDArray[np.uint8]) -> list[Face]:
        smallest = round(_SMALLEST * max(grey.shape))
        strict = _detect(self._strict, grey, 1.1, 4, smallest)
        loose = _detect(self._loose, grey, 1.1, 5, smallest)
        alone = [box for box in loose if all(overlap(box, other) < 0.3 for other in strict)]
        faces: list[Face] = []
        for box in sorted(strict + alone, key=lambda box: box[0] - box[2]):
            face, has_eyes = self._with_eyes(grey, box)
            agreed = box in strict and any(overlap(box, other) > 0.4 for other in loose)
            if (agreed or has_eyes) and all(overlap(box, known.box) < 0.2 for known in faces):
                faces.append(face)
        return faces

    def _tilted(self, grey: NDArray[np.uint8], degrees: float) -> list[Face]:
        """Faces of a picture turned by ``degrees``, where they are before the turn."""
        height, width = grey.shape
        turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
        turned = cv2.warpAffine(grey, turn, (width, height), borderMode=cv2.BORDER_REPLICATE)
        back = cv2.invertAffineTransform(turn)
        faces = []
        for face in self._upright(np.asarray(turned, np.uint8)):
            x, y = back[:, :2] @ _middle(face.box) + back[:, 2]
            half = face.width / 2
            box = (round(x - half), round(y - half), round(x + half), round(y + half))
            faces.append(Face(box, face.eyes @ back[:, :2].T + back[:, 2]))
        return faces

    def _with_eyes(self, grey: NDArray[np.uint8], box: Box) -> tuple[Face, bool]:
        """The face in ``box``, and whether both its eyes were found."""
        guess = face_of_box(box)
        x0, y0, x1, _ = box
        width = x1 - x0
        factor = _FACE_PX / width
        top = y0 + round(0.15 * width)
        part = grey[top : y0 + round(0.65 * width), x0:x1]
        if not part.size:
            return guess, False
        scaled = cv2.resize(part, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
        found = _detect(self._eye, np.asarray(scaled, np.uint8), 1.05, 4, _FACE_PX // 9, _FACE_PX // 3)
        centres = [_middle(eye) / factor + (x0, top) for eye in found]
        eyes = []
        for expected in guess.eyes:
            away = [float(np.hypot(*(centre - expected))) for centre in centres]
            if away and min(away) < 0.15 * width:
                eyes.append(centres[int(np.argmin(away))])
        if len(eyes) < 2 or abs(eyes[1][1] - eyes[0][1]) > 0.5 * (eyes[1][0] - eyes[0][0]):
            return guess, False
        return Face(box, np.array(eyes)), True


def _cascade(name: str) -> cv2.CascadeClassifier:
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    path = Path(folder) / f"haarcascade_{name}.xml"
    if not path.is_file():
        raise VisavisError(
            "This OpenCV comes without face cascades, as version 5 does; "
            "pip install 'opencv-python-headless<5' brings them."
        )
    return cv2.CascadeClassifier(str(path))


def _detect(
    cascade: cv2.CascadeClassifier,
    grey: NDArray[np.uint8],
    step: float,
    neighbours: int,
    smallest_px: int,
    largest_px: int = 0,
) -> list[Box]:
    found: Sequence[Sequence[int]] = cascade.detectMultiScale(
        grey, step, neighbours, 0, (smallest_px, smallest_px), (largest_px, largest_px)
    )
    return [(int(x), int(y), int(x + width), int(y + height)) for x, y, width, height in found]


def _grey(rgb: NDArray[np.uint8], factor: float) -> NDArray[np.uint8]:
    grey = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(grey, None, fx=factor, fy=factor, interpolation=method), np.uint8)


def _middle(box: Box) -> NDArray[np.float64]:
    return np.array([(box[0] + box[2]) / 2, (box[1] + box[3]) / 2])
