"""W, the warping module: moves a feature volume from the source's keypoints to the driving ones.

Dense motion after Wang, Mallya and Liu, "One-Shot Free-View Neural Talking-Head Synthesis for Video
Conferencing", CVPR 2021.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.liveportrait.layers import KEYPOINTS, ConvNorm2d, ConvNorm3d, scaled

_COMPRESSED = 4
_HOURGLASS_INPUTS = (KEYPOINTS + 1) * (1 + _COMPRESSED)
KEYPOINT_VARIANCE = 0.01
_LEVELS = 5


def coordinate_grid(shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """Coordinates (x, y, z) of the cells of a volume (d, h, w), each from -1 to 1 inclusive: (d, h, w, 3)."""
    axes = [2 * torch.arange(n, dtype=dtype, device=device) / (n - 1) - 1 for n in shape]
    z, y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack((x, y, z), dim=-1)


def gaussians(kp: Tensor, grid: Tensor) -> Tensor:
    """A blob of variance 0.01 about each keypoint: kp (n, k, 3), grid (d, h, w, 3) -> (n, k, d, h, w)."""
    distance = grid - kp[:, :, None, None, None]
    return torch.exp(-0.5 * distance.square().sum(dim=-1) / KEYPOINT_VARIANCE)


def sample_volume(volume: Tensor, grid: Tensor) -> Tensor:
    """Trilinear sampling, zeros outside: (n, c, d, h, w) at (n, d, h, w, 3).

    The grid runs from centre to centre of the outermost cells, yet the sampler takes -1 and 1 for their outer
    edges. The published networks were trained so, and even a face at rest is sampled between cells.
    """
    return functional.grid_sample(volume, grid, mode="bilinear", padding_mode="zeros", align_corners=False)


class _Encoder(nn.Module):
    def __init__(self, channels: list[int]) -> None:
        super().__init__()
        self.down_blocks = nn.ModuleList(
            ConvNorm3d(inputs, outputs) for inputs, outputs in zip(channels, channels[1:], strict=False)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        features = [x]
        for block in self.down_blocks:
            features.append(functional.avg_pool3d(functional.relu(block(features[-1])), (1, 2, 2)))
        return features


class HourglassDecoder(nn.Module):
    """Back up: each level gets the encoder's feature of its size beside it."""

    def __init__(self, channels: list[int]) -> None:
        """``channels``: the encoder's, from its input on."""
        super().__init__()
        inputs, blocks = channels[-1], []
        for skip, outputs in zip(channels[-2::-1], [*channels[-2:0:-1], channels[1] // 2], strict=True):
            blocks.append(ConvNorm3d(inputs, outputs))
            inputs = outputs + skip
        self.up_blocks = nn.ModuleList(blocks)
        self.out_filters = inputs
        self.conv = nn.Conv3d(inputs, inputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(inputs)

    def forward(self, features: list[Tensor]) -> Tensor:
        """The encoder's features, outermost first -> (n, innermost level's half + input channels, d, h, w)."""
        x, *skips = reversed(features)
        for block, skip in zip(self.up_blocks, skips, strict=True):
            x = functional.relu(block(functional.interpolate(x, scale_factor=(1, 2, 2))))
            x = torch.cat((x, skip), dim=1)
        return functional.relu(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """Five levels down and up in height and width; depth stays."""

    def __init__(self, width: float) -> None:
        super().__init__()
        channels = [_HOURGLASS_INPUTS, *(scaled(64 << level, width) for level in range(_LEVELS))]
        self.encoder = _Encoder(channels)
        self.decoder = HourglassDecoder(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, 110, d, h, w), sides a multiple of 32 -> (n, 142 at width 1, d, h, w)."""
        return self.decoder(self.encoder(x))  # type: ignore[no-any-return]


class DenseMotion(NamedTuple):
    """Where every cell of the warped volume comes from."""

    deformation: Tensor
    """(n, d, h, w, 3): coordinates in the source volume."""
    occlusion: Tensor
    """(n, 1, h, w): 1 where the source shows what is needed, 0 where it must be made up."""


class DenseMotionNetwork(nn.Module):
    """Weighs one motion a keypoint, and standing still, against each other, cell by cell."""

    def __init__(self, width: float, depth: int) -> None:
        super().__init__()
        self.hourglass = Hourglass(width)
        outputs = self.hourglass.decoder.out_filters
        self.mask = nn.Conv3d(outputs, KEYPOINTS + 1, 7, padding=3)
        self.compress = nn.Conv3d(scaled(32, width), _COMPRESSED, 1)
        self.norm = nn.BatchNorm3d(_COMPRESSED)
        self.occlusion = nn.Conv2d(outputs * depth, 1, 7, padding=3)

    def forward(self, feature: Tensor, kp_driving: Tensor, kp_source: Tensor) -> DenseMotion:
        """Feature volume (n, c, d, h, w), keypoints (n, 21, 3) each."""
        shape = (feature.shape[2], feature.shape[3], feature.shape[4])
        grid = coordinate_grid(shape, feature.device, kp_source.dtype)
        motions = self.sparse_motions(grid, kp_driving, kp_source)
        hidden = self.hourglass(self.evidence(feature, motions, grid, kp_driving, kp_source))
        mask = self.mask(hidden).softmax(dim=1)
        deformation = (mask[..., None] * motions).sum(dim=1)
        occlusion = torch.sigmoid(self.occlusion(hidden.flatten(1, 2)))
        return DenseMotion(deformation, occlusion)

    def sparse_motions(self, grid: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Tensor:
        """The grid itself, then the grid moved with each keypoint: (n, 22, d, h, w, 3)."""
        moved = grid - (kp_driving - kp_source)[:, :, None, None, None]
        return torch.cat((grid.expand(len(moved), 1, *grid.shape), moved), dim=1)

    def evidence(self, feature: Tensor, motions: Tensor, grid: Tensor, kp_driving: Tensor, kp_source: Tensor) -> Tensor:
        """What the hourglass judges by, motion by motion: a heat map and the feature so moved, (n, 110, d, h, w)."""
        n, count = motions.shape[:2]
        compressed = functional.relu(self.norm(self.compress(feature)))
        repeated = compressed[:, None].expand(-1, count, -1, -1, -1, -1).flatten(0, 1)
        warped = sample_volume(repeated, motions.flatten(0, 1).to(repeated.dtype)).view(
            n, count, _COMPRESSED, *grid.shape[:3]
        )
        heat = gaussians(kp_driving, grid) - gaussians(kp_source, grid)
        heat = torch.cat((torch.zeros_like(heat[:, :1]), heat), dim=1).to(warped.dtype)
        return torch.cat((heat[:, :, None], warped), dim=2).flatten(1, 2)


class WarpingModule(nn.Module):
    """Dense motion, the warp, and its projection to a picture's features."""

    def __init__(self, width: float = 1.0, depth: int = 16) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotionNetwork(width, depth)
        outputs = scaled(256, width)
        self.third = ConvNorm2d(scaled(32, width) * depth, outputs)
        self.fourth = nn.Conv2d(outputs, outputs, 1)

    def forward(self, feature: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """Feature volume (n, 32 * width, d, h, w), keypoints (n, 21, 3) -> (n, 256 * width, h, w)."""
        return self.project(feature, self.dense_motion_network(feature, kp_driving, kp_source))

    def project(self, feature: Tensor, motion: DenseMotion) -> Tensor:
        """The volume warped, its depths laid side by side, and what is hidden in the source dimmed."""
        warped = sample_volume(feature, motion.deformation.to(feature.dtype)).flatten(1, 2)
        x = self.fourth(functional.leaky_relu(self.third(warped), 0.01))
        return x * motion.occlusion  # type: ignore[no-any-return]
