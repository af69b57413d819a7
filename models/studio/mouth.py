"""The inside of the mouth: single teeth on their gums, and the tongue.

MakeHuman has teeth only as helper bands; here they give the arches, along which single teeth of the usual
widths are set. Lower teeth follow the jaw: an affine map a blend shape, fitted to the lower band.
"""

import numpy as np
from numpy.typing import NDArray

from models.studio.lips import TEETH_BELOW_LIP_LINE
from models.studio.mesh import Floats, Ints, Material, Part, outward, smoothstep, triangles_of, tube

UPPER_WIDTHS = (0.086, 0.068, 0.078, 0.072, 0.070, 0.100)
LOWER_WIDTHS = (0.055, 0.060, 0.069, 0.072, 0.072, 0.108)
"""Mesio-distal crown widths from the midline outward, in decimetres."""
_UPPER_HEIGHTS = (0.100, 0.092, 0.098, 0.086, 0.080, 0.076)
_LOWER_HEIGHTS = (0.086, 0.088, 0.094, 0.084, 0.080, 0.076)
_ENAMEL = np.array([0.98, 0.92, 0.815])
_GUM = np.array([0.42, 0.145, 0.135])
_AROUND, _DOWN = 14, 8


def _crown() -> tuple[NDArray[np.float64], Ints]:
    """A rounded box of half axes 1: x across, y up, z outward."""
    azimuth = np.linspace(0, 2 * np.pi, _AROUND, endpoint=False)
    height = np.linspace(-np.pi / 2, np.pi / 2, _DOWN + 1)

    def rounded(value: NDArray[np.float64], power: float) -> NDArray[np.float64]:
        return np.asarray(np.sign(value) * np.abs(value) ** power)

    ring = rounded(np.cos(height), 0.45)
    points = np.stack(
        [
            np.outer(ring, rounded(np.cos(azimuth), 0.62)),
            np.outer(rounded(np.sin(height), 0.62), np.ones(_AROUND)),
            np.outer(ring, rounded(np.sin(azimuth), 0.75)),
        ],
        -1,
    ).reshape(-1, 3)
    row = np.arange(_DOWN)[:, None] * _AROUND
    k, after = np.arange(_AROUND)[None], (np.arange(_AROUND)[None] + 1) % _AROUND
    quads = np.stack([row + k, row + after, row + _AROUND + after, row + _AROUND + k], -1).reshape(-1, 4)
    return points, outward(points, triangles_of(quads), np.zeros(3))


class _Arch:
    """A half ellipse in the horizontal plane, by arc length from the midline."""

    def __init__(self, half_width: float, back_z: float, front_z: float) -> None:
        t = np.linspace(0, np.pi / 2, 400)
        self._x, self._z = half_width * np.sin(t), back_z + (front_z - back_z) * np.cos(t)
        step = np.hypot(np.diff(self._x), np.diff(self._z))
        self._length = np.r_[0.0, np.cumsum(step)]

    def at(self, length: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Point (x, z) and unit outward normal (x, z) at a signed arc length, at most at the arch's end."""
        side, s = (1.0 if length >= 0 else -1.0), min(abs(length), float(self._length[-1]))

        def point(where: float) -> NDArray[np.float64]:
            return np.array([np.interp(where, self._length, self._x), np.interp(where, self._length, self._z)])

        tangent = point(s + 0.01) - point(max(s - 0.01, 0.0))
        normal = np.array([-tangent[1], tangent[0]]) / np.linalg.norm(tangent)
        return point(s) * [side, 1], normal * [side, 1]


def _enamel(crown: NDArray[np.float64], up: float, index: int) -> NDArray[np.float64]:
    """Albedo of tooth ``index`` from the midline: warm at the neck, cool and darker at the edge, dark in the gaps."""
    side = smoothstep(0.62, 1.0, np.abs(crown[:, 0]))[:, None]
    neck = smoothstep(0.0, 1.0, crown[:, 1] * up)[:, None]
    edge = smoothstep(-0.7, -1.0, crown[:, 1] * up)[:, None]
    tooth = _ENAMEL * (1 - 0.025 * index) * (1 - neck * [0.03, 0.10, 0.20]) * (1 - edge * [0.12, 0.09, 0.07])
    return np.asarray(tooth * (1 - side * [0.40, 0.50, 0.54]))


def _row(
    arch: _Arch, edge_y: float, up: float, widths: tuple[float, ...], heights: tuple[float, ...]
) -> tuple[Floats, Ints, Floats]:
    """One row of teeth with its gum; ``edge_y`` is the biting edge, ``up`` +1 for the upper row."""
    crown, crown_triangles = _crown()
    vertices, triangles, albedo, count = [], [], [], 0
    for side in (1.0, -1.0):
        length = 0.0
        for index, (width, height) in enumerate(zip(widths, heights, strict=True)):
            middle, normal = arch.at(side * (length + width / 2))
            length += width
            across = np.array([normal[1], -normal[0]])
            drop = 0.006 if index == 1 else 0.0
            local_y = crown[:, 1] * height / 2 + up * (height / 2 + drop)
            taper = 1 - 0.10 * smoothstep(0.0, 1.0, crown[:, 1] * up)
            x = crown[:, 0] * (width / 2 * 0.985) * taper
            z = crown[:, 2] * 0.026 * (1 - 0.25 * (crown[:, 1] * up < 0))
            point = middle[None] + x[:, None] * across + z[:, None] * normal
            vertices.append(np.stack([point[:, 0], edge_y + local_y, point[:, 1]], 1))
            albedo.append(_enamel(crown, up, index))
            triangles.append(crown_triangles + count)
            count += len(crown)
    lengths = np.linspace(-0.50, 0.50, 61)
    path = np.array([np.r_[arch.at(s)[0], 0.0] for s in lengths])[:, [0, 2, 1]]
    path[:, 1] = edge_y + up * (heights[0] + 0.022)
    normals = np.array([arch.at(s)[1] for s in lengths])
    side_vector = np.stack([normals[:, 0], np.zeros(61), normals[:, 1]], 1)
    gum, gum_triangles = tube(
        path, np.full(61, 0.030), np.full(61, 0.034), side_vector, np.tile([0.0, 1.0, 0.0], (61, 1)), 8
    )
    vertices.append(gum)
    triangles.append(outward(gum, gum_triangles, np.repeat(path, 8, 0)) + count)
    albedo.append(np.tile(_GUM, (len(gum), 1)))
    return (
        np.concatenate(vertices).astype(np.float32),
        np.concatenate(triangles).astype(np.int32),
        np.concatenate(albedo).astype(np.float32),
    )


def _depth_shade(vertices: Floats) -> NDArray[np.float64]:
    """How much light reaches a point of the mouth at rest: less toward the back and the corners."""
    depth = smoothstep(-0.34, -0.02, vertices[:, 2] - vertices[:, 2].max())
    return (0.06 + 0.94 * depth) * (1 - 0.4 * smoothstep(0.14, 0.27, np.abs(vertices[:, 0])))


def lip_shadow(vertices: Floats, rims: Floats) -> NDArray[np.float64]:
    """Share of light left to points of the mouth under the lips' soft shadow, (n,).

    Args:
        vertices: (n, 3) of teeth or tongue, posed.
        rims: (columns, 2, 3) rims of the upper and lower lip, posed; see ``Pose.lip_rims``.
    """
    x = vertices[:, 0]
    upper = np.interp(x, rims[:, 0, 0], rims[:, 0, 1]) - vertices[:, 1]
    lower = vertices[:, 1] - np.interp(x, rims[:, 1, 0], rims[:, 1, 1])
    return (0.58 + 0.42 * smoothstep(-0.015, 0.05, upper)) * (0.62 + 0.38 * smoothstep(-0.02, 0.05, lower))


def build_teeth(band: Floats, band_deltas: Floats, lip_line_y: float) -> tuple[Part, NDArray[np.intp], Floats]:
    """Teeth from MakeHuman's bands.

    Args:
        band: (n, 3) vertices of both helper bands.
        band_deltas: (52, n, 3) their blend shapes.
        lip_line_y: height of the closed lips.

    Returns:
        The part, the indices of the vertices that move, and (52, moving, 3) their deltas.
    """
    jaw = np.abs(band_deltas).max((0, 2)) > 0.02
    upper, lower = band[~jaw], band[jaw]
    rows = []
    for points, up, edge, inset, widths, heights in (
        (upper, 1.0, lip_line_y - TEETH_BELOW_LIP_LINE, 0.030, UPPER_WIDTHS, _UPPER_HEIGHTS),
        (lower, -1.0, lip_line_y - 0.052, 0.060, LOWER_WIDTHS, _LOWER_HEIGHTS),
    ):
        half = float(np.abs(points[:, 0]).max()) - 0.035
        arch = _Arch(half, float(points[:, 2].min()), float(points[:, 2].max()) - inset)
        rows.append(_row(arch, edge, up, widths, heights))
    vertices = np.concatenate([rows[0][0], rows[1][0]])
    triangles = np.concatenate([rows[0][1], rows[1][1] + len(rows[0][0])])
    shade = _depth_shade(vertices)
    part = Part(
        vertices=vertices,
        triangles=triangles.astype(np.int32),
        material=Material.TEETH,
        albedo=np.concatenate([rows[0][2], rows[1][2]]),
        occlusion=shade.astype(np.float32),
    )
    moving = np.arange(len(rows[0][0]), len(vertices))
    system = np.c_[lower, np.ones(len(lower))].astype(np.float64)
    maps = np.linalg.lstsq(system, band_deltas[:, jaw].transpose(1, 0, 2).reshape(len(lower), -1), rcond=None)
    deltas = (np.c_[vertices[moving], np.ones(len(moving))] @ maps[0]).reshape(len(moving), -1, 3)
    return part, moving, deltas.transpose(1, 0, 2).astype(np.float32)


def build_tongue(vertices: Floats, triangles: Ints) -> Part:
    """The tongue, lower and further back than MakeHuman's, with a groove, dark toward the throat and the sides."""
    placed = vertices + np.array([0, -0.075, -0.07], np.float32)
    across, length = np.abs(placed[:, 0]), placed[:, 2] - placed[:, 2].max()
    groove = np.exp(-((across / 0.045) ** 2)) * smoothstep(-0.04, -0.16, length)
    placed[:, 1] -= (0.022 * groove).astype(np.float32)
    depth = smoothstep(-0.42, -0.03, length)
    light = (0.04 + 0.96 * depth**1.8) * (1 - 0.35 * groove) * (1 - 0.45 * smoothstep(0.10, 0.21, across))
    return Part(
        vertices=placed,
        triangles=triangles,
        material=Material.TONGUE,
        albedo=np.tile(np.array([0.56, 0.175, 0.165], np.float32), (len(placed), 1)),
        occlusion=light.astype(np.float32),
    )
