"""The rigged head: one merged mesh of all parts, posed by 52 ARKit weights and a gaze."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import AvatarError
from models.studio.arkit import ARKIT_NAMES, INDEX
from models.studio.hair import fit_skull, scalp_mask
from models.studio.hair_styles import build_hair
from models.studio.head_source import ASSET
from models.studio.identity import Identity
from models.studio.jit import compiled
from models.studio.lids import blink_gain, magnify_eyes, shorten_lashes
from models.studio.lips import Lips
from models.studio.mesh import Floats, Ints, Material, Part, SkinPart, smoothstep, subdivision, triangles_of
from models.studio.mouth import build_teeth, build_tongue
from models.studio.proportions import DELTA_STEP, shaped
from models.studio.wardrobe import build_clothes, build_eye, build_glasses, build_headset

GAINS = {"browInnerUp": 2.0, "browOuterUp": 1.9, "browDown": 1.6, "jawOpen": 0.82, "mouthClose": 0.82}
"""Factors on whole blend shapes, by the beginning of their names: the asset's brows hardly move and its jaw opens
wider than speech."""
_LID_CLEARANCE = 1.035
_LASH_CLEARANCE = 1.16
"""Lids are kept this many eye radii from the eye's centre, so the eye never shows through them."""
_GAZE_OF_WEIGHT = 0.45
"""Radians an eye turns at a weight of 1."""
_UPPER_LASH_REST_Y = 7.285
_INSIDE = np.array([0.40, 0.10, 0.095])


@dataclass(frozen=True)
class Shapes:
    """Sparse blend shapes of the merged mesh."""

    starts: Ints
    """(53,) first entry of each shape."""
    vertices: Ints
    deltas: Floats


@dataclass(frozen=True)
class Pose:
    """A posed head."""

    vertices: Floats
    """(n, 3) of the merged mesh."""
    aperture: float
    """Mean opening of the lips in decimetres; 0 = closed."""
    mouth_width: float
    """Distance between the corners over that at rest."""
    half_width: float
    """Half of that distance in decimetres."""
    lip_rims: Floats
    """(columns, 2, 3): the upper and the lower lip's rim from corner to corner."""
    lids_open: float
    """1 = as at rest, 0 = shut by a blink."""


@compiled
def _blend(
    out: Floats, weights: Floats, starts: Ints, vertices: Ints, deltas: Floats
) -> None:  # pragma: no cover - compiled
    for shape in range(len(weights)):
        weight = weights[shape]
        if abs(weight) < 1e-5:
            continue
        for entry in range(starts[shape], starts[shape + 1]):
            vertex = vertices[entry]
            for axis in range(3):
                out[vertex, axis] += weight * deltas[entry, axis]


@compiled
def _push_out(out: Floats, vertices: Ints, centre: Floats, radius: float) -> None:  # pragma: no cover - compiled
    """Push vertices out of the sphere level with the ground: their height, where lids meet, is kept."""
    for entry in range(len(vertices)):
        vertex = vertices[entry]
        x, y = out[vertex, 0] - centre[0], out[vertex, 1] - centre[1]
        z = out[vertex, 2] - centre[2]
        flat, reach = x * x + z * z, radius * radius - y * y
        if z > 0 and flat < reach:
            scale = np.sqrt(reach / flat)
            out[vertex, 0] = centre[0] + x * scale
            out[vertex, 2] = centre[2] + z * scale


class Head:
    """A head of one identity, with hair, clothes and headset.

    Args:
        identity: who; a shape that the asset does not hold by name is put together from its targets.
        asset: the compact file written by ``head_source``.

    Raises:
        AvatarError: when the asset is missing, or a target of the identity is.
    """

    def __init__(self, identity: Identity, asset: Path = ASSET) -> None:
        self.identity = identity
        self.parts: dict[str, Part] = {}
        self._moving: list[tuple[str, NDArray[np.intp], Floats]] = []
        self._load(asset)
        self._merge()
        self._find_lids()

    def _load(self, asset: Path) -> None:
        name = self.identity.name
        if not asset.is_file():
            raise AvatarError(f"The head asset {asset.name} is missing; rebuild it with head_source.")
        with np.load(asset) as data:
            quads = data["quads"].astype(np.int64)
            count = len(data["rest"])
            matrix, fine = subdivision(count, quads)
            dense = np.zeros((len(ARKIT_NAMES), count, 3), np.float32)
            dense[data["delta_shape"], data["delta_vertex"]] = data["delta"] * np.float32(DELTA_STEP)
            held = f"{name}.vertices" in data
            shape, eyes = (data[f"{name}.vertices"], data[f"{name}.eyes"]) if held else shaped(self.identity)
            self.eyes: Floats = eyes
            vertices = (matrix @ shape).astype(np.float32)
            rest = (matrix @ data["rest"]).astype(np.float32)
            masks = data["masks"].astype(np.float32) / 255
            material = np.repeat(data["material"], 4)
        for stem, gain in GAINS.items():
            for shape, shape_name in enumerate(ARKIT_NAMES):
                if shape_name.startswith(stem):
                    dense[shape] *= gain
        deltas = np.stack([(matrix @ d).astype(np.float32) for d in dense])
        if self.identity.eye_magnification != 1:
            vertices, deltas, self.eyes = magnify_eyes(vertices, deltas, self.eyes, self.identity.eye_magnification)
        self._build(vertices, rest, masks, deltas, fine, material)

    def _build(
        self,
        vertices: Floats,
        rest: Floats,
        masks: Floats,
        deltas: Floats,
        quads: NDArray[np.int64],
        material: NDArray[np.uint8],
    ) -> None:
        look = self.identity.look
        cut: dict[Material, tuple[NDArray[np.intp], Ints]] = {}
        for kind in (Material.SKIN, Material.TEETH, Material.TONGUE, Material.LASH):
            own = quads[material == kind]
            if kind == Material.LASH:
                own = own[rest[own][:, :, 1].mean(1) > _UPPER_LASH_REST_Y]
            used, dense = np.unique(own, return_inverse=True)
            cut[kind] = used, triangles_of(dense.reshape(own.shape))
        skin, skin_triangles = cut[Material.SKIN]
        lash, lash_triangles = cut[Material.LASH]
        for side, sphere in zip(("Left", "Right"), self.eyes, strict=True):
            shape = deltas[INDEX["eyeBlink" + side]]
            gain = blink_gain(vertices[skin], shape[skin], sphere)
            for used in (skin, lash):
                shape[used] *= gain(vertices[used, 0])[:, None]
        skull = fit_skull(vertices[skin])
        self.skin = SkinPart(
            vertices[skin],
            skin_triangles,
            Material.SKIN,
            np.zeros((len(skin), 3), np.float32),
            rest=rest[skin],
            lips=masks[0, skin],
            inside=masks[1, skin],
            scalp=scalp_mask(vertices[skin], skull),
        )
        self._colour_skin()
        self.parts["skin"] = self.skin
        self._moving.append(("skin", np.arange(len(skin)), deltas[:, skin]))
        self.lips = Lips(self.skin, deltas[:, skin])
        band = cut[Material.TEETH][0]
        teeth, moving, teeth_deltas = build_teeth(vertices[band], deltas[:, band], self.lips.line_y)
        self.parts["teeth"] = teeth
        self._moving.append(("teeth", moving, teeth_deltas))
        tongue, tongue_triangles = cut[Material.TONGUE]
        self.parts["tongue"] = build_tongue(vertices[tongue], tongue_triangles)
        self._moving.append(("tongue", np.arange(len(tongue)), deltas[:, tongue]))
        dark = np.tile(np.array(look.lash, np.float32), (len(lash), 1))
        vertices[lash] = shorten_lashes(vertices[lash], self.eyes, look.lash_length)
        self.parts["lash"] = Part(vertices[lash], lash_triangles, Material.LASH, dark)
        self._moving.append(("lash", np.arange(len(lash)), deltas[:, lash]))
        for index, sphere in enumerate(self.eyes):
            self.parts[f"eye{index}"] = build_eye(sphere)
        clothes, collar = build_clothes(vertices[skin], skin_triangles, rest[skin], look)
        self.parts["clothes"], self.parts["collar"] = clothes, collar
        self.parts["hair"] = build_hair(skull, look)
        if look.headset:
            self.parts["headset"] = build_headset(skull, look)
        if look.glasses is not None:
            self.parts["glasses"] = build_glasses(self.eyes, skull, look.glasses)

    def _colour_skin(self) -> None:
        part, look = self.skin, self.identity.look
        inside = smoothstep(0.3, 0.7, part.inside)[:, None]
        front = part.vertices[part.lips > 0.5, 2].max()
        depth = smoothstep(-0.50, -0.06, part.vertices[:, 2] - front)[:, None]
        scalp = part.scalp[:, None]
        albedo = _INSIDE * (0.04 + 0.96 * depth**2) * inside + (1 - inside) * np.array(look.skin) * 0.97
        part.albedo = (albedo * (1 - scalp) + scalp * np.array(look.hair) * 0.7).astype(np.float32)
        part.occlusion = (1 - 0.4 * inside[:, 0]).astype(np.float32)

    def _merge(self) -> None:
        names = list(self.parts)
        sizes = np.cumsum([0] + [len(self.parts[name].vertices) for name in names])
        self.offset = {name: int(start) for name, start in zip(names, sizes[:-1], strict=True)}
        self.vertices = np.concatenate([self.parts[name].vertices for name in names])
        self.triangles = np.concatenate([self.parts[name].triangles + self.offset[name] for name in names]).astype(
            np.int32
        )
        kinds = [(int(part.material), len(part.vertices), len(part.triangles)) for part in self.parts.values()]
        self.material = np.concatenate([np.full(n, k, np.uint8) for k, n, _ in kinds])
        self.triangle_material = np.concatenate([np.full(t, k, np.uint8) for k, _, t in kinds])
        self.moving_vertices = self.offset["clothes"]
        """Vertices before this one move with weights and gaze; the rest never do."""
        self.moving_triangles = int((self.triangles.max(1) < self.moving_vertices).sum())
        self.shapes = self._merged_shapes()

    def _merged_shapes(self) -> Shapes:
        starts, vertices, deltas = [0], [], []
        for shape in range(len(ARKIT_NAMES)):
            for name, indices, part_deltas in self._moving:
                used = np.abs(part_deltas[shape]).max(1) > 2e-4
                vertices.append(indices[used] + self.offset[name])
                deltas.append(part_deltas[shape][used])
            starts.append(sum(len(v) for v in vertices))
        return Shapes(
            np.array(starts, np.int32),
            np.concatenate(vertices).astype(np.int32),
            np.concatenate(deltas).astype(np.float32),
        )

    def _find_lids(self) -> None:
        self._lids: list[tuple[Ints, Floats, float]] = []
        for sphere in self.eyes:
            for name, clearance in (("skin", _LID_CLEARANCE), ("lash", _LASH_CLEARANCE)):
                part = self.parts[name]
                away = np.linalg.norm(part.vertices - sphere[:3], axis=1)
                front = part.vertices[:, 2] > sphere[2]
                near = np.nonzero((away < 1.7 * sphere[3]) & front)[0] + self.offset[name]
                self._lids.append((near.astype(np.int32), sphere[:3], clearance * float(sphere[3])))

    def span(self, part: str) -> slice:
        """Where a part's vertices lie in the merged mesh."""
        start = self.offset[part]
        return slice(start, start + len(self.parts[part].vertices))

    def pose(self, weights: Floats, gaze: tuple[float, float] = (0.0, 0.0)) -> Pose:
        """Deform the head.

        Args:
            weights: (52,) in the order of ``ARKIT_NAMES``, mostly in [0, 1].
            gaze: turn of both eyes in radians, to the subject's left and up; added to the
                ``eyeLook`` weights. Lids follow.
        """
        full = np.array(weights, np.float32)
        up = gaze[1] / _GAZE_OF_WEIGHT
        for side in ("Left", "Right"):
            full[INDEX["eyeLookUp" + side]] += max(up, 0.0)
            full[INDEX["eyeLookDown" + side]] += max(-up, 0.0)
        full = self.lips.tuck(full)
        out = self.vertices.copy()
        _blend(out, full, self.shapes.starts, self.shapes.vertices, self.shapes.deltas)
        for vertices, centre, radius in self._lids:
            _push_out(out, vertices, centre, radius)
        for index, sphere in enumerate(self.eyes):
            self._turn_eye(out, index, sphere, full, gaze[0])
        self.lips.seal(out)
        rims = out[self.lips.rims]
        blink = min(float(full[INDEX["eyeBlinkLeft"]] + full[INDEX["eyeBlinkRight"]]) / 2, 1.0)
        half = float(np.linalg.norm(out[self.lips.corners[0]] - out[self.lips.corners[1]])) / 2
        return Pose(out, self.lips.aperture(out), half / self.lips.half_width, half, rims, 1 - blink)

    def _turn_eye(self, out: Floats, index: int, sphere: Floats, weights: Floats, yaw: float) -> None:
        side, away = ("Left", 1.0) if index == 0 else ("Right", -1.0)
        outward = weights[INDEX["eyeLookOut" + side]] - weights[INDEX["eyeLookIn" + side]]
        up = weights[INDEX["eyeLookUp" + side]] - weights[INDEX["eyeLookDown" + side]]
        turn = cv2.Rodrigues(np.array([0.0, yaw + away * _GAZE_OF_WEIGHT * float(outward), 0.0]))[0]
        tilt = cv2.Rodrigues(np.array([-_GAZE_OF_WEIGHT * float(up), 0.0, 0.0]))[0]
        part = self.span(f"eye{index}")
        rotation = (turn @ tilt).astype(np.float32)
        out[part] = (self.vertices[part] - sphere[:3]) @ rotation.T + sphere[:3]
