"""The audio encoder that the speech-driven engines share: what a mel window sounds like, as a vector.

After Prajwal, Mukhopadhyay, Namboodiri and Jawahar, "A Lip Sync Expert Is All You Need for Speech to Lip
Generation In the Wild", ACM Multimedia 2020. Key names follow the published checkpoints: ``conv_block.0`` is the
convolution, ``conv_block.1`` the batch normalisation.
"""

from torch import Tensor, nn
from torch.nn import functional

Pair = int | tuple[int, int]

WINDOW_COLUMNS = 16
"""Width of a mel window: 0.2 s, five frames."""
STEP_COLUMNS = 6
"""Of a wider window, every so many more columns are one more step in time behind the encoder's strides."""


def scaled(channels: int, width: float, least: int = 8) -> int:
    """Channels of a layer at a width multiplier; fewer than ``least`` would not fill a vector register."""
    return channels if width == 1 else max(least, round(channels * width))


class ConvBlock(nn.Module):
    """Convolution -> batch normalisation -> (+ input) -> ReLU."""

    def __init__(
        self, inputs: int, outputs: int, kernel: Pair, stride: Pair, padding: Pair, residual: bool = False
    ) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding), nn.BatchNorm2d(outputs))
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h', w')."""
        y: Tensor = self.conv_block(x)
        return functional.relu(y + x if self.residual else y)


def residuals(channels: int, count: int) -> list[nn.Module]:
    """``count`` residual 3x3 blocks that keep size and channels."""
    return [ConvBlock(channels, channels, 3, 1, 1, residual=True) for _ in range(count)]


def audio_encoder(
    width: float = 1.0, residuals_at_256: int = 1, outputs: int | None = None, steps: int = 1
) -> nn.Sequential:
    """Mel window (n, 1, 80, 16) -> embedding (n, outputs, 1, 1), not negative (it ends in ReLU).

    ``outputs`` is 512 * width where it is not given. With ``steps`` the window is ``window_columns(steps)`` wide, and
    the last block joins so many embeddings; 1 as published.

    The generator's has one residual block at 256 channels, the lip-sync expert's two. The layout, as
    channels (scaled by ``width``), kernel, stride (mel, time), padding::

        1 -> 32  3 1 1, 2 residual | 64  3 (3,1) 1, 2 residual | 128  3 3 1, 2 residual
        256  3 (3,2) 1, residual   | 512  3 1 0               | 512  1 1 0
    """
    c32, c64, c128, c256, c512 = (scaled(c, width) for c in (32, 64, 128, 256, 512))
    return nn.Sequential(
        ConvBlock(1, c32, 3, 1, 1),
        *residuals(c32, 2),
        ConvBlock(c32, c64, 3, (3, 1), 1),
        *residuals(c64, 2),
        ConvBlock(c64, c128, 3, 3, 1),
        *residuals(c128, 2),
        ConvBlock(c128, c256, 3, (3, 2), 1),
        *residuals(c256, residuals_at_256),
        ConvBlock(c256, c512, 3, 1, 0),
        ConvBlock(c512, outputs or c512, (1, steps), 1, 0),
    )


def window_columns(steps: int) -> int:
    """Width of the window that an encoder of so many steps takes."""
    return WINDOW_COLUMNS + STEP_COLUMNS * (steps - 1)
