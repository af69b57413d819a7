"""Heads of hair: how each style lays its clumps over the skull."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from models.studio.hair import Array, Clumps, Skull, hairline
from models.studio.identity import Look
from models.studio.mesh import Part, smoothstep

_SECTIONS = 18
_CROP_LOW_DEG = 7
"""Short hair shows its line, long hair covers it: a crop begins this much lower."""


@dataclass(frozen=True)
class _Fall:
    """Hair that falls from a parting: heights in decimetres over the neck's top, angles in degrees."""

    back_y: float
    side_y: float
    front_y: float
    parting: float
    volume: float = 0.0
    """How far the outer layers stand off, beyond a smooth head of hair."""
    wave: float = 0.0
    """Amplitude of waves along the hair."""
    flick: float = -0.16
    """Outward turn of the tips; negative turns them in."""
    fringe: float = 1.0
    """How fast the front locks drop over the forehead: 1 swept aside, 2 a fringe."""


_FALLS: Final[Mapping[str, _Fall]] = {
    "bob": _Fall(back_y=-0.86, side_y=-0.74, front_y=-0.60, parting=-20, volume=0.0, wave=0.006, fringe=2.6),
    "waves": _Fall(
        back_y=-0.30, side_y=-0.12, front_y=0.02, parting=24, volume=0.050, wave=0.030, flick=0.05, fringe=1.15
    ),
    "long": _Fall(back_y=-1.30, side_y=-1.15, front_y=-1.05, parting=3, wave=0.012, flick=0.02, fringe=1.1),
    "lob": _Fall(back_y=-0.62, side_y=-0.52, front_y=-0.45, parting=12, volume=0.03, wave=0.045, fringe=1.3),
    "short": _Fall(
        back_y=-0.02, side_y=0.36, front_y=0.46, parting=-26, volume=0.02, wave=0.006, flick=-0.05, fringe=1.5
    ),
}


@dataclass(frozen=True)
class _Curls:
    """Hair that stands off the skull all over, close at the sides and the nape."""

    length: float = 1.0
    """Factor on a crop's length."""
    width: float = 0.030
    """Of a clump, in decimetres."""


_CURLS: Final[Mapping[str, _Curls]] = {
    "crop": _Curls(),
    "buzz": _Curls(length=0.30, width=0.026),
    "afro": _Curls(length=2.6, width=0.052),
}


def build_hair(skull: Skull, look: Look) -> Part:
    """The head of hair of ``look.hair_style``."""
    rng = np.random.default_rng(look.seed)
    clumps = Clumps(skull, look.hair)
    if look.hair_style in _FALLS:
        _falling(skull, clumps, rng, _FALLS[look.hair_style])
    elif look.hair_style in _CURLS:
        _curly(skull, clumps, rng, _CURLS[look.hair_style])
    else:
        _OTHERS[look.hair_style](skull, clumps, rng)
    return clumps.part()


def _strand(
    skull: Skull, start: tuple[float, float], end_azimuth: float, end_y: float, offset: float, style: _Fall, drop: float
) -> Array:
    """A path over the skull from (azimuth, elevation) down to its equator, then hanging to ``end_y``."""
    azimuth, elevation = start
    t = np.linspace(0, 1, _SECTIONS)
    turn = 0.62 if end_y < 0.3 else 0.85
    u = np.clip(t / turn, 0, 1)
    over = skull.shell(
        azimuth + (end_azimuth - azimuth) * smoothstep(0, 1, u) ** 0.8,
        elevation * (1 - u) ** drop,
        offset + (0.03 + style.volume) * np.sin(np.pi * u * 0.9) ** 0.7,
    )
    q = np.clip((t - turn) / (1 - turn), 0, 1)
    low = offset + (0.03 + style.volume) * np.sin(np.pi * 0.9) ** 0.7
    equator = skull.shell(np.array([end_azimuth]), np.array([0.0]), low)[0]
    hanging = equator[None] + np.stack([0 * q, (end_y - equator[1]) * q, 0 * q], 1)
    away = np.array([np.sin(end_azimuth), 0, np.cos(end_azimuth)])
    hanging += away * (0.10 * np.sin(np.pi * q) + style.flick * q**2)[:, None]
    return np.where((t > turn)[:, None], hanging, over)


def _waved(path: Array, style: _Fall, rng: np.random.Generator) -> Array:
    """The path swinging from side to side, more toward its tip."""
    t = np.linspace(0, 1, len(path))
    phase = rng.normal() * 0.5
    swing = style.wave * np.sin(2 * np.pi * (2.4 * t) + phase) * smoothstep(0.05, 0.4, t)
    lift = style.wave * np.cos(2 * np.pi * (2.4 * t) + phase) * smoothstep(0.05, 0.4, t)
    flat = path * [1, 0, 1]
    out = flat / (np.linalg.norm(flat, axis=1, keepdims=True) + 1e-9)
    side = np.stack([out[:, 2], 0 * t, -out[:, 0]], 1)
    return np.asarray(path + side * swing[:, None] + out * lift[:, None])


def _falling(skull: Skull, clumps: Clumps, rng: np.random.Generator, style: _Fall) -> None:
    """Back and sides in three layers, then both sides of the parting, then stray hairs."""
    degrees = np.deg2rad
    for layer, (offset, count, width) in enumerate(((0.05, 60, 0.13), (0.10, 64, 0.10), (0.14, 60, 0.070))):
        for index in range(count):
            share = (index + 0.5) / count
            end = degrees(72 + 216 * share) + rng.normal() * 0.03
            back = np.sin(share * np.pi)
            end_y = style.side_y + (style.back_y - style.side_y) * back + rng.normal() * 0.035 + 0.06 * layer
            start = (end + rng.normal() * 0.1, degrees(82))
            path = _strand(skull, start, end, end_y, offset + rng.normal() * 0.010, style, 1.0)
            clumps.add(_waved(path, style, rng), width, 0.045, rng.uniform(-1, 1), rng.uniform())
    parting = degrees(style.parting)
    wide = 1 if style.parting < 0 else -1
    for offset, count, width in ((0.06, 24, 0.115), (0.095, 26, 0.08), (0.125, 26, 0.055)):
        for index in range(count):
            share = (index + rng.uniform(0.2, 0.8)) / count
            for side in (1, -1):
                start = (parting + side * degrees(1 + 4 * share), degrees(46 + 41 * share))
                end = degrees(side * 78 * (0.93 + 0.14 * share))
                end_y = style.front_y + 0.06 * rng.normal()
                drop = 1 + (style.fringe - 1) * (1 - share) * (1.0 if side == wide else 0.45)
                path = _strand(skull, start, end, end_y, offset + rng.normal() * 0.008, style, drop)
                clumps.add(_waved(path, style, rng), width, 0.038, rng.uniform(-1, 1), rng.uniform())
    _stray(skull, clumps, rng, style)


def _stray(skull: Skull, clumps: Clumps, rng: np.random.Generator, style: _Fall) -> None:
    """Single hairs above the others: what makes an outline soft."""
    for _ in range(70):
        end = np.deg2rad(rng.uniform(60, 300))
        start = (np.deg2rad(style.parting) + rng.normal() * 0.4, np.deg2rad(84))
        end_y = style.side_y + rng.uniform(-0.02, 0.20)
        path = _strand(skull, start, end, end_y, 0.155 + abs(rng.normal()) * 0.022, style, 1.0)
        clumps.add(_waved(path, style, rng), 0.007, 0.006, rng.uniform(0, 1), rng.uniform())


def _curly(skull: Skull, clumps: Clumps, rng: np.random.Generator, style: _Curls) -> None:
    """Tight curls, close at the sides and the nape, higher on top."""
    t = np.linspace(0, 1, 6)
    count = 1500
    for index in range(count):
        height = 1 - 1.62 * (index + 0.5) / count
        azimuth = (137.508 * index) % 360 + rng.normal() * 3
        elevation = np.rad2deg(np.arcsin(height))
        line = float(hairline(180 - abs(azimuth % 360 - 180))) - _CROP_LOW_DEG
        over = elevation - line + rng.normal() * 1.2
        if over < 0:
            continue
        length = 0.018 + 0.070 * float(smoothstep(8, 46, np.array(over))) * rng.uniform(0.75, 1.15)
        length *= style.length
        turn, curl = rng.uniform(0, 2 * np.pi), 5.0 * np.sqrt(length / 0.08)
        swirl = curl * t * np.exp(1j * (turn + 4.2 * t))
        path = skull.shell(
            np.deg2rad(azimuth + swirl.real / max(np.cos(np.deg2rad(elevation)), 0.25)),
            np.deg2rad(elevation + swirl.imag),
            length * np.sin(np.pi * 0.62 * t) - 0.004,
        )
        clumps.add(path, style.width, 0.8 * style.width, rng.uniform(-1, 1), rng.uniform())


def _mop(skull: Skull, clumps: Clumps, rng: np.random.Generator) -> None:
    """A drawn mop: few thick locks that end in points, from a whorl at the crown, the front swept to one side."""
    t = np.linspace(0, 1, 14)
    for layer, (count, offset, width) in enumerate(((26, 0.02, 0.24), (24, 0.08, 0.21), (19, 0.13, 0.19))):
        for index in range(count):
            azimuth = 360 * (index + 0.5 * (layer % 2)) / count + rng.normal() * 2.5
            aside = 180 - abs(azimuth % 360 - 180)
            sweep = 26 if aside < 75 else 8
            end = (
                12 - 28 * float(smoothstep(48, 80, np.array(aside))) - 22 * float(smoothstep(110, 150, np.array(aside)))
            )
            end += 7 * layer + rng.normal() * 3
            elevation = 82 + (end - 82) * t**0.85
            lift = offset + 0.11 * np.sin(np.pi * t * 0.72) + (0.05 + 0.02 * layer) * t**3
            path = skull.shell(np.deg2rad(azimuth - 20 + (20 + sweep) * t**1.2), np.deg2rad(elevation), lift)
            clumps.add(path, width, 0.060, rng.uniform(-1, 1), 0.0, pointed=True)
    for index in range(7):
        lift = 0.12 + 0.22 * t
        azimuth = 50 * index + rng.uniform(0, 30)
        path = skull.shell(np.deg2rad(azimuth + 30 * t), np.deg2rad(86 - 26 * t), lift)
        clumps.add(path, 0.10, 0.05, rng.uniform(-1, 1), 0.0, pointed=True)


def _swept(skull: Skull, clumps: Clumps, rng: np.random.Generator) -> None:
    """Combed back from the hairline over the crown to the nape, in three layers."""
    t = np.linspace(0, 1, _SECTIONS)
    for offset, count, width in ((0.02, 84, 0.10), (0.05, 84, 0.075), (0.075, 70, 0.05)):
        for index in range(count):
            azimuth = 300 * (index + rng.uniform(0.2, 0.8)) / count - 150
            line = float(hairline(abs(azimuth))) - 3 + 10 * (offset / 0.075) * rng.uniform(0, 1)
            start = skull.shell(np.deg2rad(np.array([azimuth])), np.deg2rad(np.array([line])), 0.0)[0] - skull.centre
            side = np.sign(azimuth) * rng.uniform(0.02, 0.30)
            low = -0.35 - 0.25 * abs(azimuth) / 150
            end = np.array([side, low, -1.0])
            start, end = start / np.linalg.norm(start), end / np.linalg.norm(end)
            apart = np.arccos(np.clip(start @ end, -1, 1))
            way = (np.sin((1 - t) * apart)[:, None] * start + np.sin(t * apart)[:, None] * end) / np.sin(apart)
            lift = offset + 0.10 * np.sin(np.pi * np.clip(t, 0, 0.9)) * np.clip(np.cos(np.deg2rad(azimuth)), 0.15, 1)
            path = skull.shell(np.arctan2(way[:, 0], way[:, 2]), np.arcsin(np.clip(way[:, 1], -1, 1)), lift)
            clumps.add(path, width, 0.036, rng.uniform(-1, 1), rng.uniform())


def _bun(skull: Skull, clumps: Clumps, rng: np.random.Generator) -> None:
    """Combed back into a knot on the crown."""
    _swept(skull, clumps, rng)
    t = np.linspace(0, 1, _SECTIONS)
    top = skull.centre + [0.0, skull.half_height + 0.20, -0.30 * skull.back]
    for _ in range(70):
        around = 2 * np.pi * (rng.uniform() + 0.55 * t)
        height = np.arcsin(np.clip(rng.uniform(-0.9, 0.9) + 0.25 * np.sin(np.pi * t), -0.98, 0.98))
        way = np.stack([np.sin(around) * np.cos(height), np.sin(height), np.cos(around) * np.cos(height)], 1)
        clumps.add(top + way * [0.30, 0.26, 0.30], 0.07, 0.03, rng.uniform(-1, 1), rng.uniform())


_OTHERS: Final[Mapping[str, Callable[[Skull, Clumps, np.random.Generator], None]]] = {
    "mop": _mop,
    "swept": _swept,
    "bun": _bun,
}
HAIR_STYLES: Final = frozenset(_FALLS) | frozenset(_CURLS) | frozenset(_OTHERS)
