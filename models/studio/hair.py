"""Hair as layered clumps, each a flat tube, laid over an ellipsoid fitted to the skull; ``hair_styles`` lays them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.studio.mesh import Floats, Material, Part, outward, smoothstep, tube

Array = NDArray[np.float64]
_SIDES = 6
_SECTIONS = 18
_TURNS = 1 / 6
"""Share of the strand texture's width that goes around one clump."""


@dataclass(frozen=True)
class Skull:
    """A superellipsoid around the cranium."""

    centre: Array
    half_width: float
    half_height: float
    front: float
    back: float

    def shell(self, azimuth: Array, elevation: Array, offset: Array | float) -> Array:
        """Points ``offset`` above the skull; azimuth 0 is the face, elevation pi / 2 the crown."""
        azimuth, elevation = np.broadcast_arrays(azimuth, elevation)
        direction = np.stack(
            [
                np.sin(azimuth) * np.cos(elevation),
                np.sin(elevation),
                np.cos(azimuth) * np.cos(elevation),
            ],
            -1,
        )
        depth = np.where(direction[..., 2] > 0, self.front, self.back)
        power = 2.25
        radius = (
            np.abs(direction[..., 0] / self.half_width) ** power
            + np.abs(direction[..., 1] / self.half_height) ** power
            + np.abs(direction[..., 2] / depth) ** power
        ) ** (-1 / power)
        return np.asarray(self.centre + direction * (radius + offset)[..., None])


def fit_skull(skin: Floats) -> Skull:
    """Measure the cranium of a head's skin vertices."""
    level = 0.75
    top = float(skin[:, 1].max())
    cranium = skin[skin[:, 1] > 0.55]
    ring = skin[np.abs(skin[:, 1] - level) < 0.07]
    centre_z = float(cranium[:, 2].max() + cranium[:, 2].min()) / 2 - 0.03
    return Skull(
        np.array([0.0, level, centre_z]),
        float(np.abs(ring[:, 0]).max()),
        top - level,
        float(ring[:, 2].max()) - centre_z,
        centre_z - float(ring[:, 2].min()),
    )


def hairline(azimuth_degrees: Array | float) -> Array:
    """Elevation in degrees where hair begins; azimuth 0 is the middle of the forehead."""
    azimuth = np.asarray(azimuth_degrees, np.float64)
    return 42 - 52 * smoothstep(25, 95, azimuth) - 30 * smoothstep(95, 130, azimuth)


def scalp_mask(skin: Floats, skull: Skull) -> Floats:
    """1 where skin lies under hair, soft at the hairline."""
    from_centre = skin - skull.centre
    elevation = np.arctan2(from_centre[:, 1], np.hypot(from_centre[:, 0], from_centre[:, 2]))
    azimuth = np.rad2deg(np.abs(np.arctan2(from_centre[:, 0], from_centre[:, 2])))
    line = hairline(azimuth)
    above = smoothstep(-0.05, 0.10, elevation - np.deg2rad(line))
    return np.asarray(above * (skin[:, 1] > -0.4), np.float32)


class Clumps:
    """Collects clumps into one part."""

    def __init__(self, skull: Skull, colour: tuple[float, float, float]) -> None:
        self._skull, self._colour = skull, np.array(colour)
        self._vertices: list[Floats] = []
        self._triangles: list[NDArray[np.int32]] = []
        self._columns: list[Array] = []
        self._count = 0

    def add(
        self, path: Array, width: float, thickness: float, tone: float, phase: float, pointed: bool = False
    ) -> None:
        """One clump along ``path``; ``tone`` in [-1, 1] lightens it, ``phase`` shifts its strands."""
        path = path.copy()
        for _ in range(2):
            path[1:-1] = (path[:-2] + 2 * path[1:-1] + path[2:]) / 4
        tangent = np.gradient(path, axis=0)
        tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
        out = path - self._skull.centre
        out[:, 1] *= path[:, 1] > self._skull.centre[1]
        out -= tangent * np.einsum("ij,ij->i", out, tangent)[:, None]
        out /= np.linalg.norm(out, axis=1, keepdims=True) + 1e-9
        t = np.linspace(0, 1, len(path))
        tip = np.sqrt(np.clip(1 - ((t - 0.72) / 0.28) ** 2, 0.01, 1))
        profile = np.minimum(1, t / 0.12 + 0.25) * np.where(t > 0.72, tip, 1)
        if pointed:
            profile = np.minimum(1, t / 0.25 + 0.45) * np.clip(1 - ((t - 0.35) / 0.66).clip(0) ** 1.6, 0.02, 1)
        vertices, triangles = tube(path, width * profile, thickness * profile, np.cross(tangent, out), out, _SIDES)
        self._vertices.append(vertices)
        self._triangles.append(outward(vertices, triangles, np.repeat(path, _SIDES, 0)) + self._count)
        self._count += len(vertices)
        around = np.tile(np.minimum(np.arange(_SIDES), _SIDES - np.arange(_SIDES)), len(path))
        along = np.repeat(t, _SIDES)
        column = [phase + around * _TURNS / 3, 0.05 + 0.9 * along, along, np.full(len(vertices), tone)]
        self._columns.append(np.c_[np.stack(column, 1), np.repeat(tangent, _SIDES, 0)])

    def part(self) -> Part:
        """All clumps as one part."""
        vertices = np.concatenate(self._vertices)
        columns = np.concatenate(self._columns)
        root = 0.55 + 0.45 * smoothstep(0, 0.25, columns[:, 2])
        return Part(
            vertices=vertices,
            triangles=np.concatenate(self._triangles).astype(np.int32),
            material=Material.HAIR,
            albedo=(self._colour * (0.92 + 0.22 * columns[:, 3:4])).astype(np.float32),
            occlusion=(root * np.where(vertices[:, 2] < 0.15, 0.65, 1)).astype(np.float32),
            texture_mix=np.ones(len(vertices), np.float32),
            texture_coordinates=columns[:, :2].astype(np.float32),
            tangent=columns[:, 4:].astype(np.float32),
        )


def strand_texture(size: int, seed: int) -> Floats:
    """(size, size) brightness factors around 1: fine streaks along v, repeating in u."""
    rng = np.random.default_rng(seed)
    total = np.zeros((size, size))
    for columns, rows, gain in ((size // 2, 4, 0.30), (size // 5, 3, 0.36), (size // 12, 5, 0.26)):
        grid = rng.normal(size=(rows, columns))
        grid = np.repeat(grid, -(-size // columns), axis=1)[:, :size]
        y = np.linspace(0, rows - 1.001, size)
        low, blend = y.astype(int), (y % 1)[:, None]
        blend = blend * blend * (3 - 2 * blend)
        high = np.minimum(low + 1, rows - 1)
        total += gain * (grid[low] * (1 - blend) + grid[high] * blend)
    total = (np.roll(total, 1, 1) + 2 * total + np.roll(total, -1, 1)) / 4
    return np.asarray(np.clip(1 + 0.62 * total, 0.35, 1.9), np.float32)
