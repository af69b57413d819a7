"""Light that is worked out once a head: how much sky and how much of the key light a vertex sees.

Both come from orthographic depth maps seen from many directions, with the numba rasteriser.
"""

import numpy as np
from numpy.typing import NDArray

from models.studio.kernels import depth_map
from models.studio.mesh import Floats, Ints

_REACH = 0.9
"""Occluders farther than this (decimetres) darken nothing."""


def _sphere_directions(count: int) -> NDArray[np.float64]:
    """Evenly spread unit vectors: the Fibonacci lattice."""
    index = np.arange(count) + 0.5
    z = 1 - 2 * index / count
    angle = np.pi * (1 + np.sqrt(5)) * index
    radius = np.sqrt(1 - z * z)
    return np.stack([radius * np.cos(angle), radius * np.sin(angle), z], 1)


def _behind(
    vertices: NDArray[np.float64],
    occluders: NDArray[np.float64],
    triangles: Ints,
    skip: NDArray[np.uint8],
    direction: NDArray[np.float64],
    size: int,
) -> NDArray[np.float64]:
    """How far below the surface nearest the light each vertex lies; 0 or less = seen."""
    helper = np.array([0.0, 1.0, 0.0]) if abs(direction[1]) < 0.9 else np.array([1.0, 0.0, 0.0])
    right = np.cross(helper, direction)
    right /= np.linalg.norm(right)
    frame = np.stack([right, np.cross(direction, right), direction])
    placed, reference = vertices @ frame.T, occluders @ frame.T
    low, high = reference[:, :2].min(0), reference[:, :2].max(0)
    scale = (size - 4) / (high - low).max()
    screen = np.concatenate([(reference[:, :2] - low) * scale + 2, reference[:, 2:]], 1)
    depth = np.full((size, size), -1e9, np.float32)
    depth_map(np.ascontiguousarray(screen), triangles, skip, depth)
    pixel = np.clip(((placed[:, :2] - low) * scale + 2).astype(int), 0, size - 1)
    return np.asarray(depth[pixel[:, 1], pixel[:, 0]] - placed[:, 2])


def bake_occlusion(
    vertices: Floats, normals: Floats, triangles: Ints, skip: NDArray[np.uint8], directions: int = 96
) -> Floats:
    """Cosine-weighted open sky in [0, 1] a vertex, (n,); near occluders darken most."""
    origin = vertices.astype(np.float64) + normals * 0.02
    occluders = vertices.astype(np.float64)
    total, weight = np.zeros(len(vertices)), np.zeros(len(vertices))
    for direction in _sphere_directions(directions):
        cosine = np.maximum(normals @ direction, 0.0)
        distance = _behind(origin, occluders, triangles, skip, direction, 320)
        distance -= 0.01 + 0.03 * (1 - cosine)
        blocked = (distance > 0) & (distance < 8)
        open_share = np.where(blocked, np.clip(distance / _REACH, 0, 1) ** 0.7, 1.0)
        total += cosine * open_share
        weight += cosine
    return np.asarray(total / np.maximum(weight, 1e-9), np.float32)


def bake_visibility(
    vertices: Floats,
    normals: Floats,
    triangles: Ints,
    skip: NDArray[np.uint8],
    key: NDArray[np.float64],
    rays: int = 20,
) -> Floats:
    """Share of a soft key light around direction ``key`` that each vertex sees, (n,)."""
    rng = np.random.default_rng(1)
    origin = vertices.astype(np.float64) + normals * 0.025
    occluders = vertices.astype(np.float64)
    seen = np.zeros(len(vertices))
    for _ in range(rays):
        direction = key + rng.normal(size=3) * 0.10
        direction /= np.linalg.norm(direction)
        seen += _behind(origin, occluders, triangles, skip, direction, 640) < 0.02
    return np.asarray(seen / rays, np.float32)


def smooth_over(values: Floats, triangles: Ints, passes: int, share: float) -> Floats:
    """Blend each vertex with the mean of its triangles, ``passes`` times."""
    result = values.astype(np.float64)
    degree = np.bincount(triangles.ravel(), minlength=len(values))
    for _ in range(passes):
        mean = result[triangles].mean(1)
        around = sum(np.bincount(triangles[:, k], mean, len(values)) for k in range(3))
        result = np.where(degree > 0, (1 - share) * result + share * around / np.maximum(degree, 1), result)
    return np.asarray(result, np.float32)
