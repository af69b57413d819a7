"""A drawn face crop back into the avatar's frame, feathered, in the encoder's own colour space."""

from dataclasses import dataclass

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
        self._pastes: dict[tuple[int, int], _Paste] = {}

    def compose(self, index: int, crop_rgb: NDArray[np.uint8] | None, opacity: float = 1.0) -> NDArray[np.uint8]:
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
        idle: NDArray[np.uint8] = avatar.frames_i420[index]
        if crop_rgb is None or opacity <= 0.0:
            return idle
        x0, y0, x1, y1 = (int(edge) for edge in avatar.boxes[index])
        size = (x1 - x0, y1 - y0)
        if crop_rgb.shape[1::-1] != size:
            crop_rgb = np.asarray(cv2.resize(crop_rgb, size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        paste = self._paste(size)
        rows, columns = paste.rows, paste.columns
        part = np.ascontiguousarray(crop_rgb[rows, columns])
        drawn = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)
        frame: NDArray[np.uint8] = idle.copy()
        left, top = x0 + columns.start, y0 + rows.start
        for plane, (target, source) in enumerate(
            zip(planes(frame, avatar.width, avatar.height), planes(drawn, part.shape[1], part.shape[0]), strict=True)
        ):
            weight, step = (paste.chroma, 2) if plane else (paste.luma, 1)
            height, width = source.shape
            seen = target[top // step : top // step + height, left // step : left // step + width]
            _blend(seen, source, weight if opacity == 1.0 else weight * np.float32(opacity))
        return frame

    def _paste(self, size: tuple[int, int]) -> "_Paste":
        """For boxes of this (width, height), kept for the next frame."""
        if size not in self._pastes:
            self._pastes[size] = _Paste.of_mask(self._avatar.mask, size)
        return self._pastes[size]


@dataclass(frozen=True)
class _Paste:
    """The part of a crop that shows, on even rows and columns, and how much."""

    rows: slice
    columns: slice
    luma: NDArray[np.float32]
    chroma: NDArray[np.float32]

    @classmethod
    def of_mask(cls, mask: NDArray[np.uint8], size: tuple[int, int]) -> "_Paste":
        width, height = size
        weight = mask.astype(np.float32) / 255.0
        full, half = (
            np.asarray(cv2.resize(weight, each, interpolation=cv2.INTER_AREA), dtype=np.float32)
            for each in (size, (width // 2, height // 2))
        )
        rows, columns = (_even_span(np.asarray(full.any(axis=axis))) for axis in (1, 0))
        halved = tuple(slice(span.start // 2, span.stop // 2) for span in (rows, columns))
        return cls(rows, columns, full[rows, columns].copy(), half[halved].copy())


def _even_span(shows: NDArray[np.bool_]) -> slice:
    """From the first to the last of what shows, grown to even bounds; at least 2 long."""
    indices = np.flatnonzero(shows)
    first, last = (int(indices[0]), int(indices[-1])) if len(indices) else (0, 1)
    return slice(first // 2 * 2, last // 2 * 2 + 2)


def whole_frame(picture_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A whole RGB picture (h, w, 3), even sides, as I420 (h * 3 / 2, w)."""
    return np.asarray(cv2.cvtColor(picture_rgb, cv2.COLOR_RGB2YUV_I420), dtype=np.uint8)


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
    target[:] = cv2.blendLinear(drawn, target, weight, 1.0 - weight)
