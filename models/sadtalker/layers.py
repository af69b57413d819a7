"""The blocks of the picture networks, in 2D and 3D.

Key names follow the published checkpoints: ``conv`` is the convolution, ``norm`` the batch normalisation. Volumes
are (n, channels, depth, height, width); their blocks scale height and width and leave the depth alone.
"""

from torch import Tensor, nn
from torch.nn import functional


class ConvBlock2d(nn.Module):
    """3x3 convolution -> batch normalisation -> leaky ReLU of ``slope`` (0: ReLU)."""

    def __init__(self, inputs: int, outputs: int, slope: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm2d(outputs)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        return functional.leaky_relu(self.norm(self.conv(x)), self.slope)


class DownBlock2d(ConvBlock2d):
    """``ConvBlock2d``, then the mean of every 2x2 pixels."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h / 2, w / 2)."""
        return functional.avg_pool2d(super().forward(x), 2)


class ConvBlock3d(nn.Module):
    """3x3x3 convolution -> batch normalisation -> ReLU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv3d(inputs, outputs, 3, padding=1)
        self.norm = nn.BatchNorm3d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, d, h, w) -> (n, outputs, d, h, w)."""
        return functional.relu(self.norm(self.conv(x)))


class DownBlock3d(ConvBlock3d):
    """``ConvBlock3d``, then the mean of every 2x2 pixels of a slice."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, d, h, w) -> (n, outputs, d, h / 2, w / 2)."""
        return functional.avg_pool3d(super().forward(x), (1, 2, 2))


class UpBlock3d(ConvBlock3d):
    """Every slice doubled by repetition, then ``ConvBlock3d``."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, d, h, w) -> (n, outputs, d, 2h, 2w)."""
        return super().forward(functional.interpolate(x, scale_factor=(1, 2, 2)))


class ResBlock3d(nn.Module):
    """Twice normalisation -> ReLU -> 3x3x3 convolution, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv3d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv3d(channels, channels, 3, padding=1)
        self.norm1 = nn.BatchNorm3d(channels)
        self.norm2 = nn.BatchNorm3d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Keeps the shape."""
        y = self.conv1(functional.relu(self.norm1(x)))
        y = self.conv2(functional.relu(self.norm2(y)))
        return x + y  # type: ignore[no-any-return]
