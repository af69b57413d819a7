"""F, the appearance feature extractor: what a source looks like, as a volume of features."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional

from models.liveportrait.layers import ConvNorm2d, ResidualBlock3d, scaled

_BLOCKS = 6


class AppearanceExtractor(nn.Module):
    """A picture -> a feature volume of a quarter its side. Runs once a source.

    Layout at width 1::

        3x256x256  C3 64 | C3 128, mean 2x2 | C3 256, mean 2x2 | C1 512 | as 32 channels x 16 depths
                   | 6 residual blocks 3x3x3 | 32x16x64x64
    """

    def __init__(self, width: float = 1.0, depth: int = 16) -> None:
        super().__init__()
        c = {n: scaled(n, width) for n in (32, 64, 128, 256)}
        self.depth = depth
        self.first = ConvNorm2d(3, c[64])
        self.down_blocks = nn.ModuleList([ConvNorm2d(c[64], c[128]), ConvNorm2d(c[128], c[256])])
        self.second = nn.Conv2d(c[256], c[32] * depth, 1)
        self.resblocks_3d = nn.Sequential(OrderedDict((f"3dr{i}", ResidualBlock3d(c[32])) for i in range(_BLOCKS)))

    def forward(self, picture: Tensor) -> Tensor:
        """RGB (n, 3, h, w) in [0, 1], sides a multiple of 4 -> (n, 32 * width, depth, h / 4, w / 4)."""
        x = functional.relu(self.first(picture))
        for block in self.down_blocks:
            x = functional.avg_pool2d(functional.relu(block(x)), 2)
        x = self.second(x)
        return self.resblocks_3d(x.unflatten(1, (-1, self.depth)))  # type: ignore[no-any-return]
