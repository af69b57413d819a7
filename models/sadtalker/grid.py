"""The coordinates of pictures and volumes: x, y, z in [-1, 1], the first and last voxel's centres at the ends."""

import torch
from torch import Tensor


def volume_grid(depth: int, height: int, width: int, like: Tensor) -> Tensor:
    """(depth, height, width, 3): x, y, z of every voxel, of ``like``'s type and on its device."""
    axes = [torch.arange(n, dtype=like.dtype, device=like.device) * (2 / (n - 1)) - 1 for n in (depth, height, width)]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack((x, y, z), dim=-1)
