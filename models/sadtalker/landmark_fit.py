"""A face model fitted to 68 landmarks of one picture: who it is, what it does, and where it stands.

Regularised least squares by the steps of Gauss and Newton, pose, identity and expression at once (V. Blanz, A. Mehl,
T. Vetter and H.-P. Seidel, "A Statistical Method for Robust 3D Surface Reconstruction from Sparse Data", 3DPVT 2004):
coefficients are drawn to zero as far as the landmarks do not say otherwise.

Of faces drawn from the open basis, turned by some 11 degrees, exact landmarks give back the pose to 0.6 degrees and
leave a sixth of the form's distance from the mean face; landmarks half a pixel off, 1.3 degrees and two fifths. One
picture does not tell a large face from a near one, so size and distance are the likeliest pair.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.sadtalker.alignment import Points
from models.sadtalker.coefficients import EXPRESSION_SIZE, HEAD_SIZES, IDENTITY_SIZE, FaceCoefficients
from models.sadtalker.face_model import CAMERA_DISTANCE, CENTRE_PX, FOCAL_PX, FaceModel, rotations

LANDMARKS = 68
_ROUNDS = 30
_ENOUGH = 1e-5
"""Radians and decimetres a step may be short of the end."""
_POSE_SIZE = 6
_POSE_PULL = 1e-6
"""Keeps a step finite where landmarks leave the pose open."""
_STEP = 1e-4
"""Radians and decimetres that the pose is moved by to see what it does."""
_FARTHEST_PX = 20 * CENTRE_PX
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Fit:
    """A face found."""

    coefficients: Floats
    """(257,); texture and light are zero, since landmarks do not tell them."""
    landmarks: Points
    """(68, 2) of the fitted face, pixels of the aligned picture, y up."""
    error_px: float
    """Root mean square distance to the landmarks given, by their weights."""


def fit_landmarks(
    model: FaceModel,
    landmarks: Points,
    weights: Points | None = None,
    *,
    noise_px: float = 1.0,
    expression_deviation: float = 0.3,
) -> Fit:
    """Fit a model's identity, expression and pose.

    Args:
        model: the open basis, or another.
        landmarks: (68, 2) in the aligned picture of 224 px, y upwards from its bottom, see ``Alignment.landmarks``.
        weights: (68,) of each, 0 for one that is not known; None trusts all alike. The jaw's may be lowered where a
            head is turned: its outline then runs along other vertices.
        noise_px: standard deviation of a landmark of weight 1; the larger, the nearer the mean face is stayed to.
        expression_deviation: standard deviation of expression coefficients. 0.3 fits the open basis, whose
            coefficients are blend shapes' weights; 1 the published one.

    Raises:
        MediaError: they are not 68 finite points near an aligned picture, or too few of them count.
    """
    points, trust = _checked(landmarks, weights)
    basis = np.concatenate((model.identity, model.expression), axis=1).astype(np.float64)
    basis = basis.reshape(-1, 3, basis.shape[1])[model.keypoints]
    mean = model.mean_shape[model.keypoints].astype(np.float64)
    spread = np.repeat([1.0, expression_deviation], [IDENTITY_SIZE, EXPRESSION_SIZE])
    basis *= spread
    pose, amounts = _first_pose(mean, points, trust), np.zeros(basis.shape[2])
    for _ in range(_ROUNDS):
        before = pose
        pose, amounts = _better(mean, basis, pose, amounts, points, np.sqrt(trust) / noise_px)
        if np.abs(pose - before).max() < _ENOUGH:
            break
    coefficients = np.zeros(sum(HEAD_SIZES), np.float32)
    coefficients[: len(amounts)] = amounts * spread
    coefficients[224:227], coefficients[254:] = pose[:3], pose[3:]
    found = _projected(mean + basis @ amounts, pose)
    return Fit(coefficients, found, _error(found, points, trust))


def _checked(landmarks: Points, weights: Points | None) -> tuple[Points, Points]:
    points = np.asarray(landmarks, np.float64)
    trust = np.ones(LANDMARKS) if weights is None else np.asarray(weights, np.float64)
    if points.shape != (LANDMARKS, 2) or trust.shape != (LANDMARKS,):
        raise MediaError(f"A face is fitted to {LANDMARKS} landmarks, x and y of each, not to {points.shape}.")
    if not np.isfinite(trust).all() or (trust < 0).any():
        raise MediaError("Weights of landmarks are finite and not negative.")
    known = trust > 0
    if not np.isfinite(points[known]).all() or (np.abs(points[known] - CENTRE_PX) > _FARTHEST_PX).any():
        raise MediaError("The landmarks lie far outside the aligned picture; align them to its 224 pixels first.")
    if known.sum() < _POSE_SIZE or np.ptp(points[known], axis=0).min() < 1:
        raise MediaError(f"A face needs at least {_POSE_SIZE} landmarks that do not all lie on one line.")
    return np.where(known[:, None], points, 0.0), trust


def _first_pose(mean: Points, points: Points, trust: Points) -> Points:
    """Facing the camera, its centre where the landmarks' is, as far away as their spread says."""
    share = trust[:, None] / trust.sum()
    middle, seen = (share * mean).sum(axis=0), (share * points).sum(axis=0)
    size = np.sqrt((share * (mean - middle)[:, :2] ** 2).sum())
    depth = FOCAL_PX * size / np.sqrt((share * (points - seen) ** 2).sum())
    x, y = (seen - CENTRE_PX) * depth / FOCAL_PX - middle[:2]
    return np.array([0, 0, 0, x, y, CAMERA_DISTANCE - depth - middle[2]])


def _projected(shape: Points, pose: Points) -> Points:
    placed = shape @ rotations(pose[None, :3])[0] + pose[3:]
    return np.asarray(FOCAL_PX * placed[:, :2] / (CAMERA_DISTANCE - placed[:, 2:]) + CENTRE_PX, np.float64)


def _better(
    mean: Points, basis: Points, pose: Points, amounts: Points, points: Points, weight: Points
) -> tuple[Points, Points]:
    """One step: pose, and coefficients of unit deviation."""
    shape = mean + basis @ amounts
    now = _projected(shape, pose)
    by_pose = [(_projected(shape, pose + step) - now) / _STEP for step in _STEP * np.eye(_POSE_SIZE)]
    turn = rotations(pose[None, :3])[0]
    turned = basis.transpose(0, 2, 1) @ turn
    depth = CAMERA_DISTANCE - (shape @ turn + pose[3:])[:, 2, None, None]
    by_shape = (FOCAL_PX * turned[..., :2] + (now - CENTRE_PX)[:, None] * turned[..., 2:]) / depth
    slopes = np.concatenate((np.stack(by_pose, axis=1), by_shape), axis=1) * weight[:, None, None]
    rows = slopes.transpose(0, 2, 1).reshape(-1, slopes.shape[1])
    values = ((points - now) * weight[:, None]).ravel()
    drawn = np.concatenate((np.full(_POSE_SIZE, _POSE_PULL), np.ones(len(amounts))))
    pulled = np.concatenate((np.zeros(_POSE_SIZE), amounts))
    step = np.linalg.solve(rows.T @ rows + np.diag(drawn), rows.T @ values - pulled)
    return pose + step[:_POSE_SIZE], amounts + step[_POSE_SIZE:]


def _error(found: Points, points: Points, trust: Points) -> float:
    away = ((found - points) ** 2).sum(axis=1)
    return float(np.sqrt((trust * away).sum() / trust.sum()))


def face_of(fit: Fit) -> FaceCoefficients:
    """The coefficients taken apart, of one face."""
    return FaceCoefficients.split(fit.coefficients[None])
