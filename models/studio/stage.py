"""A head before the camera: its idle loop, its face boxes, and any mouth drawn into any idle frame."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.studio.head import Head, Pose
from models.studio.identity import Identity
from models.studio.idle import LOOP_FRAMES, IdlePose, idle_pose, talking_weights
from models.studio.mesh import Floats, SkinPart, smoothstep
from models.studio.renderer import Renderer, Window

PICTURE_PX = 512
BOX_PX = 288
"""As many pixels as the shipped network draws, so that its crops are pasted as they are."""
_DRAWN_PX = 256
"""Width of the part that the mask may show, in the middle of the box."""
_ABOVE_LIPS = 0.085
"""The box's middle row lies this far (decimetres) above the upper lip's edge: just under the nose."""


def mouth_anchor(skin: SkinPart) -> NDArray[np.float64]:
    """(1, 3): the point just under the nose that a face box is laid around."""
    top = skin.vertices[(skin.lips > 0.5) & (skin.vertices[:, 2] > 0.85)]
    highest = top[np.argmax(top[:, 1])]
    return np.array([[0.0, float(highest[1]) + _ABOVE_LIPS, float(highest[2])]])


class Stage:
    """Draws one identity at 512 x 512 with 2 x 2 samples a pixel, in its idle loop or talking.

    Attributes:
        boxes: (250, 4) int32, the 288 x 288 px face box of every idle frame as x0, y0, x1, y1; even. Its
            lower half holds the whole moving mouth, from under the nose to the chin of the open jaw.
    """

    def __init__(self, identity: Identity) -> None:
        self.identity = identity
        self.head = Head(identity)
        self.renderer = Renderer(self.head, PICTURE_PX, supersampling=2)
        self._anchor = mouth_anchor(self.head.skin)
        self.boxes = np.array([self._box(frame) for frame in range(LOOP_FRAMES)], np.int32)

    def _box(self, frame: int) -> tuple[int, int, int, int]:
        idle = idle_pose(frame)
        x, y = self.renderer.project(self._anchor, idle.head_rotation, idle.breath)[0]
        limit = PICTURE_PX - BOX_PX
        x0 = int(np.clip(2 * round((x - BOX_PX / 2) / 2), 0, limit))
        y0 = int(np.clip(2 * round((y - BOX_PX / 2) / 2), 0, limit))
        return x0, y0, x0 + BOX_PX, y0 + BOX_PX

    def pose(self, frame: int, mouth: NDArray[np.float32] | None = None) -> tuple[Pose, IdlePose]:
        """The posed head of idle frame ``frame``, saying ``mouth`` ((52,) weights) if given."""
        idle = idle_pose(frame)
        weights = idle.weights if mouth is None else talking_weights(idle.weights, mouth)
        return self.head.pose(weights, idle.gaze), idle

    def _draw(self, frame: int, mouth: NDArray[np.float32] | None, window: Window | None) -> NDArray[np.uint8]:
        pose, idle = self.pose(frame, mouth)
        return self.renderer.render(pose, idle.head_rotation, window, idle.breath)

    def _window(self, frame: int) -> Window:
        x0, y0, x1, y1 = (int(edge) for edge in self.boxes[frame % LOOP_FRAMES])
        return x0, y0, x1, y1

    def render_frame(self, frame: int, mouth: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
        """The whole picture, (512, 512, 3) RGB."""
        return self._draw(frame, mouth, None)

    def matte(self, frame: int) -> NDArray[np.uint8]:
        """Coverage of idle frame ``frame``, (512, 512): 255 = head, hair and clothes, 0 = backdrop."""
        pose, idle = self.pose(frame)
        return self.renderer.matte(pose, idle.head_rotation, breath=idle.breath)

    def idle_crop(self, frame: int) -> NDArray[np.uint8]:
        """The face box of idle frame ``frame``, (288, 288, 3) RGB, mouth at rest."""
        return self._draw(frame, None, self._window(frame))

    def render_mouth(self, frame: int, mouth: NDArray[np.float32]) -> NDArray[np.uint8]:
        """The same box with the mouth's (52,) weights: an exact pair to ``idle_crop(frame)``."""
        return self._draw(frame, mouth, self._window(frame))

    def flows(self, frame: int, mouth: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """``Renderer.flow`` of that box, (288, 288, 2): from talking to rest, and from rest to talking."""
        (talking, idle), (rest, _) = self.pose(frame, mouth), self.pose(frame)
        where = idle.head_rotation, self._window(frame), idle.breath
        return self.renderer.flow(talking, rest, *where), self.renderer.flow(rest, talking, *where)

    @staticmethod
    def blend_mask() -> NDArray[np.uint8]:
        """(288, 288): 255 over mouth, cheeks, jaw and chin; 0 above the nose base and at the borders."""
        row = column = np.arange(_DRAWN_PX) + 0.5
        down = smoothstep(125, 139, row) * smoothstep(254, 242, row)
        across = smoothstep(4, 34, column) * smoothstep(_DRAWN_PX - 4, _DRAWN_PX - 34, column)
        mask = cv2.GaussianBlur(np.outer(down, across) ** 0.9, (0, 0), 1.0)
        mask[:124] = 0
        mask[[0, -1]] = 0
        mask[:, [0, -1]] = 0
        return np.pad(np.asarray(np.round(mask * 255), np.uint8), (BOX_PX - _DRAWN_PX) // 2)
