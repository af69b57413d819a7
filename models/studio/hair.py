"""Hair as layered clumps, each a flat tube, laid over an ellipsoid fitted to the skull."""

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


def scalp_mask(skin: Floats, skull: Skull) -> Floats:
    """1 where skin lies under hair, soft at the hairline."""
    from_centre = skin - skull.centre
    elevation = np.arctan2(from_centre[:, 1], np.hypot(from_centre[:, 0], from_centre[:, 2]))
    azimuth = np.rad2deg(np.abs(np.arctan2(from_centre[:, 0], from_centre[:, 2])))
    line = _hairline(azimuth)
    above = smoothstep(-0.05, 0.10, elevation - np.deg2rad(line))
    return np.asarray(above * (skin[:, 1] > -0.4), np.float32)


class _Clumps:
    """Collects clumps into one part."""

    def __init__(self, skull: Skull, colour: tuple[float, float, float]) -> None:
        self._skull, self._colour = skull, np.array(colour)
        self._vertices: list[Floats] = []
        self._triangles: list[NDArray[np.int32]] = []
        self._columns: list[Array] = []
        self._count = 0

    def add(self, path: Array, width: float, thickness: float, tone: float, phase: float) -> None:
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


def _fall(
    skull: Skull, start: tuple[float, float], end_azimuth: float, end_y: float, offset: float, flick: float
) -> Array:
    """A path over the skull from (azimuth, elevation) down to its equator, then hanging to ``end_y``."""
    azimuth, elevation = start
    t = np.linspace(0, 1, _SECTIONS)
    turn = 0.62 if end_y < 0.3 else 0.85
    u = np.clip(t / turn, 0, 1)
    over = skull.shell(
        azimuth + (end_azimuth - azimuth) * smoothstep(0, 1, u) ** 0.8,
        elevation * (1 - u),
        offset + 0.03 * np.sin(np.pi * u),
    )
    q = np.clip((t - turn) / (1 - turn), 0, 1)
    equator = skull.shell(np.array([end_azimuth]), np.array([0.0]), offset)[0]
    hanging = equator[None] + np.stack([0 * q, (end_y - equator[1]) * q, 0 * q], 1)
    away = np.array([np.sin(end_azimuth), 0, np.cos(end_azimuth)])
    hanging += away * (0.10 * np.sin(np.pi * q) + flick * q**2)[:, None]
    return np.where((t > turn)[:, None], hanging, over)


def build_hair(skull: Skull, style: str, colour: tuple[float, float, float], seed: int) -> Part:
    """A head of hair; ``style`` is ``bob`` (to the jaw) or ``short``."""
    rng = np.random.default_rng(seed)
    clumps = _Clumps(skull, colour)
    (_short if style == "short" else _bob)(skull, clumps, rng)
    return clumps.part()


def _hairline(azimuth_degrees: Array | float) -> Array:
    """Elevation in degrees where hair begins; azimuth 0 is the middle of the forehead."""
    azimuth = np.asarray(azimuth_degrees, np.float64)
    return 42 - 52 * smoothstep(25, 95, azimuth) - 30 * smoothstep(95, 130, azimuth)


def _short(skull: Skull, clumps: _Clumps, rng: np.random.Generator) -> None:
    """Cropped at the sides and the back, combed up and back from the forehead."""
    t = np.linspace(0, 1, 9)
    for _ in range(420):
        azimuth = rng.uniform(40, 320)
        line = float(_hairline(180 - abs(azimuth - 180)))
        root = line + 6 + (80 - line) * rng.uniform() ** 1.3
        tip = max(root - 26, line - 5 + rng.normal() * 2)
        lift = 0.012 + 0.035 * np.sin(np.pi * t * 0.8) + rng.uniform(0, 0.015)
        turn = rng.normal() * 5
        path = skull.shell(np.deg2rad(azimuth + turn * t), np.deg2rad(root + (tip - root) * t), lift)
        clumps.add(path, 0.055, 0.020, rng.uniform(-1, 1), rng.uniform())
    for layer in range(4):
        for _ in range(95):
            azimuth = rng.uniform(-72, 72)
            root = float(_hairline(abs(azimuth))) - 11 + 13 * layer + rng.normal() * 2.0
            tip = root + 52 + rng.normal() * 4
            lift = 0.004 + (0.13 - 0.015 * layer) * np.sin(np.pi * t * 0.62) ** 0.8 + rng.uniform(0, 0.02)
            turn = 16 + rng.normal() * 5
            path = skull.shell(np.deg2rad(azimuth + turn * t), np.deg2rad(root + (tip - root) * t), lift)
            clumps.add(path, 0.062, 0.030, rng.uniform(-1, 1), rng.uniform())


def _bob(skull: Skull, clumps: _Clumps, rng: np.random.Generator) -> None:
    """To the jaw, parted at the side."""
    back_y, side_y, front_y = -0.78, -0.64, -0.54
    degrees = np.deg2rad
    for layer, (offset, count, width) in enumerate(((0.05, 60, 0.13), (0.10, 64, 0.10), (0.14, 52, 0.075))):
        for index in range(count):
            share = (index + 0.5) / count
            end = degrees(72 + 216 * share) + rng.normal() * 0.03
            back = np.sin(share * np.pi)
            end_y = side_y + (back_y - side_y) * back + rng.normal() * 0.035 + 0.09 * layer
            start = (end + rng.normal() * 0.1, degrees(82))
            path = _fall(skull, start, end, end_y, offset + rng.normal() * 0.010, -0.16)
            clumps.add(path, width, 0.045, rng.uniform(-1, 1), rng.uniform())
    parting = degrees(-18)
    for offset, count, width in ((0.06, 20, 0.115), (0.095, 22, 0.08), (0.125, 20, 0.058)):
        for index in range(count):
            share = (index + rng.uniform(0.2, 0.8)) / count
            for side in (1, -1):
                start = (parting + side * degrees(1 + 4 * share), degrees(43 + 44 * share))
                end = degrees(side * 78 * (0.93 + 0.14 * share))
                end_y = front_y + 0.06 * rng.normal()
                path = _fall(skull, start, end, end_y, offset + rng.normal() * 0.008, -0.12)
                clumps.add(path, width, 0.038, rng.uniform(-1, 1), rng.uniform())


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
