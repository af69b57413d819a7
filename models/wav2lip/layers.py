"""The blocks this family is built of, beside ``models.audio.encoder.ConvBlock``.

Key names follow the published checkpoints: ``conv_block.0`` is the convolution, ``conv_block.1`` the
batch normalisation.
"""

from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import Pair


class UpBlock(nn.Module):
    """Transposed convolution -> batch normalisation -> ReLU."""

    def __init__(self, inputs: int, outputs: int, kernel: Pair, stride: Pair, padding: Pair, extra: Pair = 0) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ConvTranspose2d(inputs, outputs, kernel, stride, padding, extra), nn.BatchNorm2d(outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h', w')."""
        return functional.relu(self.conv_block(x))


class PlainConvBlock(nn.Module):
    """Convolution -> LeakyReLU(0.01), without normalisation: the discriminator's block."""

    def __init__(self, inputs: int, outputs: int, kernel: Pair, stride: Pair, padding: Pair) -> None:
        super().__init__()
        self.conv_block = nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, padding))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h', w')."""
        return functional.leaky_relu(self.conv_block(x), 0.01)
