"""Pictures scaled as the networks were trained to see them."""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

_TRUNCATE = 4.0
"""Deviations after which the Gaussian ends."""


def _mirrored(places: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    """Indices beyond the ends, reflected about the outermost pixels."""
    if size == 1:
        return np.zeros_like(places)
    period = 2 * (size - 1)
    wrapped = places % period
    return np.where(wrapped < size, wrapped, period - wrapped)


def scaling_matrix(source: int, target: int) -> NDArray[np.float64]:
    """(target, source): a Gaussian against aliasing where it shrinks, then linear interpolation between pixels."""
    factor = source / target
    centres = (np.arange(target) + 0.5) * factor - 0.5
    sigma = max(0.0, (factor - 1) / 2)
    radius = int(_TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (offsets / sigma) ** 2) if sigma > 0 else np.ones(1)
    kernel /= kernel.sum()
    floor = np.floor(centres).astype(np.int64)
    matrix = np.zeros((target, source))
    rows = np.arange(target)[:, None]
    for neighbour, weight in ((floor, 1 - (centres - floor)), (floor + 1, centres - floor)):
        # What is mirrored is the smoothed picture: first the neighbour, then what it was smoothed from.
        columns = _mirrored(_mirrored(neighbour, source)[:, None] + offsets, source)
        np.add.at(matrix, (np.broadcast_to(rows, columns.shape), columns), weight[:, None] * kernel)
    return matrix


def scaled_picture(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.float32]:
    """RGB (h, w, 3) uint8 -> (3, height, width) float32 in [0, 1]."""
    values = picture.astype(np.float64) / 255
    rows, columns = scaling_matrix(picture.shape[0], height), scaling_matrix(picture.shape[1], width)
    scaled = np.einsum("yr,rxc,zx->cyz", rows, values, columns, optimize=True)
    return np.asarray(scaled, dtype=np.float32)


def bicubic(picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
    """RGB (h, w, 3) scaled by cubic convolution (a = -0.5), widened where it shrinks, as imaging libraries do."""
    tensor = torch.from_numpy(np.ascontiguousarray(picture)).permute(2, 0, 1)[None]
    scaled = functional.interpolate(tensor, size=(height, width), mode="bicubic", antialias=True)
    return scaled[0].permute(1, 2, 0).contiguous().numpy()


def fitted(drawn: NDArray[np.float32], size_px: int, crop_height: int, crop_width: int) -> NDArray[np.uint8]:
    """A drawn frame (3, s, s) in [0, 1] -> uint8 RGB with the crop's own proportions, ``size_px`` wide."""
    pixels = np.rint(np.clip(drawn, 0, 1).transpose(1, 2, 0) * 255).astype(np.uint8)
    height = int(size_px * crop_height / crop_width)
    if pixels.shape[:2] == (height, size_px):
        return pixels
    return np.asarray(cv2.resize(pixels, (size_px, height)), dtype=np.uint8)
