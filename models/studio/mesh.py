"""Surfaces: subdivision, tubes and spheres, and the part a head is put together from."""

from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]


class Material(IntEnum):
    """What a surface is made of; the renderer's tables are in this order."""

    SKIN = 0
    TEETH = 1
    TONGUE = 2
    LASH = 3
    HAIR = 4
    CLOTH = 5
    GADGET = 6
    EYE = 7


@dataclass
class Part:
    """A surface with all that its shading needs, a value a vertex."""

    vertices: Floats
    triangles: Ints
    material: Material
    albedo: Floats
    """(n, 3) linear RGB."""
    texture_mix: Floats | None = None
    """(n,) share of the material's texture in the albedo."""
    texture_coordinates: Floats | None = None
    """(n, 2) in [0, 1]."""
    occlusion: Floats | None = None
    """(n,) factor on the baked ambient light."""
    tangent: Floats | None = None
    """(n, 3) along the strand, for hair."""


@dataclass
class SkinPart(Part):
    """The head's skin with its painted regions, each (n,) in [0, 1]."""

    rest: Floats = field(kw_only=True)
    """(n, 3) place on the identity-free base mesh, where features are painted."""
    lips: Floats = field(kw_only=True)
    inside: Floats = field(kw_only=True)
    """The inside of the mouth."""
    scalp: Floats = field(kw_only=True)
    """What lies under hair."""


def triangles_of(quads: NDArray[np.integer]) -> Ints:
    """(q, 4) quads to (2 q, 3) triangles."""
    return np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]]).astype(np.int32)


def vertex_normals(vertices: NDArray[np.floating], triangles: Ints) -> Floats:
    """Area-weighted unit normals, (n, 3)."""
    corner = vertices[triangles[:, 0]]
    face = np.cross(vertices[triangles[:, 1]] - corner, vertices[triangles[:, 2]] - corner)
    normals = np.zeros(vertices.shape, np.float64)
    for k in range(3):
        np.add.at(normals, triangles[:, k], face)
    length = np.linalg.norm(normals, axis=1, keepdims=True)
    return np.asarray(normals / np.maximum(length, 1e-12), np.float32)


def outward(vertices: NDArray[np.floating], triangles: Ints, centres: NDArray[np.floating]) -> Ints:
    """The triangles, turned so that normals point away from ``centres`` ((n, 3) or (3,))."""
    normals = vertex_normals(vertices, triangles)
    if np.mean(np.einsum("ij,ij->i", normals, vertices - centres)) < 0:
        return np.ascontiguousarray(triangles[:, ::-1])
    return triangles


def smoothstep(low: float, high: float, value: NDArray[np.floating]) -> NDArray[np.float64]:
    """Hermite step from 0 at ``low`` to 1 at ``high`` (which may be the smaller)."""
    t = np.clip((np.asarray(value, np.float64) - low) / (high - low), 0.0, 1.0)
    return np.asarray(t * t * (3 - 2 * t))


def subdivision(vertex_count: int, quads: NDArray[np.integer]) -> tuple[sp.csr_matrix, NDArray[np.int64]]:
    """One Catmull-Clark step (Catmull & Clark 1978) with the boundary rule for open edges.

    Returns the (new, old) matrix and the new quads; old vertices come first, then edges, then faces.
    """
    n_faces = len(quads)
    edges = np.sort(np.stack([quads, np.roll(quads, -1, 1)], -1).reshape(-1, 2), axis=1)
    unique, inverse = np.unique(edges, axis=0, return_inverse=True)
    edge_of = inverse.reshape(n_faces, 4)
    n_edges = len(unique)
    corner_face = np.repeat(np.arange(n_faces), 4)
    ones = np.ones(n_faces * 4)
    to_face = sp.csr_matrix((ones / 4, (corner_face, quads.ravel())), (n_faces, vertex_count))
    ends = np.repeat(np.arange(n_edges), 2)
    to_middle = sp.csr_matrix((np.full(n_edges * 2, 0.5), (ends, unique.ravel())), (n_edges, vertex_count))
    inner = np.bincount(edge_of.ravel(), minlength=n_edges) == 2
    edge_faces = sp.csr_matrix((ones, (edge_of.ravel(), corner_face)), (n_edges, n_faces))
    keep_inner, keep_rim = sp.diags(inner.astype(float)), sp.diags((~inner).astype(float))
    to_edge = keep_inner @ (0.5 * to_middle + 0.25 * edge_faces @ to_face) + keep_rim @ to_middle
    valence = np.maximum(np.bincount(quads.ravel(), minlength=vertex_count), 1).astype(float)
    rim = np.zeros(vertex_count, bool)
    rim[unique[~inner].ravel()] = True
    vertex_faces = sp.csr_matrix((ones, (quads.ravel(), corner_face)), (vertex_count, n_faces))
    vertex_edges = sp.csr_matrix((np.ones(n_edges * 2), (unique.ravel(), ends)), (vertex_count, n_edges))
    edge_count = np.maximum(np.asarray(vertex_edges.sum(1)).ravel(), 1)
    smooth = (
        sp.diags(1 / valence**2) @ vertex_faces @ to_face
        + sp.diags(2 / (valence * edge_count)) @ vertex_edges @ to_middle
        + sp.diags((valence - 3) / valence)
    )
    on_rim = 0.5 * sp.identity(vertex_count) + 0.25 * (vertex_edges @ keep_rim @ to_middle)
    to_vertex = sp.diags((~rim).astype(float)) @ smooth + sp.diags(rim.astype(float)) @ on_rim
    face_ids = vertex_count + n_edges + np.arange(n_faces)
    children = [
        np.stack([quads[:, k], vertex_count + edge_of[:, k], face_ids, vertex_count + edge_of[:, (k - 1) % 4]], 1)
        for k in range(4)
    ]
    return sp.vstack([to_vertex, to_edge, to_face]).tocsr(), np.stack(children, 1).reshape(-1, 4)


def tube(
    path: NDArray[np.floating],
    width: NDArray[np.floating],
    height: NDArray[np.floating],
    side: NDArray[np.floating],
    up: NDArray[np.floating],
    sides: int,
) -> tuple[Floats, Ints]:
    """An elliptic tube around ``path`` (n, 3), half axes along ``side`` and ``up``; rings of ``sides``."""
    angle = np.linspace(0, 2 * np.pi, sides, endpoint=False)
    rings = (
        path[:, None]
        + side[:, None] * (width[:, None] * np.cos(angle))[..., None]
        + up[:, None] * (height[:, None] * np.sin(angle))[..., None]
    )
    row = np.arange(len(path) - 1)[:, None] * sides
    k, after = np.arange(sides)[None], (np.arange(sides)[None] + 1) % sides
    quads = np.stack([row + k, row + after, row + sides + after, row + sides + k], -1).reshape(-1, 4)
    return rings.reshape(-1, 3).astype(np.float32), triangles_of(quads)


def unit_sphere(around: int, down: int) -> tuple[Floats, Ints]:
    """A sphere of radius 1 by longitude and latitude, poles on z; normals point outward."""
    u, v = np.linspace(0, 2 * np.pi, around + 1), np.linspace(0, np.pi, down + 1)
    points = np.stack(
        [
            np.outer(np.sin(v), np.cos(u)),
            np.outer(np.sin(v), np.sin(u)),
            np.outer(np.cos(v), np.ones_like(u)),
        ],
        -1,
    ).reshape(-1, 3)
    first = np.arange(down)[:, None] * (around + 1) + np.arange(around)
    quads = np.stack([first, first + around + 1, first + around + 2, first + 1], -1).reshape(-1, 4)
    return points.astype(np.float32), outward(points, triangles_of(quads), np.zeros(3))
