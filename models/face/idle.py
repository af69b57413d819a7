"""Idle loops: of a clip the quietest stretch, there and back; of a photo a slow sway and breath."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from models.face.track import Track

STILL_FRAMES = 150
"""Six seconds: two breaths."""
_STRETCH_FRAMES = (100, 75, 50, 38, 25, 13)
SHORTEST_FRAMES = min(_STRETCH_FRAMES)
_SHORTNESS = 12.0
"""A stretch of n frames must be quieter by 1 + 12 / n: short loops tire."""
_TURN = 100.0
"""A head that moves by a hundredth of the crop a frame where the loop turns weighs as much as one grey level."""
_SWAY, _NOD, _BREATH = 0.006, 0.0035, 0.006
"""Amplitudes, of the crop's side."""
_FINER = 2
"""The warp samples at twice the size: at the size itself, each sub-pixel shift would blur differently."""


def quietest(track: Track, usable: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last frame of the best stretch to idle in; None if no usable one lasts half a second."""
    speed = np.linalg.norm(np.diff(track.centres, axis=0, prepend=track.centres[:1]), axis=1) / track.sides
    best: tuple[float, int, int] | None = None
    for length in _STRETCH_FRAMES:
        for first in range(len(track.sides) - length + 1):
            last = first + length - 1
            if not usable[first : last + 1].all():
                continue
            # The first frame's change leads into the stretch and is not shown.
            change = float(track.mouth_change[first + 1 : last + 1].mean())
            cost = (change + _TURN * (speed[first + 1] + speed[last])) * (1 + _SHORTNESS / length)
            if best is None or cost < best[0]:
                best = (cost, first, last)
    return None if best is None else best[1:]


def longest(usable: NDArray[np.bool_]) -> tuple[int, int] | None:
    """First and last frame of the longest usable stretch, the earliest of several; None if under half a second."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], usable, [False]]).astype(np.int8)))
    begins, ends = edges[::2], edges[1::2]
    best = int((ends - begins).argmax()) if len(begins) else -1
    if best < 0 or ends[best] - begins[best] < SHORTEST_FRAMES:
        return None
    return int(begins[best]), int(ends[best]) - 1


def there_and_back(first: int, last: int) -> list[int]:
    """Frames of a loop that turns at both ends without showing them twice."""
    return [*range(first, last), *range(last, first, -1)]


def still_loop(
    picture: NDArray[np.uint8], width: int, height: int, centre: NDArray[np.float64], side: float
) -> Iterator[NDArray[np.uint8]]:
    """150 frames (height, width, 3) of a photo: the head sways, the shoulders rise, the border holds still.

    Args:
        picture: the part of the photo that is shown, of any size in this proportion.
        width: of the frames, pixels.
        height: likewise.
        centre: x, y of the face crop in the frames.
        side: of the face crop in the frames.
    """
    fine_width, fine_height = _FINER * width, _FINER * height
    shrinks = picture.shape[1] > fine_width
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    fine = cv2.resize(picture, (fine_width, fine_height), interpolation=method)
    y, x = (grid.astype(np.float32) for grid in np.mgrid[:fine_height, :fine_width])
    (cx, cy), reach = centre * _FINER, side * _FINER
    # A face moves as a whole, so the weight is flat over it and falls off around.
    away = np.hypot((x - cx) / reach, (y - cy + 0.1 * reach) / (1.2 * reach))
    inside = np.minimum(np.minimum(x, fine_width - 1 - x), np.minimum(y, fine_height - 1 - y)) / (0.25 * reach)
    head = _smoothstep(1.1, 0.4, away) * np.clip(inside, 0, 1)
    body = _smoothstep(0.35 * reach, 1.0 * reach, y - cy)
    for frame in range(STILL_FRAMES):
        turn = 2 * np.pi * frame / STILL_FRAMES
        breath = _BREATH * reach * (0.5 - 0.5 * np.cos(2 * turn))
        sway, nod = _SWAY * reach * np.sin(turn), _NOD * reach * np.sin(2 * turn + 1.0)
        map_x = x - head * np.float32(sway)
        map_y = y - head * np.float32(nod - 0.4 * breath) + body * np.float32(breath)
        moved = cv2.remap(fine, map_x, map_y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
        yield np.asarray(cv2.resize(moved, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def _smoothstep(low: float, high: float, value: NDArray[np.float32]) -> NDArray[np.float32]:
    t = np.clip((value - np.float32(low)) / np.float32(high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)
