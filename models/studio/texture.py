"""Painted colour: skin with lips and brows, and the iris, on texel grids."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.studio.identity import Look
from models.studio.kernels import depth_map
from models.studio.mesh import Floats, SkinPart, smoothstep
from models.studio.wardrobe import EYE_TEXTURE_EXTENT

SKIN_CENTRE_Y = 7.10
SKIN_EXTENT = 1.12
"""The skin's texture shows the base mesh from the front, this far to each side (decimetres)."""
_FLUSHES = (
    ((1.03, 0.74, 0.70), 0.72, 0.46, 6.92, 9.0, 13.0),
    ((1.02, 0.80, 0.76), 0.55, 0.00, 6.95, 30.0, 30.0),
    ((0.93, 0.84, 0.82), 0.55, 0.30, 7.21, 28.0, 90.0),
    ((0.80, 0.60, 0.56), 0.35, 0.32, 7.385, 34.0, 200.0),
)
"""Cheeks, nose, under and over the eyes: tint, share, place (x aside, y), falloff a square decimetre."""
Array = NDArray[np.float64]


def _noise(size: int, cells: float, seed: int) -> Array:
    """Smooth noise in [0, 1], (size, size), with ``cells`` cells a side."""
    n = max(int(cells), 2)
    grid = np.random.default_rng(seed).random((n, n)).astype(np.float32)
    return np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_CUBIC), np.float64)


def texture_share(rest: Floats, inside: Floats) -> Floats:
    """How much of the painted texture a skin vertex takes, by its place on the base mesh."""
    front = smoothstep(-0.2, 0.2, rest[:, 2]) * smoothstep(6.02, 6.25, rest[:, 1])
    within = smoothstep(1.10, 1.0, np.abs(rest[:, 0])) * smoothstep(8.20, 8.05, rest[:, 1])
    return np.asarray(front * within * (1 - smoothstep(0.3, 0.7, inside)), np.float32)


def skin_coordinates(rest: Floats) -> Floats:
    """Texture coordinates of skin vertices, (n, 2); v grows downward."""
    x = rest[:, 0] / SKIN_EXTENT * 0.5 + 0.5
    y = 0.5 - (rest[:, 1] - SKIN_CENTRE_Y) / SKIN_EXTENT * 0.5
    return np.stack([x, y], 1).astype(np.float32)


def _splat(part: SkinPart, values: Floats, size: int) -> Array:
    """A per-vertex value of the front-facing skin on the texel grid."""
    outer = part.inside[part.triangles].max(1) < 0.6
    outer &= part.rest[part.triangles][:, :, 2].min(1) > 0
    screen = np.c_[skin_coordinates(part.rest).astype(np.float64) * size, values]
    grid = np.full((size, size), -1.0, np.float32)
    depth_map(screen, part.triangles, (~outer).astype(np.uint8), grid)
    return np.asarray(np.maximum(grid, 0), np.float64)


def _brow_strokes(size: int, width: float, seed: int, solid: bool) -> Array:
    """Coverage of both brows by single hairs, or as ``solid`` bars, (size, size) in [0, 1]."""
    rng = np.random.default_rng(seed)
    fine = 2
    canvas = np.zeros((size * fine, size * fine), np.float32)
    per_unit = size * fine / (2 * SKIN_EXTENT)

    def pixel(x: float, y: float) -> tuple[int, int]:
        column = (x + SKIN_EXTENT) * per_unit
        row = (SKIN_EXTENT - (y - SKIN_CENTRE_Y)) * per_unit
        return round(column * 16), round(row * 16)

    for side in (1, -1):
        for _ in range(560):
            along = rng.uniform(0, 1)
            x = 0.125 + 0.50 * along
            middle = 7.505 + 0.20 * (x - 0.12) - 1.9 * max(x - 0.36, 0) ** 2
            half = 0.034 * width * (1 - 0.72 * max(along - 0.35, 0) / 0.65) * (0.30 + 0.70 * min(along / 0.22, 1))
            across = rng.normal() * 0.45
            if abs(across) > 1:
                continue
            y = middle + half * across - 0.006
            angle = np.deg2rad(58 - 50 * min(along / 0.35, 1) - 14 * along - 16 * across) + rng.normal() * 0.10
            length = (0.050 - 0.012 * along) * rng.uniform(0.7, 1.2)
            end = (x + np.cos(angle) * length, y + np.sin(angle) * length)
            shade = float(rng.uniform(0.45, 1.0))
            a, b = pixel(side * x, y), pixel(side * end[0], end[1])
            cv2.line(canvas, a, b, shade, 2, cv2.LINE_AA, 4)
    if solid:
        bars = np.asarray(cv2.GaussianBlur(cv2.resize(canvas, (size, size)), (0, 0), 4.0), np.float64)
        return smoothstep(0.25, 0.40, bars)
    soft = cv2.GaussianBlur(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), (0, 0), 0.7)
    under = cv2.GaussianBlur(soft, (0, 0), size / 180)
    return np.asarray(np.clip(soft * 0.80 + under * 0.55, 0, 0.94), np.float64)


def _beard(x: Array, y: Array, size: int, seed: int) -> Array:
    """Coverage of a short beard over jaw, chin and upper lip, sparing the mouth; ``x`` is the distance aside."""
    edge_y = 6.60 - 0.10 * smoothstep(0.30, 0.12, x) + 0.52 * smoothstep(0.50, 0.86, x)
    jaw = smoothstep(0.05, -0.05, y - edge_y) * smoothstep(6.14, 6.30, y)
    around = np.exp(-((((x - 0.27) / 0.085) ** 2 + ((y - 6.62) / 0.16) ** 2) ** 2))
    moustache = np.exp(-((((x - 0.12) / 0.20) ** 2 + ((y - 6.775) / 0.050) ** 2) ** 2))
    hairs = 0.62 + 0.30 * _beard_strokes(size, seed)
    return np.asarray(np.clip(np.maximum(np.maximum(jaw, around), moustache) * hairs, 0, 1))


def _beard_strokes(size: int, seed: int) -> Array:
    """Coverage of the lower face by short hairs that grow downward, (size, size); none finer than a pixel is wide."""
    rng, canvas = np.random.default_rng(seed), np.zeros((size, size), np.float32)
    per_unit = size / (2 * SKIN_EXTENT)
    for _ in range(34000):
        x, y = rng.uniform(-0.95, 0.95), rng.uniform(6.1, 7.2)
        column, row = (x + SKIN_EXTENT) * per_unit, (SKIN_EXTENT - (y - SKIN_CENTRE_Y)) * per_unit
        lean, length = rng.normal() * 0.35 + 0.5 * x, rng.uniform(5, 9)
        end = round((column + np.sin(lean) * length) * 16), round((row + np.cos(lean) * length) * 16)
        cv2.line(canvas, (round(column * 16), round(row * 16)), end, float(rng.uniform(0.5, 1)), 1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.9), np.float64)


def _freckles(size: int, seed: int) -> Array:
    """Coverage of spots over nose and cheeks."""
    rng, canvas = np.random.default_rng(seed), np.zeros((size, size), np.float32)
    per_unit = size / (2 * SKIN_EXTENT)
    for _ in range(34):
        x, y = rng.normal() * 0.30, 6.97 + rng.normal() * 0.055
        centre = round((x + SKIN_EXTENT) * per_unit * 16), round((SKIN_EXTENT - (y - SKIN_CENTRE_Y)) * per_unit * 16)
        cv2.circle(canvas, centre, round(rng.uniform(3.0, 5.5) * 16), 1.0, -1, cv2.LINE_AA, 4)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), 0.8), np.float64)


def paint_skin(part: SkinPart, look: Look, size: int = 1024) -> Floats:
    """The skin's albedo, (size, size, 3) linear."""
    texel = (np.arange(size) + 0.5) / size * 2 - 1
    x = np.abs(texel[None] * SKIN_EXTENT)
    y = SKIN_CENTRE_Y - texel[:, None] * SKIN_EXTENT
    rough = 0.15 if look.toon else 1.0
    tone = 0.955 + rough * (0.075 * _noise(size, 30, 1) + 0.03 * _noise(size, 90, 2))
    albedo = np.array(look.skin) * tone[..., None]

    def tint(colour: tuple[float, float, float], share: Array) -> None:
        nonlocal albedo
        albedo = albedo * (1 - share[..., None] * (1 - np.array(colour)))

    for colour, gain, centre_x, centre_y, narrow_x, narrow_y in _FLUSHES:
        tint(colour, gain * look.blush * np.exp(-(narrow_x * (x - centre_x) ** 2 + narrow_y * (y - centre_y) ** 2)))
    if look.freckles:
        tint((0.72, 0.52, 0.42), look.freckles * _freckles(size, look.seed))
    if look.beard:
        tint((0.16, 0.14, 0.15), look.beard * _beard(x, y, size, look.seed))
    lips = smoothstep(0.22, 0.78, _splat(part, part.lips, size))
    crease = 0.90 + 0.16 * _noise(size, 150, 7)
    lip_colour = np.array(look.lip) * (crease * (0.94 + 0.10 * _noise(size, 40, 8)))[..., None]
    albedo = albedo * (1 - 0.86 * lips[..., None]) + lip_colour * 0.86 * lips[..., None]
    brows = _brow_strokes(size, look.brow_width, look.seed, look.toon)[..., None]
    albedo = albedo * (1 - brows) + np.array(look.brow) * brows
    return np.asarray(np.clip(albedo, 0, 1), np.float32)


def paint_iris(look: Look, size: int = 256) -> Floats:
    """The front of the eyeball, (size, size, 3) linear: pupil, iris with fibres, white."""
    texel = ((np.arange(size) + 0.5) / size * 2 - 1) * EYE_TEXTURE_EXTENT
    x, y = np.meshgrid(texel, texel)
    radius = np.hypot(x, y)
    off_axis = np.arcsin(np.clip(radius, 0, 1))
    turn = (np.arctan2(y, x) / (2 * np.pi) + 0.5) * 255
    rays = np.random.default_rng(5).random(256)
    rays = (rays + np.roll(rays, 1)) / 2
    fibres = np.interp(turn, np.arange(256), rays) * 0.65 + 0.35 * _noise(size, 30, 3)
    iris = 0.60 * look.iris_size
    pupil = (0.46 if look.toon else 0.42) * iris
    coloured = np.array(look.iris) * (0.55 + 0.9 * fibres)[..., None]
    coloured = coloured * (0.75 + 0.45 * smoothstep(iris, pupil, off_axis))[..., None]
    coloured = coloured * (1.40 - 0.75 * smoothstep(-0.25, 0.30, y))[..., None]
    coloured = coloured * (1 - 0.75 * smoothstep(iris - 0.12, iris, off_axis))[..., None]
    red = smoothstep(0.75, 1.25, off_axis)[..., None]
    white = np.array([0.86, 0.845, 0.83]) * (1 - red) + np.array([0.80, 0.62, 0.58]) * red
    edge = smoothstep(iris - 0.035, iris + 0.04, off_axis)[..., None]
    dark = smoothstep(pupil - 0.03, pupil + 0.03, off_axis)[..., None]
    colour = coloured * (1 - edge) + white * edge
    return np.asarray(0.008 * (1 - dark) + colour * dark, np.float32)


def paint_backdrop(look: Look, size: int) -> Floats:
    """A soft out-of-focus backdrop, (size, size, 3) linear."""
    texel = (np.arange(size) + 0.5) / size * 2 - 1
    x, y = texel[None], -texel[:, None]
    rim, centre = (np.array(colour) for colour in look.background)
    share = smoothstep(0, 1.5, np.hypot(x + 0.15, y - 0.25))[..., None]
    image = centre + (rim - centre) * share
    rng = np.random.default_rng(4)
    for _ in range(7):
        spot_x, spot_y, radius = rng.uniform(-1.1, 1.1), rng.uniform(-1.1, 1.1), rng.uniform(0.1, 0.26)
        away = np.hypot(x - spot_x, y - spot_y)
        disc = 1 - smoothstep(radius * 0.8, radius, away)
        image = image + 0.03 * disc[..., None] * np.array([1, 0.93, 0.85])
    return np.asarray(image, np.float32)
