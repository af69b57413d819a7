"""Clothes, headset and eyes: drawn by the studio, not from any asset."""

import numpy as np
from numpy.typing import NDArray

from models.studio.hair import Skull
from models.studio.identity import Look
from models.studio.mesh import (
    Floats,
    Ints,
    Material,
    Part,
    outward,
    smoothstep,
    tube,
    unit_sphere,
    vertex_normals,
)

EYE_TEXTURE_EXTENT = 1.02
_COLLAR_SIDES = 10
_COLLAR_RINGS = 97


def _below_neckline(rest: Floats) -> NDArray[np.float64]:
    """Signed height over the neckline on the base mesh."""
    dip = 0.16 * smoothstep(-0.3, 0.9, rest[:, 2])
    return np.asarray(rest[:, 1] - (5.74 + 0.05 * np.abs(rest[:, 0]) - dip))


def build_clothes(vertices: Floats, triangles: Ints, rest: Floats, look: Look) -> tuple[Part, Part]:
    """A jumper grown from the skin below the neckline, and its ribbed roll collar."""
    normals = vertex_normals(vertices, triangles)
    height = _below_neckline(rest)
    limit = -0.07 + 0.12 * smoothstep(look.neck_half_width, look.neck_half_width + 0.23, np.abs(rest[:, 0]))
    kept = triangles[(height < limit)[triangles].any(1)]
    used, dense = np.unique(kept, return_inverse=True)
    thickness = 0.05 + 0.05 * smoothstep(0, -0.4, height[used])
    body = Part(
        vertices=vertices[used] + (normals[used] * thickness[:, None]).astype(np.float32),
        triangles=dense.reshape(kept.shape).astype(np.int32),
        material=Material.CLOTH,
        albedo=np.tile(np.array(look.cloth, np.float32), (len(used), 1)),
    )
    near = np.abs(height) < 0.09
    points = vertices[near] + normals[near] * 0.03
    return body, _collar(points.astype(np.float64), look)


def _collar(points: NDArray[np.float64], look: Look) -> Part:
    """A tube around the neck through the points near the neckline."""
    rings, middle = _COLLAR_RINGS, points.mean(0)
    angle_of = np.arctan2(points[:, 0] - middle[0], points[:, 2] - middle[2])
    angle = np.linspace(-np.pi, np.pi, rings)[:-1]
    apart = np.angle(np.exp(1j * (angle_of[None] - angle[:, None])))
    share = np.exp(-((apart / 0.16) ** 2))
    path = (share @ points) / share.sum(1, keepdims=True)

    def smooth(values: NDArray[np.float64]) -> NDArray[np.float64]:
        kernel = np.ones(23) / 23
        return np.convolve(np.r_[values[-22:], values, values[:22]], kernel, "same")[22:-22]

    radius = smooth(np.hypot(path[:, 0] - middle[0], path[:, 2] - middle[2]))
    radius = np.minimum(radius, np.median(radius) * look.collar_spread) * 0.97
    path = np.stack([middle[0] + radius * np.sin(angle), smooth(path[:, 1]), middle[2] + radius * np.cos(angle)], 1)
    path = np.concatenate([path, path[:1]])
    tangent = np.gradient(path, axis=0)
    tangent[[0, -1]] = (path[1] - path[-2]) / 2
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    out = (path - middle) * [1, 0, 1]
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    up = np.cross(tangent, out)
    rib = np.where(np.arange(rings) % 2 == 0, 1.0, 0.86)
    vertices, triangles = tube(path + [0, 0.03, 0], 0.085 * rib, np.full(rings, 0.15), out, up, _COLLAR_SIDES)
    shade = np.repeat(0.70 + 0.30 * (rib - 0.86) / 0.14, _COLLAR_SIDES)[:, None]
    return Part(
        vertices=vertices,
        triangles=outward(vertices, triangles, np.repeat(path, _COLLAR_SIDES, 0)),
        material=Material.CLOTH,
        albedo=(np.array(look.cloth) * shade).astype(np.float32),
    )


def build_headset(skull: Skull, look: Look) -> Part:
    """A band over the crown with a cushioned cup a side."""
    n, gap = 49, 0.235
    z = skull.centre[2] - 0.02
    angle = np.linspace(np.deg2rad(-8), np.deg2rad(188), n)
    path = np.stack(
        [
            np.cos(angle) * (skull.half_width + gap),
            0.62 + np.sin(angle) * (skull.half_height + gap + 0.13),
            np.full(n, z),
        ],
        1,
    )
    tangent = np.gradient(path, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    side = np.tile([0.0, 0.0, 1.0], (n, 1))
    band, triangles = tube(path, np.full(n, 0.13), np.full(n, 0.045), side, np.cross(side, tangent), 12)
    pieces = [(band, outward(band, triangles, np.repeat(path, 12, 0)), (0.86, 0.86, 0.87))]
    sphere, sphere_triangles = unit_sphere(32, 20)
    for sign in (1.0, -1.0):
        x = sign * (skull.half_width + gap - 0.02)
        cup = sphere * [0.17, 0.42, 0.36] + [x, 0.36, z]
        cup[:, 0] = x + np.sign(sphere[:, 0]) * np.abs(sphere[:, 0]) ** 0.5 * 0.15
        plate = sphere * [0.1, 0.28, 0.24] + [x + sign * 0.12, 0.36, z]
        for piece, colour in ((cup, (0.16, 0.17, 0.20)), (plate, look.accent)):
            pieces.append((piece.astype(np.float32), outward(piece, sphere_triangles, piece.mean(0)), colour))
    starts = np.cumsum([0] + [len(piece[0]) for piece in pieces])
    return Part(
        vertices=np.concatenate([piece[0] for piece in pieces]),
        triangles=np.concatenate([piece[1] + start for piece, start in zip(pieces, starts[:-1], strict=True)]).astype(
            np.int32
        ),
        material=Material.GADGET,
        albedo=np.concatenate([np.tile(np.array(c, np.float32), (len(v), 1)) for v, _, c in pieces]),
    )


def build_glasses(eyes: Floats, skull: Skull, colour: tuple[float, float, float]) -> Part:
    """Round spectacles before the (2, 4) eye spheres, their temples going back over the ears."""
    front = float((eyes[:, 2] + eyes[:, 3]).max()) + 0.10
    level, apart = float(eyes[:, 1].mean()) - 0.02, float(np.abs(eyes[:, 0]).mean()) + 0.012
    radius = apart - 0.052
    turn = np.linspace(0, 2 * np.pi, 49)
    arch = np.linspace(-1, 1, 9)
    reach = np.linspace(0, 1, 13)
    paths = []
    for sign in (1.0, -1.0):
        paths.append(
            np.stack(
                [
                    sign * (apart + radius * np.cos(turn)),
                    level + 0.90 * radius * np.sin(turn),
                    front - 0.07 * np.cos(turn).clip(0) ** 2,
                ],
                1,
            )
        )
        hinge = np.array([sign * (apart + radius * 0.99), level + 0.03, front - 0.07])
        ear = np.array([sign * (skull.half_width + 0.055), level + 0.05, skull.centre[2]])
        paths.append(hinge + (ear - hinge) * np.stack([reach**0.5, reach, reach], 1))
    paths.append(np.stack([arch * 0.06, level + 0.075 - 0.02 * arch**2, np.full(9, front + 0.01)], 1))
    vertices, triangles, count = [], [], 0
    for path in paths:
        tangent = np.gradient(path, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        side = np.cross(tangent, [0.0, 0.3, 1.0])
        side /= np.linalg.norm(side, axis=1, keepdims=True)
        thick = np.full(len(path), 0.013)
        ring, faces = tube(path, thick, thick, side, np.cross(side, tangent), 8)
        vertices.append(ring)
        triangles.append(outward(ring, faces, np.repeat(path, 8, 0)) + count)
        count += len(ring)
    return Part(
        vertices=np.concatenate(vertices),
        triangles=np.concatenate(triangles).astype(np.int32),
        material=Material.GADGET,
        albedo=np.tile(np.array(colour, np.float32), (count, 1)),
    )


def build_eye(sphere: Floats) -> Part:
    """An eyeball with a slight cornea, from its fitted sphere (x, y, z, radius)."""
    direction, triangles = unit_sphere(48, 32)
    bulge = 1 + 0.045 * smoothstep(0.84, 0.97, direction[:, 2])
    lid = 0.42 + 0.58 * smoothstep(0.62, 0.05, direction[:, 1])
    corner = 0.65 + 0.35 * smoothstep(0.75, 0.45, np.abs(direction[:, 0]))
    coordinates = direction[:, :2] / EYE_TEXTURE_EXTENT * 0.5 + 0.5
    n = len(direction)
    return Part(
        vertices=(sphere[:3] + direction * (sphere[3] * 0.985 * bulge)[:, None]).astype(np.float32),
        triangles=triangles,
        material=Material.EYE,
        albedo=np.full((n, 3), 0.85, np.float32),
        texture_mix=np.ones(n, np.float32),
        texture_coordinates=coordinates.astype(np.float32),
        occlusion=(lid * corner).astype(np.float32),
    )
