"""Where in an avatar's picture drawn crops go, on the device that draws them: all of ``crop.paste`` but the crop."""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.liveportrait.crop import Matrix, paste_mask, place_mask, sampled, sampling_grid
from models.liveportrait.pixels import Picture


@dataclass(frozen=True)
class Place:
    """Of one avatar; serves any number of sessions. All in float32."""

    grid: Tensor
    """(1, height, width, 2): where in the crop each of the picture's pixels comes from."""
    mask: Tensor
    """(3, height, width): how much of the crop shows."""
    rest: Tensor
    """(3, height, width): what shows of the picture, in steps of 255."""

    @classmethod
    def of(cls, picture: Picture, to_picture: Matrix, crop_px: int, device: torch.device) -> "Place":
        """A picture (h, w, 3), and the affine (3, 3) that moves crops of a side into it."""
        height, width = picture.shape[:2]
        mask = torch.from_numpy(place_mask(paste_mask(crop_px), to_picture, (width, height)))
        rest = (1 - mask) * torch.from_numpy(picture)
        grid = sampling_grid(to_picture, (crop_px, crop_px), (width, height))
        planes = (part.permute(2, 0, 1).contiguous().to(device) for part in (mask, rest))
        return cls(grid.to(device), *planes)

    def pasted(self, drawn: Tensor) -> Picture:
        """The picture with a drawn crop, (side, side, 3) of bytes on the device, laid over it: RGB (h, w, 3)."""
        shown = (self.mask * sampled(drawn, self.grid) + self.rest).clamp_(0, 255).to(torch.uint8)
        picture: Picture = shown.permute(1, 2, 0).contiguous().cpu().numpy()
        return picture
