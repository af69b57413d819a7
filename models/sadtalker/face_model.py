"""The parametric face: from coefficients to vertices, colours and landmarks.

The model's layout is that of Deng, Yang, Xu, Chen, Jia and Tong, "Accurate 3D Face Reconstruction with
Weakly-Supervised Learning", CVPR Workshops 2019, built from the Basel Face Model 2009 (Paysan, Knothe, Amberg,
Romdhani and Vetter, AVSS 2009) and the expressions of Guo, Zhang, Cai, Jiang and Zheng, "CNN-based Real-time Dense
Face Reconstruction", IEEE TPAMI 2019. Neither is ours to pass on: who holds the file reads it with
``read_face_model``. Animating a picture needs none of this.

Units are decimetres: x to the face's left as seen, y up, z towards the viewer; the camera stands at z = 10.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from models.errors import CheckpointError
from models.sadtalker.coefficients import FaceCoefficients

CAMERA_DISTANCE = 10.0
FOCAL_PX = 1015.0
CENTRE_PX = 112.0

Floats = NDArray[np.float32]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class FaceModel:
    """Means, bases and topology of n vertices; vertex and face indices count from 0."""

    mean_shape: Floats
    """(n, 3), about its centre."""
    mean_texture: Floats
    """(n, 3) RGB, 0 to 255."""
    identity: Floats
    """(3 n, 80)."""
    expression: Floats
    """(3 n, 64)."""
    texture: Floats
    """(3 n, 80)."""
    triangles: Indices
    """(f, 3) vertices."""
    neighbours: Indices
    """(n, 8) triangles about each vertex; f stands for none."""
    keypoints: Indices
    """(68,) vertices of the landmarks."""

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[np.generic]]) -> "FaceModel":
        """From the published file's arrays by their names in it; their indices count from 1."""

        def floats(name: str) -> Floats:
            return np.asarray(arrays[name], dtype=np.float32)

        def indices(name: str) -> Indices:
            return np.asarray(arrays[name], dtype=np.int64) - 1

        mean_shape = floats("meanshape").reshape(-1, 3)
        return cls(
            mean_shape=mean_shape - mean_shape.mean(axis=0),
            mean_texture=floats("meantex").reshape(-1, 3),
            identity=floats("idBase"),
            expression=floats("exBase"),
            texture=floats("texBase"),
            triangles=indices("tri"),
            neighbours=indices("point_buf"),
            keypoints=indices("keypoints").ravel(),
        )

    def shape(self, coefficients: FaceCoefficients) -> Floats:
        """Vertices of m faces at the origin, unturned, (m, n, 3)."""
        moved = _moved(self.identity, coefficients.identity) + _moved(self.expression, coefficients.expression)
        return (moved + self.mean_shape.ravel()).reshape(len(moved), -1, 3)

    def albedo(self, coefficients: FaceCoefficients) -> Floats:
        """Colours without light, (m, n, 3) RGB; skin is within [0, 1]."""
        moved = _moved(self.texture, coefficients.texture) + self.mean_texture.ravel()
        return (moved / np.float32(255)).reshape(len(moved), -1, 3)

    def normals(self, shape: Floats) -> Floats:
        """Unit normals of vertices (m, n, 3): the mean direction of the triangles about each."""
        vertices = torch.from_numpy(shape)
        first, second, third = (vertices[:, self.triangles[:, corner]] for corner in range(3))
        # In float32, as published: the direction of a triangle without area is what rounding leaves of it.
        faces = functional.normalize(torch.linalg.cross(first - second, second - third), dim=-1)
        none = torch.zeros_like(faces[:, :1])
        about = torch.cat((faces, none), dim=1)[:, self.neighbours]
        return functional.normalize(about.sum(dim=2), dim=-1).numpy()

    def landmarks(self, camera: Floats) -> Floats:
        """Landmarks of m faces in an aligned picture, (m, 68, 2) pixels, y upwards from its bottom."""
        return project(camera[:, self.keypoints])


def read_face_model(path: Path) -> FaceModel:
    """Read ``BFM_model_front.mat``, for those who hold it.

    Raises:
        CheckpointError: missing, unreadable, or without one of the arrays.
    """
    try:
        from scipy.io import loadmat  # the studio's extra brings it

        return FaceModel.from_arrays(loadmat(str(path)))
    except ModuleNotFoundError as error:
        raise CheckpointError(f"Reading {path.name} needs scipy: pip install 'visavis[studio]' brings it.") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is not a face model of the published layout ({error}); build it again."
        ) from error


def _moved(basis: Floats, coefficients: Floats) -> Floats:
    """(k, size) basis, (m, size) -> (m, k): added up in the coefficients' order, the same bits on every machine."""
    moved = np.zeros((len(coefficients), len(basis)), dtype=np.float32)
    for direction, amount in zip(basis.T, coefficients.T, strict=True):
        moved += amount[:, None] * direction
    return moved


def rotations(angles: NDArray[np.floating]) -> Floats:
    """(m, 3) radians about x, y, z -> (m, 3, 3) that turn row vectors: about x, then y, then z."""
    x, y, z = np.asarray(angles, dtype=np.float32).T
    one, zero = np.ones_like(x), np.zeros_like(x)

    def matrix(*rows: list[Floats]) -> Floats:
        return np.stack([np.stack(row, axis=1) for row in rows], axis=1)

    about_x = matrix([one, zero, zero], [zero, np.cos(x), -np.sin(x)], [zero, np.sin(x), np.cos(x)])
    about_y = matrix([np.cos(y), zero, np.sin(y)], [zero, one, zero], [-np.sin(y), zero, np.cos(y)])
    about_z = matrix([np.cos(z), -np.sin(z), zero], [np.sin(z), np.cos(z), zero], [zero, zero, one])
    return np.asarray((about_z @ about_y @ about_x).transpose(0, 2, 1))


def posed(shape: Floats, coefficients: FaceCoefficients) -> Floats:
    """Vertices (m, n, 3), turned and moved as the coefficients say."""
    return shape @ rotations(coefficients.angles) + coefficients.translation[:, None]


def to_camera(vertices: Floats) -> Floats:
    """(m, n, 3) with z as the distance from the camera."""
    distance = np.float32(CAMERA_DISTANCE) - vertices[..., 2:]
    return np.concatenate((vertices[..., :2], distance), axis=-1)


def project(camera: Floats) -> Floats:
    """(m, n, 3) before the camera -> (m, n, 2) pixels of the aligned picture, y up."""
    return FOCAL_PX * camera[..., :2] / camera[..., 2:] + CENTRE_PX


def lit(albedo: Floats, normals: Floats, light: NDArray[np.floating]) -> Floats:
    """Colours under spherical harmonics light.

    R. Ramamoorthi and P. Hanrahan, "An Efficient Representation for Irradiance Environment Maps", SIGGRAPH 2001.

    Args:
        albedo: (m, n, 3).
        normals: (m, n, 3), unit, turned as the face is.
        light: (m, 27): nine for red, for green, for blue; 0.8 of ambient light is added.

    Returns:
        (m, n, 3), not clipped.
    """
    gamma = np.asarray(light, dtype=np.float32).reshape(-1, 3, 9).copy()
    gamma[:, :, 0] += 0.8
    return np.asarray(_harmonics(normals) @ gamma.transpose(0, 2, 1) * albedo)


def _harmonics(normals: Floats) -> Floats:
    """(..., 3) -> (..., 9): the first three bands."""
    x, y, z = np.moveaxis(normals, -1, 0)
    norm = 1 / np.sqrt(4 * np.pi)
    flat = np.pi * norm
    linear = 2 * np.pi / np.sqrt(3) * np.sqrt(3) * norm
    square = 2 * np.pi / np.sqrt(8) * 3 * np.sqrt(5) / np.sqrt(3) * norm
    bands = [
        np.full_like(x, flat),
        -linear * y,
        linear * z,
        -linear * x,
        square * x * y,
        -square * y * z,
        square / (2 * np.sqrt(3)) * (3 * z**2 - 1),
        -square * x * z,
        square / 2 * (x**2 - y**2),
    ]
    return np.stack(bands, axis=-1)
