"""Dense motion: from where 15 keypoints go to where every voxel of the source comes from."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import scaled
from models.sadtalker.grid import volume_grid
from models.sadtalker.keypoints import DEPTH, KEYPOINTS
from models.sadtalker.layers import DownBlock3d, UpBlock3d

VARIANCE = 0.01
"""Of a keypoint's heat map, in squared units of the grid."""
LEAST_WEIGHT = 1e-3
"""A motion of less weight than this does not count."""
_COMPRESSED = 4
_LEVELS = (64, 128, 256, 512, 1024)


@dataclass(frozen=True)
class DenseMotion:
    """How to warp a source volume."""

    mask: Tensor
    """(n, 16, d, h, w): weight of the identity and of each keypoint's motion."""
    deformation: Tensor
    """(n, d, h, w, 3): the place in the source each voxel is taken from."""
    occlusion: Tensor
    """(n, 1, h, w): 1 where the source shows it, 0 where it must be made up."""


class _Down(nn.Module):
    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(DownBlock3d(*pair) for pair in zip(channels, channels[1:], strict=False))

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for block in self.down_blocks:
            features.append(block(features[-1]))
        return features


class _Up(nn.Module):
    def __init__(self, channels: list[int], outputs: int) -> None:
        super().__init__()
        blocks = [UpBlock3d(channels[-1], channels[-2])]
        blocks += [UpBlock3d(2 * channels[i + 1], channels[i]) for i in range(len(channels) - 3, 0, -1)]
        blocks += [UpBlock3d(2 * channels[1], outputs)]
        self.up_blocks = nn.ModuleList(blocks)
        self.outputs = channels[0] + outputs
        self.conv = nn.Conv3d(self.outputs, self.outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(self.outputs)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = features[-1]
        for block, feature in zip(self.up_blocks, features[-2::-1], strict=True):
            x = torch.cat((block(x), feature), dim=1)
        return functional.relu(self.norm(self.conv(x)))


class _Hourglass(nn.Module):
    """(n, inputs, d, h, w), h and w multiples of 32 -> (n, inputs + 32, d, h, w)."""

    def __init__(self, inputs: int, width: float) -> None:
        super().__init__()
        channels = [inputs, *(scaled(c, width) for c in _LEVELS)]
        self.encoder = _Down(channels)
        self.decoder = _Up(channels, scaled(32, width))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class DenseMotionNetwork(nn.Module):
    """Each keypoint proposes a shift of everything; the network weighs the proposals at every voxel."""

    def __init__(self, channels: int, width: float = 1.0) -> None:
        super().__init__()
        motions = KEYPOINTS + 1
        self.compress = nn.Conv3d(channels, _COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(_COMPRESSED)
        self.hourglass = _Hourglass(motions * (_COMPRESSED + 1), width)
        hidden = self.hourglass.decoder.outputs
        self.mask = nn.Conv3d(hidden, motions, 7, padding=3)
        self.occlusion = nn.Conv2d(hidden * DEPTH, 1, 7, padding=3)

    def squeeze(self, feature: Tensor) -> Tensor:
        """The source volume (n, channels, 16, h, w) in four channels: once a source."""
        return functional.relu(self.norm(self.compress(feature)))

    def forward(self, squeezed: Tensor, kp_source: Tensor, kp_driving: Tensor) -> DenseMotion:
        """``squeeze``'s (n, 4, 16, h, w), h and w multiples of 32; keypoints (n, 15, 3)."""
        depth, height, width = squeezed.shape[2:]
        grid = volume_grid(depth, height, width, squeezed)
        motions = _sparse_motions(grid, kp_source, kp_driving)
        seen = torch.cat((_heat_maps(grid, kp_source, kp_driving)[:, :, None], _warped(squeezed, motions)), dim=2)
        x = self.hourglass(seen.flatten(1, 2))
        mask = functional.softmax(self.mask(x), dim=1)
        kept = mask.masked_fill(mask < LEAST_WEIGHT, 0)
        deformation = torch.einsum("nmdhw,nmdhwc->ndhwc", kept, motions)
        return DenseMotion(mask, deformation, torch.sigmoid(self.occlusion(x.flatten(1, 2))))


def _sparse_motions(grid: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
    """(n, 16, d, h, w, 3): where voxels come from if all move like one keypoint; the first, if none moves."""
    shift = (kp_source - kp_driving)[:, :, None, None, None]
    still = torch.zeros_like(shift[:, :1])
    return grid + torch.cat((still, shift), dim=1)


def _warped(volume: Tensor, motions: Tensor) -> Tensor:
    """(n, c, d, h, w) by each of (n, m, d, h, w, 3) -> (n, m, c, d, h, w)."""
    count = motions.shape[1]
    repeated = volume[:, None].expand(-1, count, -1, -1, -1, -1).flatten(0, 1)
    return warp(repeated, motions.flatten(0, 1)).unflatten(0, (-1, count))  # type: ignore[no-untyped-call, no-any-return]


def _heat_maps(grid: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
    """(n, 16, d, h, w): a Gaussian where each keypoint goes, less one where it came from; the first is empty."""

    def gaussians(keypoints: Tensor) -> Tensor:
        away = grid - keypoints[:, :, None, None, None]
        return torch.exp(-0.5 * away.square().sum(-1) / VARIANCE)

    heat = gaussians(kp_driving) - gaussians(kp_source)
    return torch.cat((torch.zeros_like(heat[:, :1]), heat), dim=1)


def warp(volume: Tensor, places: Tensor) -> Tensor:
    """Take (n, c, d, h, w) at places (n, d, h, w, 3), zero outside.

    The grid has its ends at voxel centres, the sampling at voxel edges: so the network was trained.
    """
    return functional.grid_sample(volume, places, mode="bilinear", padding_mode="zeros", align_corners=False)
