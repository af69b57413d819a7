"""The studio's renderer: a head in, a picture out, on one core and without a GPU."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from models.studio import kernels, shading
from models.studio.bake import bake_occlusion, bake_visibility, smooth_over
from models.studio.hair import strand_texture
from models.studio.head import Head, Pose
from models.studio.light import STUDIO, Light
from models.studio.mesh import Floats, Material, smoothstep, vertex_normals
from models.studio.mouth import lip_shadow
from models.studio.texture import paint_backdrop, paint_iris, paint_skin, skin_coordinates, texture_share

_CAMERA_DISTANCE = 8.6
_CAMERA_RISE = 0.25
_FOCAL = 5.5
"""Focal length in half picture sizes at zoom 1: fixes how large the head is drawn."""
_CLOSED = 0.0015
"""Opening of the lips (decimetres) under which nothing inside the mouth is drawn."""
_PLAIN_FACE_Y = (7.55, 6.35)
"""Between brows and chin (base mesh, decimetres) no baked shadow muddies a cartoon's face: normals alone shade it."""
_FRAY = 0.78
"""Where along a clump of hair single strands begin to show; 1 = nowhere."""
_GLOSS = {
    Material.SKIN: (1.0, 0.47, 0.30),
    Material.TEETH: (0.5, 0.26, 0.50),
    Material.TONGUE: (0.7, 0.38, 0.55),
    Material.LASH: (0.0, 0.5, 0.05),
    Material.HAIR: (0.0, 0.5, 0.25),
    Material.CLOTH: (0.0, 0.8, 0.06),
    Material.GADGET: (0.0, 0.35, 0.5),
    Material.EYE: (0.2, 0.12, 0.0),
}
"""Subsurface share, roughness, specular gain."""

Window = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels of the whole picture."""
Rotation = tuple[float, float, float]
"""Pitch, yaw, roll in radians: nod down, turn to the subject's left, tilt."""


class _Surface(NamedTuple):
    albedo: Floats
    mix: Floats
    coordinates: Floats
    tangents: Floats
    occlusion: Floats
    visibility: Floats
    gloss: Floats


def _view(eye: NDArray[np.float64], centre_y: float, zoom: float) -> NDArray[np.float64]:
    """World to clip space: a camera at ``eye``, slightly above, looking at the face."""
    back = eye - np.array([0.0, centre_y, 0.1])
    back /= np.linalg.norm(back)
    right = np.cross([0.0, 1.0, 0.0], back)
    right /= np.linalg.norm(right)
    frame = np.eye(4)
    frame[:3, :3] = np.stack([right, np.cross(back, right), back])
    frame[:3, 3] = -frame[:3, :3] @ eye
    near, far = 1.0, 30.0
    lens = np.zeros((4, 4))
    lens[0, 0] = lens[1, 1] = _FOCAL * zoom
    lens[2, 2], lens[2, 3] = (far + near) / (near - far), 2 * far * near / (near - far)
    lens[3, 2] = -1
    return np.asarray(lens @ frame)


class Renderer:
    """Draws one head; light that does not change is baked at construction (a few seconds).

    Args:
        head: whom to draw.
        size_px: side of the square picture.
        supersampling: samples a pixel along each axis.
        light: what it stands in; may be set to another with the same ``key`` between pictures.
        backdrop: linear RGB, (size_px x supersampling, likewise, 3); None paints the identity's own.

    Same inputs give the same bytes. Not safe to share between threads: buffers are reused.
    """

    def __init__(
        self,
        head: Head,
        size_px: int = 512,
        supersampling: int = 2,
        light: Light = STUDIO,
        backdrop: Floats | None = None,
    ) -> None:
        self.head, self.size_px, self.supersampling, self.light = head, size_px, supersampling, light
        look, count = head.identity.look, len(head.vertices)
        self.aim(*head.identity.framing)
        self._normals = vertex_normals(head.vertices, head.triangles)
        self._surface = self._bake()
        self._hair = np.array(look.hair, np.float64)
        self._skin = paint_skin(head.skin, look)
        self._iris = paint_iris(look)
        self._strands = np.ones((2, 2, 1), np.float32) if look.toon else strand_texture(512, look.seed)[..., None]
        self._fray = 1.0 if look.toon else _FRAY
        self._backdrop = paint_backdrop(look, size_px * supersampling) if backdrop is None else backdrop
        self._curve = np.clip((np.arange(4096) / 4095) ** (1 / 2.2) * 255 + 0.5, 0, 255).astype(np.uint8)
        self._world, self._world_normals = np.empty((count, 3)), np.empty((count, 3))
        self._screen = np.empty((count, 3))
        self._seen = np.empty(count, np.uint8)
        self._local_light = np.ones(count, np.float32)
        self._diffuse = np.zeros((count, 3), np.float32)
        self._specular = np.zeros((count, 3), np.float32)

    def aim(self, centre_y: float, zoom: float) -> None:
        """Point the camera at a height (decimetres over the top of the neck), with a zoom; see ``Identity.framing``."""
        self._eye = np.array([0.0, centre_y + _CAMERA_RISE, _CAMERA_DISTANCE])
        self._view = _view(self._eye, centre_y, zoom)

    def _bake(self) -> _Surface:
        head = self.head
        occlusion, visibility = self._baked_light()
        columns: list[list[Floats]] = [[], [], [], []]
        gloss = np.array([_GLOSS[m] for m in Material], np.float32)[head.material]
        gloss[head.material == Material.HAIR, 2] *= np.float32(head.identity.look.hair_shine)
        for name, part in head.parts.items():
            n, here = len(part.vertices), head.span(name)
            mix, coordinates = part.texture_mix, part.texture_coordinates
            if part.material == Material.SKIN:
                skin = head.skin
                mix = texture_share(skin.rest, skin.inside) * (1 - skin.scalp)
                coordinates = skin_coordinates(skin.rest)
                lips = np.clip(skin.lips * 2 - 0.5, 0, 1) * (1 - smoothstep(0.3, 0.7, skin.inside))
                gloss[here, 2] += (0.17 * lips).astype(np.float32)
                gloss[here, 1] -= (0.17 * lips).astype(np.float32)
                gloss[here, 0] *= 1 - skin.scalp
            columns[0].append(part.albedo)
            columns[1].append(np.zeros(n, np.float32) if mix is None else mix.astype(np.float32))
            columns[2].append(np.zeros((n, 2), np.float32) if coordinates is None else coordinates)
            columns[3].append(np.zeros((n, 3), np.float32) if part.tangent is None else part.tangent)
            if part.occlusion is not None:
                occlusion[here] *= part.occlusion
        albedo, mixes, places, tangents = (np.concatenate(column) for column in columns)
        return _Surface(albedo, mixes, places, tangents, occlusion, visibility, gloss)

    def _baked_light(self) -> tuple[Floats, Floats]:
        """Ambient occlusion and key visibility a vertex, with what lies in the mouth and eyes set by hand."""
        head = self.head
        kind = head.triangle_material
        skip = (kind == Material.LASH).astype(np.uint8)
        occlusion = bake_occlusion(head.vertices, self._normals, head.triangles, skip)
        visibility = bake_visibility(head.vertices, self._normals, head.triangles, skip, self.light.direction)
        smooth = kind != Material.EYE
        occlusion = smooth_over(occlusion, head.triangles[smooth], 2, 0.6)
        skin_like = np.isin(kind, (Material.SKIN, Material.CLOTH))
        visibility = smooth_over(visibility, head.triangles[skin_like], 4, 0.7)
        visibility = smooth_over(visibility, head.triangles[kind == Material.HAIR], 2, 0.6)
        of_mouth = np.isin(head.material, (Material.TEETH, Material.TONGUE))
        occlusion[of_mouth | np.isin(head.material, (Material.EYE, Material.LASH))] = 1
        visibility[of_mouth] = 0.85
        visibility[head.material == Material.EYE] = 0.85
        skin, here = head.skin, head.span("skin")
        lip_floor = 0.75 * np.clip(skin.lips * 2, 0, 1)
        within = skin.inside > 0.4
        occlusion[here] = np.where(within, 1, np.maximum(occlusion[here], lip_floor))
        lit = np.maximum(visibility[here], 0.8 * np.clip(skin.lips * 2, 0, 1) * visibility[here] ** 0.5)
        visibility[here] = np.where(within, 0.5, lit)
        if head.identity.look.toon:
            high, low = _PLAIN_FACE_Y
            plain = (skin.rest[:, 1] < high) & (skin.rest[:, 1] > low) & (skin.rest[:, 2] > 0.3) & ~within
            visibility[here][plain] = occlusion[here][plain] = 1
        return occlusion, visibility

    def _matrices(self, rotation: Rotation, breath: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        pitch, yaw, roll = rotation
        turn = cv2.Rodrigues(np.array([0.0, yaw, 0.0]))[0]
        nod = cv2.Rodrigues(np.array([pitch, 0.0, 0.0]))[0]
        tilt = cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0]
        head = np.zeros((3, 4))
        head[:, :3] = turn @ nod @ tilt
        head[1, 3] = 0.35 * breath
        body = np.eye(4)[:3].copy()
        body[1, 3] = breath
        return head, body

    def project(
        self, points: NDArray[np.floating], rotation: Rotation = (0, 0, 0), breath: float = 0.0
    ) -> NDArray[np.float64]:
        """Pixel places (n, 2) of head points (n, 3)."""
        head, _ = self._matrices(rotation, breath)
        world = points @ head[:, :3].T + head[:, 3]
        clip = np.c_[world, np.ones(len(world))] @ self._view.T
        flat = clip[:, :2] / clip[:, 3:]
        return np.stack([flat[:, 0] * 0.5 + 0.5, 0.5 - flat[:, 1] * 0.5], 1) * self.size_px

    def _place(self, pose: Pose, rotation: Rotation, breath: float) -> None:
        """Put the vertices where they are in the world and on the screen."""
        kernels.accumulate_normals(pose.vertices, self.head.triangles, self.head.moving_triangles, self._normals)
        of_head, of_body = self._matrices(rotation, breath)
        kernels.transform(
            pose.vertices, self._normals, of_head, of_body, self._view, float(self.size_px * self.supersampling),
            self._world, self._world_normals, self._screen,
        )  # fmt: skip

    def _rasterise(
        self, pose: Pose, rotation: Rotation, breath: float, window: Window
    ) -> tuple[NDArray[np.int32], Floats, Floats]:
        head, ss = self.head, self.supersampling
        self._place(pose, rotation, breath)
        x0, y0, x1, y1 = (edge * ss for edge in window)
        shape = (y1 - y0, x1 - x0)
        depth = np.full(shape, 9, np.float32)
        owner = np.full(shape, -1, np.int32)
        share_u, share_v = np.empty(shape, np.float32), np.empty(shape, np.float32)
        kernels.rasterise(
            self._screen, head.triangles, head.triangle_material, pose.aperture < _CLOSED,
            self._surface.coordinates, self._strands, self._fray, (x0, y0, x1, y1), depth, owner, share_u, share_v,
        )  # fmt: skip
        return owner, share_u, share_v

    def _checked(self, window: Window | None) -> Window:
        whole = (0, 0, self.size_px, self.size_px)
        x0, y0, x1, y1 = window or whole
        if not (0 <= x0 < x1 <= self.size_px and 0 <= y0 < y1 <= self.size_px):
            raise ValueError(f"window {window} must lie inside the {self.size_px} px picture")
        return x0, y0, x1, y1

    def render(
        self,
        pose: Pose,
        head_rotation: Rotation = (0.0, 0.0, 0.0),
        window: Window | None = None,
        breath: float = 0.0,
    ) -> NDArray[np.uint8]:
        """Draw a pose.

        Args:
            pose: from ``Head.pose``.
            head_rotation: pitch, yaw, roll in radians about the top of the neck.
            window: draw only this rectangle of the picture; equals cropping the whole.
            breath: rise of the shoulders in decimetres; the head takes a third of it.

        Returns:
            RGB, (height, width, 3), sRGB-like (gamma 2.2).
        """
        area = self._checked(window)
        owner, share_u, share_v = self._rasterise(pose, head_rotation, breath, area)
        head, surface, ss, look = self.head, self._surface, self.supersampling, self.head.identity.look
        kernels.mark_seen(owner, head.triangles, self._seen)
        shading.light(
            self._seen, self._world, self._world_normals, surface.tangents, surface.occlusion,
            surface.visibility, head.material, surface.gloss, self._lit_inside(pose), self._hair,
            self._eye, self.light.direction, self.light.colours, self._diffuse, self._specular,
        )  # fmt: skip
        linear = np.empty((*owner.shape, 3), np.float32)
        shading.shade(
            owner, share_u, share_v, head.triangles, head.triangle_material, surface.albedo, surface.mix,
            surface.coordinates, self._diffuse, self._specular, self._world, self._world_normals, self._eye,
            np.array(self.light.catchlight), self._skin, self._iris, self._strands, self._backdrop,
            float(smoothstep(0.3, 0.8, np.array(pose.lids_open))), look.toon, (area[0] * ss, area[1] * ss), linear,
        )  # fmt: skip
        out = np.empty((area[3] - area[1], area[2] - area[0], 3), np.uint8)
        shading.resolve(linear, ss, self._curve, out)
        return out

    def _lit_inside(self, pose: Pose) -> Floats:
        """Light a vertex gets through lips and lids: less for a slit, a narrow pucker and near the corners."""
        height = float(smoothstep(0.0, 0.045, np.array(pose.aperture)))
        width = float(smoothstep(0.75, 1.0, np.array(pose.mouth_width)))
        through = (0.62 + 0.38 * height) * (0.16 + 0.84 * width)
        for name in ("teeth", "tongue"):
            here = self.head.span(name)
            vertices = pose.vertices[here]
            aside = 1 - 0.80 * smoothstep(0.50, 1.0, np.abs(vertices[:, 0]) / pose.half_width)
            self._local_light[here] = through * aside * lip_shadow(vertices, pose.lip_rims)
        for name in ("eye0", "eye1"):
            self._local_light[self.head.span(name)] = 0.25 + 0.75 * pose.lids_open
        return self._local_light

    def flow(
        self,
        pose: Pose,
        other: Pose,
        head_rotation: Rotation = (0.0, 0.0, 0.0),
        window: Window | None = None,
        breath: float = 0.0,
    ) -> Floats:
        """How far off, in a picture of ``other``, what each pixel of ``pose`` shows lies: backward optical flow.

        Returns:
            (height, width, 2), right and down in pixels; 0 on the backdrop, NaN where teeth or tongue show.
        """
        self._place(other, head_rotation, breath)
        there = self._screen[:, :2].copy()
        ss = self.supersampling
        owner, share_u, share_v = (
            part[::ss, ::ss] for part in self._rasterise(pose, head_rotation, breath, self._checked(window))
        )
        moved = ((there - self._screen[:, :2]) / ss).astype(np.float32)
        first, second, third = np.moveaxis(moved[self.head.triangles[np.maximum(owner, 0)]], 2, 0)
        u, v = (np.where(owner < 0, 0, share)[..., None] for share in (share_u, share_v))
        flow = (1 - u - v) * first + u * second + v * third
        flow[owner < 0] = 0
        kinds = self.head.triangle_material[np.maximum(owner, 0)]
        flow[np.isin(kinds, (Material.TEETH, Material.TONGUE)) & (owner >= 0)] = np.nan
        return np.asarray(flow, np.float32)

    def materials(
        self,
        pose: Pose,
        head_rotation: Rotation = (0.0, 0.0, 0.0),
        window: Window | None = None,
        breath: float = 0.0,
    ) -> NDArray[np.int16]:
        """The ``Material`` each sample shows, -1 for the backdrop; (height, width) x supersampling."""
        owner, _, _ = self._rasterise(pose, head_rotation, breath, self._checked(window))
        kinds = self.head.triangle_material[np.maximum(owner, 0)].astype(np.int16)
        return np.asarray(np.where(owner < 0, -1, kinds), np.int16)

    def matte(
        self,
        pose: Pose,
        head_rotation: Rotation = (0.0, 0.0, 0.0),
        window: Window | None = None,
        breath: float = 0.0,
    ) -> NDArray[np.uint8]:
        """The figure's coverage, (height, width): 255 = figure, 0 = backdrop."""
        ss = self.supersampling
        covered = self.materials(pose, head_rotation, window, breath) >= 0
        high, wide = covered.shape[0] // ss, covered.shape[1] // ss
        share = covered.reshape(high, ss, wide, ss).mean((1, 3))
        return np.asarray(np.round(share * 255), np.uint8)
