"""Where a face is, from 68 landmarks: its crop of the picture, and the aligned picture the reconstruction sees.

Landmarks are (68, 2) in the usual order of the 300-W annotation (Sagonas, Tzimiropoulos, Zafeiriou and Pantic, "300
Faces in-the-Wild Challenge", ICCV Workshops 2013), x and y in pixels.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.sadtalker.reconstruction import PICTURE_PX
from models.sadtalker.resize import bicubic

Points = NDArray[np.float64]

STANDARD_FIVE: Points = np.array(
    [
        [-0.31148657, 0.29036078, 0.13377953],
        [0.30979887, 0.28972036, 0.13179526],
        [0.0032534988, -0.046179324, 0.55244243],
        [-0.25216928, -0.38133916, 0.22405732],
        [0.2484662, -0.38128236, 0.22235769],
    ],
    dtype=np.float32,
).astype(np.float64)
"""(5, 3): eye centres, nose tip and mouth corners of the mean face the reconstruction was trained by, y up."""
_FACE_PX = 102.0
"""What one unit of the standard face measures in an aligned picture."""
_CROP_PX = 512
"""Pictures are cropped at no more than about twice this."""


def five_points(landmarks: Points) -> Points:
    """Eye centres (between their corners), nose tip, mouth corners, (5, 2)."""
    return np.stack(
        [
            landmarks[[36, 39]].mean(axis=0),
            landmarks[[42, 45]].mean(axis=0),
            landmarks[30],
            landmarks[48],
            landmarks[54],
        ]
    )


@dataclass(frozen=True)
class Alignment:
    """How a picture is brought to the reconstruction network's 224 pixels."""

    width: int
    height: int
    """Of the picture."""
    scale: float
    """Aligned pixels a picture's pixel."""
    x: float
    y: float
    """Where the standard face's origin is in the picture; y counts upwards from the bottom."""

    @classmethod
    def of(cls, landmarks: Points, width: int, height: int) -> "Alignment":
        """Fit the standard face to landmarks (68, 2) whose y counts upwards, by least squares."""
        five = five_points(landmarks)
        basis = np.concatenate((STANDARD_FIVE, np.ones((len(five), 1))), axis=1)
        (*rows, shift), *_ = np.linalg.lstsq(basis, five, rcond=None)
        fitted_scale = np.linalg.norm(np.array(rows), axis=0).mean()
        return cls(width, height, float(_FACE_PX / fitted_scale), float(shift[0]), float(shift[1]))

    @property
    def _scaled_size(self) -> tuple[int, int]:
        return int(self.width * self.scale), int(self.height * self.scale)

    def picture(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """RGB (height, width, 3) -> (224, 224, 3); black beyond the picture."""
        width, height = self._scaled_size
        left = int(width / 2 - PICTURE_PX / 2 + (self.x - self.width / 2) * self.scale)
        top = int(height / 2 - PICTURE_PX / 2 + (self.height / 2 - self.y) * self.scale)
        aligned = np.zeros((PICTURE_PX, PICTURE_PX, 3), np.uint8)
        x0, x1 = (min(max(edge, 0), width) for edge in (left, left + PICTURE_PX))
        y0, y1 = (min(max(edge, 0), height) for edge in (top, top + PICTURE_PX))
        if x0 < x1 and y0 < y1:
            scaled = bicubic(picture, height, width)
            aligned[y0 - top : y1 - top, x0 - left : x1 - left] = scaled[y0:y1, x0:x1]
        return aligned

    def landmarks(self, landmarks: Points) -> Points:
        """The same landmarks (n, 2) in the aligned picture, y upwards from its bottom."""
        middle = np.array([self.width, self.height]) / 2
        scaled = (landmarks - (self.x, self.y) + middle) * self.scale
        return scaled - (np.array(self._scaled_size) - PICTURE_PX) / 2


@dataclass(frozen=True)
class FaceCrop:
    """Which part of a picture is a head: shrink, cut, and in that cut the upright box about the head's square."""

    shrunk: tuple[int, int]
    """Width, height the picture is scaled to first."""
    cut: tuple[int, int, int, int]
    """x0, y0, x1, y1 in the shrunk picture."""
    head: tuple[float, float, float, float]
    """x0, y0, x1, y1 in the cut."""

    @classmethod
    def of(cls, landmarks: Points, width: int, height: int) -> "FaceCrop":
        """From landmarks (68, 2), y downwards, by the rule of FFHQ.

        T. Karras, S. Laine and T. Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks",
        CVPR 2019, appendix C: a square about the eyes and mouth, as large as the longer of their distances asks.
        """
        corners, side = _head_square(landmarks)
        shrink = int(side / _CROP_PX * 0.5)
        if shrink > 1:
            width, height = round(width / shrink), round(height / shrink)
            corners, side = corners / shrink, side / shrink
        border = max(round(side * 0.1), 3)
        least, most = np.floor(corners.min(axis=0)) - border, np.ceil(corners.max(axis=0)) + border
        x0, y0 = int(max(least[0], 0)), int(max(least[1], 0))
        x1, y1 = int(min(most[0], width)), int(min(most[1], height))
        # From pixels' corners to their centres.
        upper_left, lower_left, lower_right, upper_right = corners - (x0, y0) + 0.5
        head = (
            max(min(upper_left[0], lower_left[0]), 0.0),
            max(min(upper_left[1], upper_right[1]), 0.0),
            min(max(lower_right[0], upper_right[0]), float(x1 - x0)),
            min(max(lower_left[1], lower_right[1]), float(y1 - y0)),
        )
        return cls((width, height), (x0, y0, x1, y1), head)

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The head's x0, y0, x1, y1 in the shrunk picture, in whole pixels."""
        x0, y0, x1, y1 = (int(edge) for edge in self.head)
        return self.cut[0] + x0, self.cut[1] + y0, self.cut[0] + x1, self.cut[1] + y1


def _head_square(landmarks: Points) -> tuple[Points, float]:
    """Corners (4, 2), from the upper left anticlockwise, and the side in pixels."""
    left_eye, right_eye = landmarks[36:42].mean(axis=0), landmarks[42:48].mean(axis=0)
    eyes, mouth = (left_eye + right_eye) / 2, (landmarks[48] + landmarks[54]) / 2
    between, down = right_eye - left_eye, mouth - eyes
    across = between + np.array([down[1], -down[0]])
    across *= max(2.0 * np.hypot(*between), 1.8 * np.hypot(*down)) / np.hypot(*across)
    along = np.array([-across[1], across[0]])
    centre = eyes + 0.1 * down
    corners = [centre - across - along, centre - across + along, centre + across + along, centre + across - along]
    return np.stack(corners), float(2 * np.hypot(*across))
