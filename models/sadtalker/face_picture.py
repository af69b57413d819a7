"""A small renderer of face models: enough to look at a fit."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.sadtalker.coefficients import FaceCoefficients
from models.sadtalker.face_model import CENTRE_PX, FaceModel, lit, posed, project, rotations, to_camera

DAYLIGHT = np.zeros(27, np.float32)
"""(27,) light from the front and above, to see a face by whose light is not known."""
DAYLIGHT[[0, 9, 18]] = 0.05
DAYLIGHT[[1, 10, 19]] = -0.06
DAYLIGHT[[2, 11, 20]] = 0.12
_FINER = 3
"""Pictures are drawn this much larger, and scaled down, so that edges are smooth."""
_SHIFT = 4
_NEAREST = 0.5
"""What is nearer to the camera than this, in decimetres, is not drawn."""


def draw_face(model: FaceModel, coefficients: NDArray[np.float32], over: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Draw a face over a picture.

    Far triangles are painted first, and those that look away not at all.

    Args:
        model: what the coefficients are of.
        coefficients: (257,).
        over: RGB (s, s, 3), the aligned picture of 224 px at any scale; it is left as it is.
    """
    face = FaceCoefficients.split(np.asarray(coefficients, np.float32)[None])
    shape = model.shape(face)
    camera = to_camera(posed(shape, face))
    normals = model.normals(shape) @ rotations(face.angles)
    colours = np.clip(255 * lit(model.albedo(face), normals, face.light)[0], 0, 255)
    side = len(over)
    scale = side * _FINER / (2 * CENTRE_PX)
    places = project(camera)[0] * (1, -1) * scale + (0, side * _FINER)
    corners = places[model.triangles]
    first, second = corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]
    faces_us = first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0] < 0  # y is down here
    depth = camera[0, :, 2][model.triangles]
    order = np.argsort(-depth.mean(axis=1), kind="stable")
    order = order[(faces_us & (depth.min(axis=1) > _NEAREST))[order]]
    canvas = cv2.resize(over, None, fx=_FINER, fy=_FINER, interpolation=cv2.INTER_LINEAR)
    drawn = np.round(np.clip(corners, -8 * side, 8 * side) * (1 << _SHIFT)).astype(np.int32)
    paint = colours[model.triangles].mean(axis=1)
    for index in order:
        cv2.fillConvexPoly(canvas, drawn[index], paint[index].tolist(), cv2.LINE_8, _SHIFT)
    return np.asarray(cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
