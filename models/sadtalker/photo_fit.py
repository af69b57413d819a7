"""A face model fitted to the face of a photo, and a sheet to see how well."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.face.detector import Box, Face, FaceDetector
from models.face.pictures import Limits, read_photo
from models.face.track import choose, no_face
from models.sadtalker.alignment import Alignment, Points, five_points
from models.sadtalker.coefficients import FaceCoefficients
from models.sadtalker.face_model import CENTRE_PX, FaceModel, posed, to_camera
from models.sadtalker.face_picture import DAYLIGHT, draw_face
from models.sadtalker.landmark_fit import LANDMARKS, Fit, fit_landmarks
from models.sadtalker.portrait import landmarks_of

_SMALLEST_PX = 32
_TILE_PX = 448
_PAPER = (52, 56, 60)
_GIVEN, _FOUND = (80, 170, 255), (255, 90, 60)
_EYE_CORNERS = [36, 39, 42, 45]
Rgb = NDArray[np.uint8]
Finder = Callable[[Rgb, Points], Points]
"""A picture (h, w, 3), and about where the landmarks (68, 2) are -> where they are, NaN where that is not known."""


@dataclass(frozen=True)
class FittedPhoto:
    """A photo's face, and a model's in its place."""

    aligned: Rgb
    """(224, 224, 3): the photo as ``Alignment`` cuts it."""
    landmarks: Points
    """(68, 2) that were fitted to, pixels of ``aligned``, y up; NaN where not known."""
    fit: Fit
    is_shaped: bool
    """False where only the eyes were known: its shape is the mean's."""


def read_landmarks(path: Path) -> Points:
    """A text file of 68 lines, x and y of each in pixels, y down, in the order of the 300-W annotation.

    ``nan nan`` stands for one that is not known.

    Raises:
        MediaError: it is something else.
    """
    try:
        points = np.loadtxt(path, ndmin=2, delimiter="," if "," in path.read_text(encoding="utf-8") else None)
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise MediaError(f"{path.name} cannot be read as landmarks; give {LANDMARKS} lines of x and y.") from error
    if points.shape != (LANDMARKS, 2) or np.isinf(points).any():
        raise MediaError(f"{path.name} holds {len(points)} lines; landmarks are {LANDMARKS} lines of x and y.")
    return np.asarray(points, np.float64)


def fit_photo(
    model: FaceModel,
    path: Path,
    landmarks: Points | Finder | None = None,
    box: Box | None = None,
    noise_px: float = 1.0,
) -> FittedPhoto:
    """Fit a model to a photo's face.

    Args:
        model: the open basis.
        path: the photo.
        landmarks: (68, 2) in the upright photo's pixels, y down, or what finds them; NaN is not known. None finds
            the eyes, and fits pose and size alone.
        box: which face, where there are several and no landmarks.
        noise_px: see ``fit_landmarks``.

    Raises:
        MediaError: no picture, no face, or landmarks that are none.
    """
    photo = read_photo(path, Limits())
    if photo is None:
        raise MediaError(f"{path.name} is no picture that can be read; save it as JPEG or PNG.")
    rgb = photo.rgb.copy()  # PyTorch takes no picture that cannot be written to
    height, width = rgb.shape[:2]
    if landmarks is None or callable(landmarks):
        face = choose(FaceDetector().find(rgb), box, path.name, photo.scale)
        if face is None:
            raise no_face(path.name)
        placed = landmarks_of(face)
        given = placed if landmarks is None else landmarks(rgb, placed)
    else:
        given = landmarks / photo.scale
    known = np.asarray(np.isfinite(given).all(axis=1), bool)
    if not known[_EYE_CORNERS].all():
        raise MediaError(f"Landmarks {', '.join(map(str, _EYE_CORNERS))}, the corners of the eyes, must be known.")
    eyes = given[_EYE_CORNERS].reshape(2, 2, 2).mean(axis=1)
    placed = np.where(known[:, None], given, landmarks_of(Face((0, 0, 0, 0), eyes)))
    if np.ptp(placed, axis=0).min() < _SMALLEST_PX / 2 or not _is_inside(placed, width, height):
        raise MediaError(
            f"The landmarks are no face in {path.name}: they span less than {_SMALLEST_PX // 2} of its pixels, or lie "
            f"outside its {width} x {height}."
        )
    placed = np.stack((placed[:, 0], height - 1 - placed[:, 1]), axis=1)
    alignment = Alignment.of(placed, width, height)
    points = alignment.landmarks(placed)
    if landmarks is None:
        points = _mean_landmarks_at(model, five_points(points)[:2])
    fit = fit_landmarks(model, points, np.where(known, 1.0, 0.0), noise_px=noise_px)
    points[~known] = np.nan
    return FittedPhoto(alignment.picture(rgb), points, fit, landmarks is not None)


def _is_inside(points: Points, width: int, height: int) -> bool:
    middle = points.mean(axis=0)
    return bool(0 <= middle[0] < width and 0 <= middle[1] < height)


def _mean_landmarks_at(model: FaceModel, eyes: Points) -> Points:
    """The mean face's landmarks, turned, scaled and moved in the picture so that its eyes are at ``eyes`` (2, 2)."""
    face = FaceCoefficients.split(np.zeros((1, 257), np.float32))
    landmarks = model.landmarks(to_camera(posed(model.shape(face), face)))[0].astype(np.float64)
    own = five_points(landmarks)[:2]
    plane = landmarks @ (1, 1j)
    left, right = eyes @ (1, 1j)
    own_left, own_right = own @ (1, 1j)
    moved = left + (plane - own_left) * (right - left) / (own_right - own_left)
    return np.stack((moved.real, moved.imag), axis=1)


def sheet(model: FaceModel, fitted: FittedPhoto) -> Rgb:
    """Four tiles: the photo with landmarks given (blue) and fitted (red), the face over it, alone, and at rest."""
    coefficients = fitted.fit.coefficients.copy()
    coefficients[227:254] = DAYLIGHT
    rest = np.zeros_like(coefficients)
    rest[:80], rest[227:254] = coefficients[:80], DAYLIGHT
    photo = np.asarray(cv2.resize(fitted.aligned, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_CUBIC), np.uint8)
    marked, paper = photo.copy(), np.full_like(photo, _PAPER)
    for points, colour in ((fitted.landmarks, _GIVEN), (fitted.fit.landmarks, _FOUND)):
        for x, y in (points * (1, -1) + (0, 2 * CENTRE_PX)) * _TILE_PX / (2 * CENTRE_PX):
            if abs(x) < 2 * _TILE_PX and abs(y) < 2 * _TILE_PX:  # and not NaN
                cv2.circle(marked, (round(x), round(y)), 2, colour, -1, cv2.LINE_AA)
    drawn = (draw_face(model, coefficients, photo), draw_face(model, coefficients, paper))
    return np.hstack((marked, *drawn, draw_face(model, rest, paper)))
