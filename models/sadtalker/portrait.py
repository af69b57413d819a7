"""The picture a film is made of: where its head is, which part is drawn, and how drawn frames take their place."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.face.detector import Box, Face, FaceDetector
from models.face.pictures import Limits, read_photo
from models.face.track import choose, no_face
from models.sadtalker.alignment import STANDARD_FIVE, Alignment, FaceCrop, Points, five_points
from models.sadtalker.resize import fitted, scaled_picture

Rgb = NDArray[np.uint8]
_LANDMARKS = 68
_SMALLEST_PX = 32
"""A smaller head has nothing to animate."""


def landmarks_of(face: Face) -> Points:
    """68 landmarks, of which those are set that ``alignment`` reads; x, y in the picture's pixels.

    The detector finds eyes only. Nose and mouth are where the mean face has them, seen from the front.
    """
    left, right = face.eyes
    across = (right - left) / (STANDARD_FIVE[1, 0] - STANDARD_FIVE[0, 0])
    down = np.array([-across[1], across[0]])
    flat = STANDARD_FIVE[:, :2] - STANDARD_FIVE[:2, :2].mean(axis=0)
    five = face.eyes.mean(axis=0) + flat[:, :1] * across - flat[:, 1:] * down
    landmarks = np.tile(five[2], (_LANDMARKS, 1))
    landmarks[36:42], landmarks[42:48] = five[0], five[1]
    landmarks[48], landmarks[54] = five[3], five[4]
    return landmarks


@dataclass(frozen=True)
class Portrait:
    """A picture and the part of it that is drawn."""

    picture: Rgb
    """(h, w, 3): the whole."""
    box: Box
    """The part: x0, y0, x1, y1."""
    landmarks: Points
    """(68, 2) in the whole picture, y downwards."""
    is_pasted: bool
    """Whether frames show the whole picture."""

    @property
    def part(self) -> Rgb:
        """What is drawn, (h', w', 3)."""
        x0, y0, x1, y1 = self.box
        return self.picture[y0:y1, x0:x1]

    def input(self, size_px: int) -> NDArray[np.float32]:
        """The part as the renderer sees it, (3, size, size) in [0, 1]."""
        return scaled_picture(self.part, size_px, size_px)

    def aligned(self, size_px: int) -> tuple[Rgb, NDArray[np.float32]]:
        """The part as the reconstruction sees it, (224, 224, 3), and the (3,) scale, x, y of its alignment."""
        part = np.asarray(cv2.resize(self.part, (size_px, size_px)), np.uint8)
        x0, y0, x1, y1 = self.box
        placed = (self.landmarks - (x0, y0)) * size_px / (x1 - x0, y1 - y0)
        placed[:, 1] = size_px - 1 - placed[:, 1]
        fit = Alignment.of(placed, size_px, size_px)
        return fit.picture(part), np.array([fit.scale, fit.x, fit.y], np.float32)

    def frame_size(self, size_px: int) -> tuple[int, int]:
        """Width and height of what ``frame`` returns."""
        x0, y0, x1, y1 = self.box
        height, width = self.picture.shape[:2] if self.is_pasted else (int(size_px * (y1 - y0) / (x1 - x0)), size_px)
        return width - width % 2, height - height % 2

    def five(self) -> Points:
        """(5, 2): eye centres, nose tip and mouth corners of the picture, in the drawn square's [-1, 1]."""
        x0, y0, x1, y1 = self.box
        return (five_points(self.landmarks) - (x0, y0)) / (x1 - x0, y1 - y0) * 2 - 1

    def shown(self, points: Points, size_px: int) -> Points:
        """Points (n, 2) of the drawn square in the pixels of what ``frame`` returns."""
        x0, y0, x1, y1 = self.box
        share = (points + 1) / 2
        if self.is_pasted:
            return share * (x1 - x0, y1 - y0) + (x0, y0)
        return share * (size_px, int(size_px * (y1 - y0) / (x1 - x0)))

    def frame(self, drawn: NDArray[np.float32], size_px: int) -> Rgb:
        """A drawn square (3, size, size) in [0, 1] as it is shown, sides even as video encoders need them."""
        x0, y0, x1, y1 = self.box
        if not self.is_pasted:
            return _even(fitted(drawn, size_px, y1 - y0, x1 - x0))
        square = fitted(drawn, size_px, size_px, size_px)
        part = np.asarray(cv2.resize(square, (x1 - x0, y1 - y0), interpolation=cv2.INTER_CUBIC), np.uint8)
        return _even(_cloned(part, self.picture, self.box))


def _cloned(part: Rgb, picture: Rgb, box: Box) -> Rgb:
    """``part`` in its place without a seam.

    P. Pérez, M. Gangnet and A. Blake, "Poisson Image Editing", ACM Transactions on Graphics 22, 2003. The picture is
    continued by its mirror image meanwhile, since the method needs a pixel around the part.
    """
    x0, y0, x1, y1 = box
    framed = cv2.copyMakeBorder(picture, 2, 2, 2, 2, cv2.BORDER_REFLECT_101)
    height, width = y1 - y0, x1 - x0
    mask = np.full((height, width), 255, np.uint8)
    centre = (x0 + 2 + width // 2, y0 + 2 + height // 2)
    cloned = cv2.seamlessClone(part, framed, mask, centre, cv2.NORMAL_CLONE)
    return np.asarray(cloned[2:-2, 2:-2], np.uint8)


def _even(rgb: Rgb) -> Rgb:
    height, width = (side - side % 2 for side in rgb.shape[:2])
    return np.ascontiguousarray(rgb[:height, :width])


def read_portrait(path: Path, preprocess: str, box: Box | None = None, limits: Limits | None = None) -> Portrait:
    """Read a photo, upright and opaque, and find the head in it.

    Args:
        path: the photo.
        preprocess: see ``settings.Choices``.
        box: which face, forehead to chin, in the file's pixels; needed where there are several.
        limits: what is not read.

    Raises:
        MediaError: it is missing, no picture, too large, damaged, shows no face, or one that is too small.
    """
    photo = read_photo(path, limits or Limits())
    if photo is None:
        raise MediaError(f"{path.name} is no picture that can be read; save it as JPEG or PNG.")
    face = choose(FaceDetector().find(photo.rgb), box, path.name, photo.scale)
    if face is None:
        raise no_face(path.name)
    return portrait_of(photo.rgb, face, preprocess, path.name)


def portrait_of(picture: Rgb, face: Face, preprocess: str, name: str) -> Portrait:
    """A picture (h, w, 3) of a known face; ``name`` is for the error.

    Raises:
        MediaError: the head is too small.
    """
    landmarks = landmarks_of(face)
    height, width = picture.shape[:2]
    part = head_box(landmarks, width, height)
    if min(part[2] - part[0], part[3] - part[1]) < _SMALLEST_PX:
        raise MediaError(f"The face in {name} is smaller than {_SMALLEST_PX} pixels; give a larger picture.")
    if preprocess == "resize":
        part = (0, 0, width, height)
    return Portrait(picture, part, landmarks, is_pasted=preprocess == "full")


def head_box(landmarks: Points, width: int, height: int) -> Box:
    """The head's square, in a picture of this size."""
    crop = FaceCrop.of(landmarks, width, height)
    grown = np.array([width, height, width, height]) / np.array([*crop.shrunk, *crop.shrunk])
    x0, y0, x1, y1 = (int(edge) for edge in np.array(crop.box) * grown)
    return x0, y0, min(x1, width), min(y1, height)
