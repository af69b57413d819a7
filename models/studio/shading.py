"""The renderer's loops over light and colour: light a vertex, shade a sample, resolve a pixel."""
# pragma: no cover file - compiled

import numpy as np

from models.studio.jit import compiled
from models.studio.kernels import EYE, GADGET, HAIR, LASH, SKIN, TEETH, TONGUE, Bytes, Doubles, Floats, Ints

INK_FACING, INK_FACING_SKIN = 0.30, 0.16
"""A cartoon's outline: where a surface's normal is turned farther than this cosine from the eye."""
TONE_EDGE, TONE_SOFT = 0.62, 0.09
"""Brightness that parts a cartoon's two tones, and half the width of the step."""


@compiled
def light(
    seen: Bytes,
    world: Doubles,
    normals: Doubles,
    tangents: Floats,
    occlusion: Floats,
    visibility: Floats,
    kind: Bytes,
    gloss: Floats,
    local_light: Floats,
    hair: Doubles,
    eye: Doubles,
    key: Doubles,
    colours: Doubles,
    diffuse: Floats,
    specular: Floats,
) -> None:
    """Light a vertex: key with baked soft shadow, fill, sky, rim; wrapped for skin, stranded for hair.

    ``local_light`` (n,) is what lips and lids let through. ``gloss`` is (n, 3): subsurface share, roughness,
    specular gain (0.25 is plain hair). ``key`` and ``colours`` are a ``Light``'s.
    Hair follows Kajiya & Kay 1989.
    """
    fill = np.array([0.78, 0.13, 0.61])
    rim_a, rim_b = np.array([0.577, 0.371, -0.742]), np.array([-0.667, 0.292, -0.667])
    key_colour, key_tint, fill_colour = colours[0], colours[1], colours[2]
    ground, sky, rim_gain = colours[3], colours[4], colours[5, 0]
    wrap_tint, rim_tint = np.array([0.42, 0.24, 0.16]), np.array([1.0, 0.9, 0.8])
    strand_tint = np.array([1.0, 0.9, 0.75])
    for i in range(len(world)):
        if seen[i] == 0:
            continue
        vx, vy, vz = eye[0] - world[i, 0], eye[1] - world[i, 1], eye[2] - world[i, 2]
        scale = 1 / np.sqrt(vx * vx + vy * vy + vz * vz)
        vx, vy, vz = vx * scale, vy * scale, vz * scale
        nx, ny, nz = normals[i, 0], normals[i, 1], normals[i, 2]
        m = kind[i]
        if m in (TONGUE, LASH) and nx * vx + ny * vy + nz * vz < 0:
            nx, ny, nz = -nx, -ny, -nz
        ambient, shadow = occlusion[i], visibility[i]
        if m in (TEETH, TONGUE, EYE):
            ambient, shadow = ambient * local_light[i], shadow * local_light[i]
        soft = gloss[i, 0]
        shadow_red = shadow * (1 - soft) + soft * (0.65 * shadow + 0.35 * np.sqrt(shadow))
        facing = nx * key[0] + ny * key[1] + nz * key[2]
        from_fill = max((nx * fill[0] + ny * fill[1] + nz * fill[2] + 0.5) / 2.25, 0.0) * ambient
        upward = ny * 0.5 + 0.5
        hx, hy, hz = key[0] + vx, key[1] + vy, key[2] + vz
        scale = 1 / np.sqrt(hx * hx + hy * hy + hz * hz)
        hx, hy, hz = hx * scale, hy * scale, hz * scale
        half = max(nx * hx + ny * hy + nz * hz, 0.0)
        a2 = gloss[i, 1] ** 4
        lobe = half * half * (a2 - 1) + 1
        fresnel = 0.04 + 0.96 * (1 - max(vx * hx + vy * hy + vz * hz, 0.0)) ** 5
        shine = a2 / (3.1416 * lobe * lobe) * fresnel * gloss[i, 2] * max(facing, 0.0) * shadow * 1.04
        edge = (1 - max(nx * vx + ny * vy + nz * vz, 0.0)) ** 3
        back = max(nx * rim_a[0] + ny * rim_a[1] + nz * rim_a[2], 0.0) * 0.8
        back += max(nx * rim_b[0] + ny * rim_b[1] + nz * rim_b[2], 0.0) * 0.5
        back *= edge * ambient * rim_gain
        if m == HAIR:
            back *= gloss[i, 2] * 4
        if m in (EYE, TEETH, TONGUE):
            back = 0.0
        for c in range(3):
            w = soft * wrap_tint[c]
            direct = min(max((facing + w) / ((1 + w) * (1 + w)), 0.0), 1.0)
            shade = shadow_red if c == 0 else shadow
            sum_ = key_colour[c] * direct * shade * (0.5 + 0.5 * ambient)
            sum_ += fill_colour[c] * from_fill
            sum_ += 0.5 * (ground[c] * (1 - upward) + sky[c] * upward) * ambient
            diffuse[i, c] = sum_ + back * 0.75 * rim_tint[c]
            specular[i, c] = shine * key_tint[c] + back * 0.25 * rim_tint[c]
        if m == HAIR:
            along = tangents[i, 0] * hx + tangents[i, 1] * hy + tangents[i, 2] * hz
            sine = np.sqrt(max(1 - along * along, 0.0))
            lit = min(max((facing + 0.2) / 0.6, 0.0), 1.0) * (0.4 + 0.6 * shadow) * (gloss[i, 2] * 4)
            for c in range(3):
                specular[i, c] += lit * (sine**70 * 0.16 * strand_tint[c] + hair[c] * sine**18 * 1.1)


@compiled
def _corner(place: float, size: int) -> tuple[int, float]:
    """Left texel and blend of a coordinate in [0, 1], clamped."""
    where = min(max(place * size - 0.5, 0.0), size - 1.01)
    return int(where), where - int(where)


@compiled
def _step(low: float, high: float, value: float) -> float:
    """Hermite step from 0 at ``low`` to 1 at ``high``."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


@compiled
def _at(values: Floats | Doubles, i: int, j: int, k: int, u: float, v: float, column: int) -> float:
    """A column of a vertex attribute inside triangle i, j, k, by barycentric shares of j and k."""
    return float((1 - u - v) * values[i, column] + u * values[j, column] + v * values[k, column])


@compiled
def _catchlights(
    nx: float, ny: float, nz: float, ex: float, ey: float, ez: float, facing: float, mirrored: Doubles
) -> tuple[float, float]:
    """Reflections of the key and of a weak second lamp in an eye, by unit normal and view vector;
    ``mirrored`` is the direction in which the key is seen."""
    rx, ry, rz = 2 * facing * nx - ex, 2 * facing * ny - ey, 2 * facing * nz - ez
    key = mirrored[0] * rx + mirrored[1] * ry + mirrored[2] * rz
    lamp = 0.447 * rx - 0.099 * ry + 0.893 * rz
    return min(max((key - 0.965) / 0.02, 0.0), 1.0) * 0.95, min(max((lamp - 0.985) / 0.01, 0.0), 1.0) * 0.22


@compiled
def _drawn(m: int, facing: float, lit: float, bright: float) -> tuple[float, float, float]:
    """A cartoon's ink (factor), tone (0 shadow, 1 light) and gleam of a sample."""
    tone = _step(TONE_EDGE - TONE_SOFT, TONE_EDGE + TONE_SOFT, lit)
    gleam = 0.30 * _step(0.16, 0.22, bright) if m in (HAIR, GADGET) else 0.0
    if m == LASH:
        return 1.0, tone, gleam
    if m in (TEETH, TONGUE):  # no outlines inside the mouth, and its depth stays
        return _step(-0.25, 0.75, lit), tone, gleam
    limit = INK_FACING_SKIN if m == SKIN else INK_FACING
    return 0.22 + 0.78 * _step(limit - 0.06, limit + 0.06, facing), tone, gleam


@compiled
def shade(
    owner: Ints,
    share_u: Floats,
    share_v: Floats,
    triangles: Ints,
    kind: Bytes,
    albedo: Floats,
    mix: Floats,
    coordinates: Floats,
    diffuse: Floats,
    specular: Floats,
    world: Doubles,
    normals: Doubles,
    eye: Doubles,
    mirrored: Doubles,
    skin: Floats,
    iris: Floats,
    strands: Floats,
    backdrop: Floats,
    glint_gain: float,
    toon: bool,
    origin: tuple[int, int],
    out: Floats,
) -> None:
    """Colour each sample, linear and tone mapped; ``origin`` is the window's corner in the backdrop."""
    tone_shadow, tone_light = np.array([0.86, 0.74, 0.86]), np.array([1.42, 1.36, 1.30])
    lamp_tint = np.array([0.7, 0.8, 1.0])
    left, top = origin
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            t = owner[y, x]
            if t < 0:
                for c in range(3):
                    out[y, x, c] = backdrop[top + y, left + x, c]
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v, m = share_u[y, x], share_v[y, x], kind[t]
            share = (1 - u - v) * mix[i] + u * mix[j] + v * mix[k]
            tx, ty = _at(coordinates, i, j, k, u, v, 0), _at(coordinates, i, j, k, u, v, 1)
            texture = iris if m == EYE else skin
            if m == HAIR:
                texture, tx = strands, tx % 1.0
            xi, fx = _corner(tx, texture.shape[1])
            yi, fy = _corner(ty, texture.shape[0])
            w00, w10, w01, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
            strand = ink = 1.0
            if m == HAIR:
                strand = w00 * texture[yi, xi, 0] + w10 * texture[yi, xi + 1, 0]
                strand += w01 * texture[yi + 1, xi, 0] + w11 * texture[yi + 1, xi + 1, 0]
            key = lamp = tone = gleam = 0.0
            drawn = toon and m != EYE
            if m == EYE or drawn:
                nx, ny = _at(normals, i, j, k, u, v, 0), _at(normals, i, j, k, u, v, 1)
                nz = _at(normals, i, j, k, u, v, 2)
                ex, ey, ez = eye[0] - world[i, 0], eye[1] - world[i, 1], eye[2] - world[i, 2]
                scale = 1 / np.sqrt(ex * ex + ey * ey + ez * ez)
                ex, ey, ez = ex * scale, ey * scale, ez * scale
                facing = nx * ex + ny * ey + nz * ez
                if drawn:
                    lit = bright = 0.0
                    for c in range(3):
                        lit += _at(diffuse, i, j, k, u, v, c) / 3
                        bright += _at(specular, i, j, k, u, v, c) / 3
                    ink, tone, gleam = _drawn(m, facing, lit, bright)
                else:
                    key, lamp = _catchlights(nx, ny, nz, ex, ey, ez, facing, mirrored)
            for c in range(3):
                base = _at(albedo, i, j, k, u, v, c)
                if m == HAIR:
                    base *= strand
                elif share > 0.01:
                    painted = w00 * texture[yi, xi, c] + w10 * texture[yi, xi + 1, c]
                    painted += w01 * texture[yi + 1, xi, c] + w11 * texture[yi + 1, xi + 1, c]
                    base = base * (1 - share) + share * painted
                if drawn:
                    value = ink * (base * (tone_shadow[c] * (1 - tone) + tone_light[c] * tone) + gleam)
                else:
                    d, s = _at(diffuse, i, j, k, u, v, c), _at(specular, i, j, k, u, v, c)
                    value = 1.05 * (base * d + s * strand * strand + glint_gain * (key + lamp * lamp_tint[c]))
                out[y, x, c] = value * (1 + value * 0.2) / (1 + value * 0.55)


@compiled
def resolve(linear: Floats, samples: int, curve: Bytes, out: Bytes) -> None:
    """Average ``samples`` x ``samples`` linear samples a pixel and encode by the 4096-entry ``curve``."""
    scale = 1.0 / (samples * samples)
    for y in range(out.shape[0]):
        for x in range(out.shape[1]):
            for c in range(3):
                total = 0.0
                for b in range(samples):
                    for a in range(samples):
                        total += min(linear[y * samples + b, x * samples + a, c], np.float32(1.0))
                out[y, x, c] = curve[min(int(total * scale * 4095), 4095)]
