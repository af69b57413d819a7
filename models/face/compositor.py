"""A drawn face crop back into the avatar's frame, feathered, in the encoder's own colour space."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar


class Compositor:
    """Pastes crops into an avatar's idle loop.

    Works on planar YUV 4:2:0 and touches the face box only, so a 512 x 512 frame costs a fraction of a
    millisecond and needs no conversion before encoding.
    """

    def __init__(self, avatar: Avatar) -> None:
        self._avatar = avatar
        self._weights: dict[tuple[int, int], tuple[NDArray[np.float32], NDArray[np.float32]]] = {}

    def compose(
        self, index: int, crop_rgb: NDArray[np.uint8] | None, opacity: float = 1.0
    ) -> NDArray[np.uint8]:
        """Frame ``index`` (modulo the loop) with a crop blended in.

        Args:
            index: frame of the idle loop.
            crop_rgb: (h, w, 3) of any size, scaled to the frame's box; None leaves the idle frame.
            opacity: 0 shows the idle frame, 1 the crop, weighted further by the avatar's mask.

        Returns:
            (height * 3 / 2, width) I420; a view of the loop itself where nothing is drawn: do not write.
        """
        avatar = self._avatar
        index %= len(avatar)
        idle = avatar.frames_i420[index]
        if crop_rgb is None or opacity <= 0.0:
            return idle
        x0, y0, x1, y1 = (int(edge) for edge in avatar.boxes[index])
        width, height = x1 - x0, y1 - y0
        if crop_rgb.shape[:2] != (height, width):
            crop_rgb = np.asarray(
                cv2.resize(crop_rgb, (width, height), interpolation=cv2.INTER_LINEAR), dtype=np.uint8
            )
        drawn = np.asarray(cv2.cvtColor(crop_rgb, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
        luma_weight, chroma_weight = self._box_weights(width, height)
        frame = idle.copy()
        target, source = planes(frame, avatar.width, avatar.height), planes(drawn, width, height)
        _blend(target[0][y0:y1, x0:x1], source[0], luma_weight * opacity)
        for plane, part in zip(target[1:], source[1:], strict=True):
            _blend(plane[y0 // 2 : y1 // 2, x0 // 2 : x1 // 2], part, chroma_weight * opacity)
        return frame

    def _box_weights(self, width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The mask at the box's size and at half of it (chroma), kept for the next frame."""
        key = (width, height)
        if key not in self._weights:
            mask = self._avatar.mask.astype(np.float32) / 255.0
            full, half = (
                np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_AREA), dtype=np.float32)
                for size in (key, (width // 2, height // 2))
            )
            self._weights[key] = (full, half)
        return self._weights[key]


def planes(i420: NDArray[np.uint8], width: int, height: int) -> tuple[NDArray[np.uint8], ...]:
    """Views of the Y, U and V planes of a contiguous I420 picture."""
    flat, luma, chroma = i420.reshape(-1), width * height, width * height // 4
    return (
        flat[:luma].reshape(height, width),
        flat[luma : luma + chroma].reshape(height // 2, width // 2),
        flat[luma + chroma :].reshape(height // 2, width // 2),
    )


def _blend(target: NDArray[np.uint8], drawn: NDArray[np.uint8], weight: NDArray[np.float32]) -> None:
    """target += weight * (drawn - target), rounded, in place."""
    base = target.astype(np.float32)
    target[:] = np.rint(base + weight * (drawn.astype(np.float32) - base)).astype(np.uint8)
