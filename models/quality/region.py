"""The part of a picture that an avatar's blend mask pastes: where drawn and rendered mouths are compared."""

import cv2
import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.errors import AvatarError

_PASTED = 127


class MouthRegion:
    """Cuts the pasted rectangle out of an avatar's pictures.

    Attributes:
        rows, columns: where it lies in the face box, at the mask's size.
        inside: (h, w) which of its pixels the mask pastes (weight over 127 of 255).
    """

    def __init__(self, avatar: Avatar) -> None:
        pasted = avatar.mask > _PASTED
        if not pasted.any():
            raise AvatarError(f"The mask of avatar '{avatar.name}' pastes nothing; add the avatar again.")
        rows, columns = np.flatnonzero(pasted.any(axis=1)), np.flatnonzero(pasted.any(axis=0))
        self.rows = slice(int(rows[0]), int(rows[-1]) + 1)
        self.columns = slice(int(columns[0]), int(columns[-1]) + 1)
        self._boxes, self._frame_count = avatar.boxes, len(avatar)
        self._box_size = (avatar.mask.shape[1], avatar.mask.shape[0])
        self.inside: NDArray[np.bool_] = pasted[self.rows, self.columns]

    def cut(self, i420: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
        """The region of a whole picture of frame ``frame`` (modulo the loop), (h, w, 3) RGB."""
        box = self.box(i420, frame)
        return np.ascontiguousarray(box[self.rows, self.columns])

    def box(self, i420: NDArray[np.uint8], frame: int) -> NDArray[np.uint8]:
        """The face box of a whole picture, at the mask's size, RGB."""
        x0, y0, x1, y1 = self._boxes[frame % self._frame_count]
        rgb = np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), dtype=np.uint8)[y0:y1, x0:x1]
        if (rgb.shape[1], rgb.shape[0]) != self._box_size:
            rgb = np.asarray(cv2.resize(rgb, self._box_size, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)
        return rgb
