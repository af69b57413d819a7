"""Where in an avatar's picture drawn crops go, on the device that draws them: all of ``crop.paste`` but the crop."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.liveportrait.crop import Matrix, paste_mask, place_mask, sampled, sampling_grid
from models.liveportrait.pixels import Picture


@dataclass(frozen=True)
class Place:
    """Of one avatar; serves any number of sessions. All in float32, of the rectangle that a crop can change."""

    picture: Picture
    """The avatar's, RGB (height, width, 3)."""
    rectangle: tuple[slice, slice]
    """Rows and columns of it."""
    grid: Tensor
    """(1, rows, columns, 2): where in the crop each of the rectangle's pixels comes from."""
    mask: Tensor
    """(3, rows, columns): how much of the crop shows."""
    rest: Tensor
    """(3, rows, columns): what shows of the picture, in steps of 255."""

    @classmethod
    def of(cls, picture: Picture, to_picture: Matrix, crop_px: int, device: torch.device) -> "Place":
        """A picture (h, w, 3), and the affine (3, 3) that moves crops of a side into it."""
        height, width = picture.shape[:2]
        mask = place_mask(paste_mask(crop_px), to_picture, (width, height))
        rectangle = _extent(mask, (1, 2)), _extent(mask, (0, 2))
        mask = mask[rectangle]
        rest = (1 - mask) * picture[rectangle]
        grid = sampling_grid(to_picture, (crop_px, crop_px), (width, height))[:, *rectangle].contiguous()
        planes = (torch.from_numpy(part).permute(2, 0, 1).contiguous().to(device) for part in (mask, rest))
        return cls(picture, rectangle, grid.to(device), *planes)

    def pasted(self, drawn: Tensor) -> Picture:
        """The picture with a drawn crop, (side, side, 3) of bytes on the device, laid over it: RGB (h, w, 3)."""
        # In place, as fresh memory costs more than the sums; bytes weighed by shares need no clamping.
        shown = sampled(drawn, self.grid).mul_(self.mask).add_(self.rest).to(torch.uint8)
        picture = self.picture.copy()
        picture[self.rectangle] = cv2.merge(list(shown.cpu().numpy()))
        return picture


def _extent(mask: NDArray[np.float32], others: tuple[int, int]) -> slice:
    """From the first line that shows to the last, along the axis that is none of ``others``; one where none does."""
    lines = np.flatnonzero(mask.max(axis=others))
    return slice(int(lines[0]), int(lines[-1]) + 1) if len(lines) else slice(0, 1)
