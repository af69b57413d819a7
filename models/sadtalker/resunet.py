"""The residual U-Net that smooths a window of head motion, taken as a picture: time is its height.

After Zhang, Liu and Wang, "Road Extraction by Deep Residual U-Net", IEEE GRSL 2018.
"""

import torch
from torch import Tensor, nn

from models.audio.encoder import scaled

_LEVELS = (32, 64, 128, 256)


class _ResidualConv(nn.Module):
    """Twice normalisation -> ReLU -> convolution, the first with a stride in time; the shortcut is a convolution."""

    def __init__(self, inputs: int, outputs: int, time_stride: int) -> None:
        super().__init__()
        stride = (time_stride, 1)
        self.conv_block = nn.Sequential(
            nn.BatchNorm2d(inputs),
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, 3, stride, 1),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, padding=1),
        )
        self.conv_skip = nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_block(x) + self.conv_skip(x)  # type: ignore[no-any-return]


class _Doubled(nn.Module):
    """Twice the length in time."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.upsample = nn.ConvTranspose2d(channels, channels, (2, 1), (2, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.upsample(x)  # type: ignore[no-any-return]


class ResUnet(nn.Module):
    """Three halvings in time and back, with the features of each length taken in again on the way."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c1, c2, c3, c4 = (scaled(c, width) for c in _LEVELS)
        self.input_layer = nn.Sequential(
            nn.Conv2d(1, c1, 3, padding=1), nn.BatchNorm2d(c1), nn.ReLU(), nn.Conv2d(c1, c1, 3, padding=1)
        )
        self.input_skip = nn.Sequential(nn.Conv2d(1, c1, 3, padding=1))
        self.residual_conv_1 = _ResidualConv(c1, c2, 2)
        self.residual_conv_2 = _ResidualConv(c2, c3, 2)
        self.bridge = _ResidualConv(c3, c4, 2)
        self.upsample_1 = _Doubled(c4)
        self.up_residual_conv1 = _ResidualConv(c4 + c3, c3, 1)
        self.upsample_2 = _Doubled(c3)
        self.up_residual_conv2 = _ResidualConv(c3 + c2, c2, 1)
        self.upsample_3 = _Doubled(c2)
        self.up_residual_conv3 = _ResidualConv(c2 + c1, c1, 1)
        self.output_layer = nn.Sequential(nn.Conv2d(c1, 1, 1), nn.Sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """(n, 1, t, 6), t a multiple of 8 -> (n, 1, t, 6) in (0, 1)."""
        x1 = self.input_layer(x) + self.input_skip(x)
        x2 = self.residual_conv_1(x1)
        x3 = self.residual_conv_2(x2)
        y = self.upsample_1(self.bridge(x3))
        y = self.upsample_2(self.up_residual_conv1(torch.cat((y, x3), dim=1)))
        y = self.upsample_3(self.up_residual_conv2(torch.cat((y, x2), dim=1)))
        return self.output_layer(self.up_residual_conv3(torch.cat((y, x1), dim=1)))  # type: ignore[no-any-return]
