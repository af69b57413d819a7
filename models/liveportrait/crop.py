"""Squares about a face: cut out of a picture, and pasted back."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import acos, cos, sin

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.liveportrait.landmarks import Points, axis_points
from models.liveportrait.pixels import Picture

Matrix = NDArray[np.float32]

CROP_PX = 512
NETWORK_PX = 256
_MASK_MARGIN_PX = 16
_SHORTEST_AXIS_PX = 1e-3


@dataclass(frozen=True)
class Square:
    """A square about a face, in pixels of the picture."""

    center: NDArray[np.float32]
    """(2,): x, y."""
    size_px: float
    angle_rad: float
    """How far the face leans to its left; 0 is upright."""

    @classmethod
    def about(
        cls,
        landmarks: Points,
        scale: float = 1.5,
        shift_x: float = 0.0,
        shift_y: float = 0.0,
        with_lips: bool = True,
    ) -> "Square":
        """The square about landmarks (n, 2), upright to the face.

        Args:
            landmarks: any layout ``landmarks.axis_points`` knows.
            scale: side, as a multiple of the longer side of the landmarks' box.
            shift_x: how far to move it along the face's own right, as a share of its side.
            shift_y: likewise down.
            with_lips: see ``axis_points``.
        """
        upper, lower = axis_points(landmarks, with_lips)
        down = lower - upper
        length = np.linalg.norm(down)
        down = down / length if length > _SHORTEST_AXIS_PX else np.array((0, 1), np.float32)
        right = np.stack((down[1], -down[0]))
        angle = acos(min(1.0, max(-1.0, float(right[0]))))
        axes = np.stack((right, down))
        mean = landmarks.mean(axis=0)
        turned = (landmarks - mean) @ axes.T
        low, high = turned.min(axis=0), turned.max(axis=0)
        size = float((high - low).max()) * scale
        center = mean + ((low + high) / 2 + size * np.array((shift_x, shift_y))) @ axes
        return cls(center.astype(np.float32), size, -angle if right[1] < 0 else angle)

    def corners(self, turned: bool = False) -> NDArray[np.float32]:
        """Its corners clockwise from the upper left, (4, 2); upright unless ``turned`` with the face."""
        unit = np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)), np.float32)
        c, s = (cos(self.angle_rad), sin(self.angle_rad)) if turned else (1.0, 0.0)
        turned_unit = unit @ np.array(((c, s), (-s, c)))
        return np.asarray(self.center + self.size_px / 2 * turned_unit, np.float32)

    def matrix(self, side_px: int = CROP_PX, turn: bool = True) -> Matrix:
        """Affine from the picture's pixels to a crop's of this side, (3, 3); ``turn`` sets the face upright."""
        scale = side_px / self.size_px
        c, s = (cos(self.angle_rad), sin(self.angle_rad)) if turn else (1.0, 0.0)
        linear = scale * np.array(((c, s), (-s, c)))
        matrix = np.eye(3)
        matrix[:2, :2] = linear
        matrix[:2, 2] = side_px / 2 - linear @ self.center.astype(np.float64)
        return matrix.astype(np.float32)


def mean_square(squares: Sequence[Square]) -> Square:
    """One upright square for a whole clip: a crop that moved with the head would hide its motion."""
    center = np.mean([square.center for square in squares], axis=0)
    return Square(center.astype(np.float32), float(np.mean([square.size_px for square in squares])), 0.0)


def source_square(landmarks: Points, scale: float = 2.3, shift_y: float = -0.125) -> Square:
    """The square the pipeline cuts a source's face out with; its crop is turned upright.

    The published flag for a shift to the side has no effect there, so there is none here.
    """
    return Square.about(landmarks, scale, 0.0, shift_y)


def driving_square(landmarks: Sequence[Points], scale: float = 2.2, shift_y: float = -0.1) -> Square:
    """The square for a driving clip of these landmarks, one array a frame; its crop is not turned."""
    return mean_square([Square.about(points, scale, 0.0, shift_y) for points in landmarks])


@torch.inference_mode()
def warp(picture: Picture, matrix: Matrix, size: tuple[int, int]) -> Picture:
    """The picture moved by ``matrix`` (picture to result) into (width, height); black outside of it.

    Bilinear, in float32: OpenCV 4 takes positions to the 32nd of a pixel only, which shows as three steps of 255.
    """
    height, width = picture.shape[:2]
    moved = sampled(torch.from_numpy(np.ascontiguousarray(picture)), sampling_grid(matrix, (width, height), size))
    return np.ascontiguousarray(moved.to(torch.uint8).permute(1, 2, 0).numpy())


def sampling_grid(matrix: Matrix, picture: tuple[int, int], result: tuple[int, int]) -> Tensor:
    """Where in a picture each pixel of the result comes from, (1, height, width, 2) in -1 ... 1; see ``warp``.

    ``picture`` and ``result`` are (width, height).
    """
    theta = _normalising(*picture) @ np.linalg.inv(matrix.astype(np.float64)) @ np.linalg.inv(_normalising(*result))
    shape = [1, 3, result[1], result[0]]
    return functional.affine_grid(torch.from_numpy(theta[None, :2].astype(np.float32)), shape, align_corners=True)


def sampled(picture: Tensor, grid: Tensor) -> Tensor:
    """A picture (h, w, 3) of bytes read at a grid on the same device: (3, height, width), float32 in whole steps."""
    return functional.grid_sample(picture.permute(2, 0, 1)[None].float(), grid, align_corners=True)[0].round_()


def _normalising(width: int, height: int) -> NDArray[np.float64]:
    return np.array(((2 / (width - 1), 0, -1), (0, 2 / (height - 1), -1), (0, 0, 1)))


def move_points(points: Points, matrix: Matrix) -> Points:
    """Points (n, 2) moved by an affine (3, 3)."""
    return np.asarray(points @ matrix[:2, :2].T + matrix[:2, 2], np.float32)


@dataclass(frozen=True)
class FaceCrop:
    """A face cut out of a picture."""

    picture: Picture
    """(side, side, 3) RGB; 512 as published."""
    to_crop: Matrix
    """(3, 3), from the picture's pixels to the crop's."""

    @property
    def to_picture(self) -> Matrix:
        """(3, 3), from the crop's pixels to the picture's."""
        return np.linalg.inv(self.to_crop.astype(np.float64)).astype(np.float32)

    def network_input(self) -> Picture:
        """(side / 2, side / 2, 3): what F and M see of a source, half the size that G draws."""
        side_px = len(self.picture) // 2
        return np.asarray(cv2.resize(self.picture, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)


def cut(picture: Picture, square: Square, turn: bool = True, side_px: int = CROP_PX) -> FaceCrop:
    """Cut ``square`` out of an RGB picture (h, w, 3)."""
    matrix = square.matrix(side_px, turn)
    return FaceCrop(warp(picture, matrix, (side_px, side_px)), matrix)


@cache
def paste_mask(side_px: int = CROP_PX) -> Picture:
    """How much of a drawn crop to show, (side, side, 3): all of it, faded over the outer 16 of 512 pixels."""
    margin = _MASK_MARGIN_PX * side_px / CROP_PX
    ramp = np.arange(side_px, dtype=np.float64)
    outside = np.maximum(np.maximum(margin - ramp, ramp - (side_px - margin)), 0)
    distance = np.hypot(outside[:, None], outside[None])
    mask = np.floor(255 * np.clip(1 - distance / margin, 0, 1)).astype(np.uint8)
    return np.repeat(mask[..., None], 3, axis=2)


def place_mask(mask: Picture, to_picture: Matrix, size: tuple[int, int]) -> NDArray[np.float32]:
    """A crop's mask moved into a picture of (width, height), as shares from 0 to 1: (height, width, 3)."""
    return warp(mask, to_picture, size).astype(np.float32) / np.float32(255)


def paste(drawn: Picture, picture: Picture, placed_mask: NDArray[np.float32], to_picture: Matrix) -> Picture:
    """The picture with a drawn crop laid over it, (h, w, 3)."""
    height, width = picture.shape[:2]
    over = warp(drawn, to_picture, (width, height))
    return np.clip(placed_mask * over + (1 - placed_mask) * picture, 0, 255).astype(np.uint8)
