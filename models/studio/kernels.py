"""The renderer's loops: transform, rasterise, light, shade, resolve.

Every picture element depends on its own triangle alone, so a window of a picture costs what it shows and
equals the same rectangle of the whole.
"""
# pragma: no cover file - compiled

import numpy as np
from numpy.typing import NDArray

from models.studio.jit import compiled

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ints = NDArray[np.int32]
Bytes = NDArray[np.uint8]

SKIN, TEETH, TONGUE, LASH, HAIR, EYE = 0, 1, 2, 3, 4, 7
NECK_LOW, NECK_HIGH = -1.5, -0.7
"""Between these heights the head's motion fades into the body's."""


@compiled
def accumulate_normals(vertices: Floats, triangles: Ints, count: int, normals: Floats) -> None:
    """Area-weighted unit normals of the first ``count`` triangles' vertices, into ``normals``."""
    top = 0
    for t in range(count):
        for k in range(3):
            top = max(top, triangles[t, k] + 1)
    normals[:top] = 0
    for t in range(count):
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = vertices[j, 0] - vertices[i, 0], vertices[j, 1] - vertices[i, 1]
        az = vertices[j, 2] - vertices[i, 2]
        bx, by = vertices[k, 0] - vertices[i, 0], vertices[k, 1] - vertices[i, 1]
        bz = vertices[k, 2] - vertices[i, 2]
        nx, ny, nz = ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx
        for c in range(3):
            v = triangles[t, c]
            normals[v, 0] += nx
            normals[v, 1] += ny
            normals[v, 2] += nz
    for v in range(top):
        x, y, z = normals[v, 0], normals[v, 1], normals[v, 2]
        scale = 1 / max(np.sqrt(x * x + y * y + z * z), 1e-12)
        normals[v, 0] = x * scale
        normals[v, 1] = y * scale
        normals[v, 2] = z * scale


@compiled
def transform(
    vertices: Floats,
    normals: Floats,
    head: Doubles,
    body: Doubles,
    view: Doubles,
    size: float,
    world: Doubles,
    world_normals: Doubles,
    screen: Doubles,
) -> None:
    """Move vertices by the head's and body's (3, 4) matrices and project them by the (4, 4) ``view``."""
    for i in range(len(vertices)):
        x, y, z = vertices[i, 0], vertices[i, 1], vertices[i, 2]
        q = min(max((y - NECK_LOW) / (NECK_HIGH - NECK_LOW), 0.0), 1.0)
        q = q * q * (3 - 2 * q)
        for r in range(3):
            a = body[r, 0] * (1 - q) + head[r, 0] * q
            b = body[r, 1] * (1 - q) + head[r, 1] * q
            c = body[r, 2] * (1 - q) + head[r, 2] * q
            d = body[r, 3] * (1 - q) + head[r, 3] * q
            world[i, r] = a * x + b * y + c * z + d
            world_normals[i, r] = a * normals[i, 0] + b * normals[i, 1] + c * normals[i, 2]
        wx, wy, wz = world[i, 0], world[i, 1], world[i, 2]
        cx = view[0, 0] * wx + view[0, 1] * wy + view[0, 2] * wz + view[0, 3]
        cy = view[1, 0] * wx + view[1, 1] * wy + view[1, 2] * wz + view[1, 3]
        cz = view[2, 0] * wx + view[2, 1] * wy + view[2, 2] * wz + view[2, 3]
        cw = view[3, 0] * wx + view[3, 1] * wy + view[3, 2] * wz + view[3, 3]
        screen[i, 0] = (cx / cw * 0.5 + 0.5) * size
        screen[i, 1] = (0.5 - cy / cw * 0.5) * size
        screen[i, 2] = cz / cw


@compiled
def _narrow(low: float, high: float, start: float, slope: float) -> tuple[float, float]:
    """Cut an interval to where ``start + slope * x`` is not negative."""
    if slope > 0:
        low = max(low, -start / slope - 1e-7)
    elif slope < 0:
        high = min(high, -start / slope + 1e-7)
    elif start < 0:
        high = low - 1
    return low, high


@compiled
def rasterise(
    screen: Doubles,
    triangles: Ints,
    kind: Bytes,
    hide_mouth: bool,
    window: tuple[int, int, int, int],
    depth: Floats,
    owner: Ints,
    share_u: Floats,
    share_v: Floats,
) -> None:
    """Fill the window's depth buffer, and which triangle owns each sample at which barycentric place."""
    left, top, right, bottom = window
    for t in range(len(triangles)):
        m = kind[t]
        if hide_mouth and m in (TEETH, TONGUE):
            continue
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = screen[i, 0], screen[i, 1]
        bx, by = screen[j, 0] - ax, screen[j, 1] - ay
        cx, cy = screen[k, 0] - ax, screen[k, 1] - ay
        area = bx * cy - by * cx
        if area > -1e-9 and not (m in (TONGUE, LASH) and area > 1e-9):
            continue
        lowest, highest = min(ax, ax + bx, ax + cx), max(ax, ax + bx, ax + cx)
        if lowest > right or highest < left:
            continue
        y0 = max(int(np.ceil(min(ay, ay + by, ay + cy) - 0.5)), top)
        y1 = min(int(np.floor(max(ay, ay + by, ay + cy) - 0.5)), bottom - 1)
        inverse = 1 / area
        z0 = screen[i, 2]
        z1, z2 = screen[j, 2] - z0, screen[k, 2] - z0
        du, dv = cy * inverse, -by * inverse
        for y in range(y0, y1 + 1):
            py = y + 0.5 - ay
            u0, v0 = -py * cx * inverse, bx * py * inverse
            low, high = _narrow(lowest - ax, highest - ax, u0, du)
            low, high = _narrow(low, high, v0, dv)
            low, high = _narrow(low, high, 1 - u0 - v0, -du - dv)
            for x in range(max(int(np.ceil(low + ax - 0.5)), left), min(int(np.floor(high + ax - 0.5)), right - 1) + 1):
                px = x + 0.5 - ax
                u, v = u0 + du * px, v0 + dv * px
                z = z0 + u * z1 + v * z2
                if z < depth[y - top, x - left]:
                    depth[y - top, x - left] = z
                    owner[y - top, x - left] = t
                    share_u[y - top, x - left] = u
                    share_v[y - top, x - left] = v


@compiled
def mark_seen(owner: Ints, triangles: Ints, seen: Bytes) -> None:
    """Set ``seen`` to 1 for every vertex of a triangle that owns a sample."""
    seen[:] = 0
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            t = owner[y, x]
            if t >= 0:
                seen[triangles[t, 0]] = 1
                seen[triangles[t, 1]] = 1
                seen[triangles[t, 2]] = 1


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
    mouth_light: Floats,
    hair: Doubles,
    eye: Doubles,
    key: Doubles,
    diffuse: Floats,
    specular: Floats,
) -> None:
    """Light a vertex: key with baked soft shadow, fill, sky, rim; wrapped for skin, stranded for hair.

    ``gloss`` is (n, 3): subsurface share, roughness, specular gain (0.25 is plain hair).
    Hair follows Kajiya & Kay 1989.
    """
    fill = np.array([0.78, 0.13, 0.61])
    rim_a, rim_b = np.array([0.577, 0.371, -0.742]), np.array([-0.667, 0.292, -0.667])
    key_tint, fill_tint = np.array([1.0, 0.955, 0.90]), np.array([0.62, 0.74, 0.95])
    ground, sky = np.array([0.30, 0.24, 0.22]), np.array([0.46, 0.50, 0.58])
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
        if m in (TEETH, TONGUE):
            ambient, shadow = ambient * mouth_light[i], shadow * mouth_light[i]
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
        back *= edge * ambient
        if m == HAIR:
            back *= gloss[i, 2] * 4
        if m in (EYE, TEETH, TONGUE):
            back = 0.0
        for c in range(3):
            w = soft * wrap_tint[c]
            direct = min(max((facing + w) / ((1 + w) * (1 + w)), 0.0), 1.0)
            shade = shadow_red if c == 0 else shadow
            sum_ = 1.30 * key_tint[c] * direct * shade * (0.5 + 0.5 * ambient)
            sum_ += 0.34 * fill_tint[c] * from_fill
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
    skin: Floats,
    iris: Floats,
    strands: Floats,
    backdrop: Floats,
    origin: tuple[int, int],
    out: Floats,
) -> None:
    """Colour each sample, linear and tone mapped; ``origin`` is the window's corner in the backdrop."""
    catch_a, catch_b = np.array([-0.398, 0.522, 0.758]), np.array([0.447, -0.099, 0.893])
    glint_tint = np.array([0.7, 0.8, 1.0])
    left, top = origin
    for y in range(owner.shape[0]):
        for x in range(owner.shape[1]):
            t = owner[y, x]
            if t < 0:
                for c in range(3):
                    out[y, x, c] = backdrop[top + y, left + x, c]
                continue
            i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
            u, v = share_u[y, x], share_v[y, x]
            w = 1 - u - v
            m = kind[t]
            share = w * mix[i] + u * mix[j] + v * mix[k]
            tx = w * coordinates[i, 0] + u * coordinates[j, 0] + v * coordinates[k, 0]
            ty = w * coordinates[i, 1] + u * coordinates[j, 1] + v * coordinates[k, 1]
            strand = 1.0
            texture = iris if m == EYE else skin
            if m == HAIR:
                texture = strands
                tx = tx % 1.0
            xi, fx = _corner(tx, texture.shape[1])
            yi, fy = _corner(ty, texture.shape[0])
            w00, w10, w01, w11 = (1 - fx) * (1 - fy), fx * (1 - fy), (1 - fx) * fy, fx * fy
            if m == HAIR:
                strand = w00 * texture[yi, xi, 0] + w10 * texture[yi, xi + 1, 0]
                strand += w01 * texture[yi + 1, xi, 0] + w11 * texture[yi + 1, xi + 1, 0]
            glint = glint_weak = 0.0
            if m == EYE:
                nx = w * normals[i, 0] + u * normals[j, 0] + v * normals[k, 0]
                ny = w * normals[i, 1] + u * normals[j, 1] + v * normals[k, 1]
                nz = w * normals[i, 2] + u * normals[j, 2] + v * normals[k, 2]
                ex, ey, ez = eye[0] - world[i, 0], eye[1] - world[i, 1], eye[2] - world[i, 2]
                scale = 1 / np.sqrt(ex * ex + ey * ey + ez * ez)
                ex, ey, ez = ex * scale, ey * scale, ez * scale
                d = 2 * (nx * ex + ny * ey + nz * ez)
                rx, ry, rz = d * nx - ex, d * ny - ey, d * nz - ez
                a = rx * catch_a[0] + ry * catch_a[1] + rz * catch_a[2]
                b = rx * catch_b[0] + ry * catch_b[1] + rz * catch_b[2]
                glint = min(max((a - 0.965) / 0.02, 0.0), 1.0) * 0.95
                glint_weak = min(max((b - 0.985) / 0.01, 0.0), 1.0) * 0.22
            for c in range(3):
                base = w * albedo[i, c] + u * albedo[j, c] + v * albedo[k, c]
                if m == HAIR:
                    base *= strand
                elif share > 0.01:
                    painted = w00 * texture[yi, xi, c] + w10 * texture[yi, xi + 1, c]
                    painted += w01 * texture[yi + 1, xi, c] + w11 * texture[yi + 1, xi + 1, c]
                    base = base * (1 - share) + share * painted
                d = w * diffuse[i, c] + u * diffuse[j, c] + v * diffuse[k, c]
                s = w * specular[i, c] + u * specular[j, c] + v * specular[k, c]
                value = 1.05 * (base * d + s * strand * strand + glint + glint_weak * glint_tint[c])
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


@compiled
def depth_map(screen: Doubles, triangles: Ints, skip: Bytes, depth: Floats) -> None:
    """Orthographic depth of both sides of every triangle not skipped; larger z is nearer the light."""
    high_px, wide_px = depth.shape
    for t in range(len(triangles)):
        if skip[t]:
            continue
        i, j, k = triangles[t, 0], triangles[t, 1], triangles[t, 2]
        ax, ay = screen[i, 0], screen[i, 1]
        bx, by = screen[j, 0] - ax, screen[j, 1] - ay
        cx, cy = screen[k, 0] - ax, screen[k, 1] - ay
        area = bx * cy - by * cx
        if abs(area) < 1e-9:
            continue
        lowest, highest = min(ax, ax + bx, ax + cx), max(ax, ax + bx, ax + cx)
        y0 = max(int(np.ceil(min(ay, ay + by, ay + cy) - 0.5)), 0)
        y1 = min(int(np.floor(max(ay, ay + by, ay + cy) - 0.5)), high_px - 1)
        inverse = 1 / area
        z0 = screen[i, 2]
        z1, z2 = screen[j, 2] - z0, screen[k, 2] - z0
        du, dv = cy * inverse, -by * inverse
        for y in range(y0, y1 + 1):
            py = y + 0.5 - ay
            u0, v0 = -py * cx * inverse, bx * py * inverse
            low, high = _narrow(lowest - ax, highest - ax, u0, du)
            low, high = _narrow(low, high, v0, dv)
            low, high = _narrow(low, high, 1 - u0 - v0, -du - dv)
            for x in range(max(int(np.ceil(low + ax - 0.5)), 0), min(int(np.floor(high + ax - 0.5)), wide_px - 1) + 1):
                px = x + 0.5 - ax
                z = z0 + (u0 + du * px) * z1 + (v0 + dv * px) * z2
                if z > depth[y, x]:
                    depth[y, x] = z
