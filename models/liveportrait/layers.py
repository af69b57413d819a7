"""Blocks the appearance extractor and the warping module share. Key names follow the published checkpoints."""

from torch import Tensor, nn
from torch.nn import functional

KEYPOINTS = 21
"""Implicit 3-D keypoints of a head."""


def scaled(channels: int, width: float, least: int = 4) -> int:
    """Channels of a layer at a width multiplier."""
    return channels if width == 1 else max(least, round(channels * width))


class ConvNorm2d(nn.Module):
    """Convolution 3x3 -> batch normalisation, without its activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class ConvNorm3d(nn.Module):
    """Convolution 3x3x3 -> batch normalisation, without its activation."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, d, h, w) -> (n, outputs, d, h, w)."""
        return self.norm(self.conv(x))  # type: ignore[no-any-return]


class ResidualBlock3d(nn.Module):
    """x + conv(ReLU(norm(conv(ReLU(norm(x)))))): normalisation comes first, so it cannot be folded away."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, d, h, w) -> the same shape."""
        y = self.conv1(functional.relu(self.norm1(x)))
        return x + self.conv2(functional.relu(self.norm2(y)))  # type: ignore[no-any-return]
