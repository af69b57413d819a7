"""The keypoint detector: 15 points in space that stand for a face, learned without labels.

After Wang, Mallya and Liu, "One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing", CVPR 2021.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import scaled
from models.sadtalker.grid import volume_grid
from models.sadtalker.layers import DownBlock2d, UpBlock3d

KEYPOINTS = 15
DEPTH = 16
"""Slices of every volume."""
_SHRINK = 4
_TEMPERATURE = 0.1
_LEVELS = (64, 128, 256, 512, 1024)


class Shrink(nn.Module):
    """A quarter of the size: a Gaussian, then every fourth pixel. The kernel is the file's, not reckoned again."""

    weight: Tensor

    def __init__(self, kernel: int = 13) -> None:
        super().__init__()
        self.padding = kernel // 2
        self.register_buffer("weight", torch.full((3, 1, kernel, kernel), 1 / kernel**2))

    def forward(self, picture: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, 3, h / 4, w / 4)."""
        return functional.conv2d(picture, self.weight, stride=_SHRINK, padding=self.padding, groups=3)


class _Predictor(nn.Module):
    """Down to a vector at every 32nd pixel, that vector as a column of voxels, and up again."""

    def __init__(self, width: float) -> None:
        super().__init__()
        c = [3, *(scaled(channels, width) for channels in _LEVELS)]
        self.down_blocks = nn.Sequential()
        self.up_blocks = nn.Sequential()
        for i in range(len(_LEVELS)):
            self.down_blocks.add_module(f"down{i}", DownBlock2d(c[i], c[i + 1]))
        up = [*reversed(c[1:]), c[1] // 2]
        for i in range(len(_LEVELS)):
            self.up_blocks.add_module(f"up{i}", UpBlock3d(up[i], up[i + 1]))
        self.conv = nn.Conv2d(c[-1], c[-1] * DEPTH, 1)
        self.outputs = up[-1]

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, outputs, 16, h, w)."""
        flat: Tensor = self.conv(self.down_blocks(x))
        return self.up_blocks(flat.unflatten(1, (-1, DEPTH)))  # type: ignore[no-any-return, no-untyped-call]


class KeypointDetector(nn.Module):
    """Canonical keypoints of a face: those of its owner facing the camera at rest."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.down = Shrink()
        self.predictor = _Predictor(width)
        self.kp = nn.Conv3d(self.predictor.outputs, KEYPOINTS, 3, padding=1)

    def forward(self, picture: Tensor) -> Tensor:
        """(n, 3, h, w) RGB in [0, 1], sides multiples of 128 -> (n, 15, 3): x, y, z in [-1, 1].

        A point is the mean place under a softmax over all voxels.
        """
        logits: Tensor = self.kp(self.predictor(self.down(picture)))
        weights = functional.softmax(logits.flatten(2) / _TEMPERATURE, dim=2)
        depth, height, width = logits.shape[2:]
        grid = volume_grid(depth, height, width, logits).flatten(0, 2)
        # Summed pairwise: a product of matrices loses two digits over a quarter of a million voxels.
        return (weights[..., None] * grid).sum(dim=2)
