"""A sheet that shows what was made of a photo or clip, before anybody talks with it."""

import cv2
import numpy as np
from numpy.typing import NDArray

FILE = "preview.jpg"
"""Its name in an avatar's folder."""
_TILE_PX = 288
_STRIP = 6
_GAP_PX = 8
_PAPER = (246, 247, 248)
_ACCENT = (11, 114, 133)
Picture = NDArray[np.uint8]


def sheet_jpeg(frames: list[Picture], boxes: NDArray[np.int32], mask: NDArray[np.uint8]) -> bytes:
    """The picture with the face box; the crop with its middle row; what is drawn over; the loop, in six frames."""
    x0, y0, x1, y1 = (int(edge) for edge in boxes[0])
    boxed = frames[0].copy()
    cv2.rectangle(boxed, (x0, y0), (x1 - 1, y1 - 1), _ACCENT, 2)
    crop = np.ascontiguousarray(frames[0][y0:y1, x0:x1])
    lined = crop.copy()
    cv2.line(lined, (0, len(crop) // 2), (len(crop), len(crop) // 2), _ACCENT, 2)
    weight = cv2.resize(mask, crop.shape[1::-1], interpolation=cv2.INTER_AREA)[..., np.newaxis] / 255.0 * 0.6
    tinted = (crop * (1 - weight) + weight * np.array(_ACCENT)).round().astype(np.uint8)
    above = np.hstack([_tile(picture, _TILE_PX) for picture in (boxed, lined, tinted)])
    chosen = np.linspace(0, len(frames), _STRIP, endpoint=False).astype(int)
    below = np.hstack([_tile(frames[index], above.shape[1] // _STRIP - _GAP_PX) for index in chosen])
    sheet = np.vstack([above, np.pad(below, ((0, 0), (0, above.shape[1] - below.shape[1]), (0, 0)), mode="edge")])
    done, jpeg = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert done, "a JPEG of this size can always be written"
    return jpeg.tobytes()


def _tile(picture: Picture, side: int) -> Picture:
    """Scaled into a square with a margin."""
    height, width = picture.shape[:2]
    factor = side / max(height, width)
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    tile = np.full((side + _GAP_PX, side + _GAP_PX, 3), _PAPER, np.uint8)
    top, left = (_GAP_PX + side - size[1]) // 2, (_GAP_PX + side - size[0]) // 2
    tile[top : top + size[1], left : left + size[0]] = small
    return tile
