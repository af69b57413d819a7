"""The published pipeline's way from a video frame into the generator and back, to the pixel.

Facts of the method (Wav2Lip, ACM Multimedia 2020): bilinear scaling of the face box to 96x96, the lower half
hidden, pictures in OpenCV's BGR, the drawn box written over the frame without blending. The live engine takes
``scaled_crop`` in and ``models.face.compositor`` out instead.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

Picture = NDArray[np.uint8]
SMOOTHING_WINDOW = 5
BOTTOM_PAD = 10


def crop_face(frame: Picture, box: NDArray[np.int64], size: int = 96) -> Picture:
    """Cut ``box`` (y0, y1, x0, x1) out of a frame (h, w, 3) and scale it to (size, size, 3)."""
    y0, y1, x0, x1 = (int(edge) for edge in box)
    return np.asarray(cv2.resize(frame[y0:y1, x0:x1], (size, size)), dtype=np.uint8)


def scaled_crop(crop: NDArray[np.uint8], size: int, scaling: str = "area") -> NDArray[np.uint8]:
    """A face box scaled to what a network takes, (size, size, 3); ``scaling`` is ``GeneratorInfo``'s."""
    averages = scaling == "area" and crop.shape[0] > size
    method = cv2.INTER_AREA if averages else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(crop, (size, size), interpolation=method), dtype=np.uint8)


def face_input(target: Picture, reference: Picture) -> NDArray[np.float32]:
    """What the face encoder sees: ``target`` without its lower half, then ``reference``.

    Both (size, size, 3); returns (6, size, size) in [0, 1].
    """
    masked = target.astype(np.float32) / np.float32(255)
    masked[len(masked) // 2 :] = 0
    whole = reference.astype(np.float32) / np.float32(255)
    return np.ascontiguousarray(np.concatenate((masked, whole), axis=2).transpose(2, 0, 1))


def to_pixels(drawn: NDArray[np.float32]) -> Picture:
    """Generator output (3, size, size) in [0, 1] -> (size, size, 3), truncated as published, not rounded."""
    return (drawn.transpose(1, 2, 0) * np.float32(255)).astype(np.uint8)


def paste(frame: Picture, drawn: Picture, box: NDArray[np.int64]) -> Picture:
    """A copy of ``frame`` with ``drawn`` scaled to ``box`` (y0, y1, x0, x1) and written over it."""
    y0, y1, x0, x1 = (int(edge) for edge in box)
    pasted = frame.copy()
    pasted[y0:y1, x0:x1] = cv2.resize(drawn, (x1 - x0, y1 - y0))
    return pasted


def pad_box(
    detection: NDArray[np.float64],
    height: int,
    width: int,
    pads: tuple[int, int, int, int] = (0, BOTTOM_PAD, 0, 0),
) -> NDArray[np.int64]:
    """A detector's (x0, y0, x1, y1) as a box (x0, y0, x1, y1): cut to ints, padded (top, bottom, left,
    right), kept inside the frame."""
    x0, y0, x1, y1 = (int(max(0.0, edge)) for edge in detection)
    top, bottom, left, right = pads
    return np.array([max(0, x0 - left), max(0, y0 - top), min(width, x1 + right), min(height, y1 + bottom)])


def smooth_boxes(boxes: NDArray[np.int64], window: int = SMOOTHING_WINDOW) -> NDArray[np.int64]:
    """Mean of each box (n, 4) and its successors, truncated.

    The last boxes all take the last ``window``, of which some are smoothed already; with fewer boxes than
    ``window`` the published code counts from the end, and so does this.
    """
    smoothed = boxes.astype(np.int64)
    for index in range(len(smoothed)):
        first = min(index, len(smoothed) - window)
        last = index + window if first == index else len(smoothed)
        smoothed[index] = np.mean(smoothed[first:last], axis=0)
    return smoothed
