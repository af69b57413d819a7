"""The renderer's loops over vertices and triangles: normals, transform, rasterise, depth maps.

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

SKIN, TEETH, TONGUE, LASH, HAIR, CLOTH, GADGET, EYE = range(8)
"""``Material`` as plain numbers, for compiled code."""
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
    coordinates: Floats,
    strands: Floats,
    fray: float,
    window: tuple[int, int, int, int],
    depth: Floats,
    owner: Ints,
    share_u: Floats,
    share_v: Floats,
) -> None:
    """Fill the window's depth buffer, and which triangle owns each sample at which barycentric place.

    Hair frays: from ``fray`` on (root 0, tip 1) a clump keeps only samples on its brighter ``strands``, so that it
    ends in single hairs.
    """
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
        frays = m == HAIR and max(coordinates[i, 1], coordinates[j, 1], coordinates[k, 1]) > fray
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
                    if frays:
                        w = 1 - u - v
                        along = w * coordinates[i, 1] + u * coordinates[j, 1] + v * coordinates[k, 1]
                        around = w * coordinates[i, 0] + u * coordinates[j, 0] + v * coordinates[k, 0]
                        strand = strands[int(along * strands.shape[0]), int((around % 1.0) * strands.shape[1]), 0]
                        if strand < 0.35 + 1.25 * (along - fray) / (1 - fray):
                            continue
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
