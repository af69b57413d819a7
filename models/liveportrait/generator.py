"""G, the decoder: paints a picture from warped features, twice the size of what M and F see.

SPADE after Park, Liu, Wang and Zhu, "Semantic Image Synthesis with Spatially-Adaptive Normalization",
CVPR 2019; here the features themselves are the map that modulates.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.liveportrait.layers import scaled

_MIDDLE = 6


class SpectralConv2d(nn.Module):
    """A convolution whose weight is divided by its largest singular value, estimated in training and stored.

    Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018.
    ``fold.fold_generator`` replaces it by a plain convolution.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)
        self.bias = plain.bias
        self.weight_orig = plain.weight
        self.register_buffer("weight_u", functional.normalize(torch.randn(outputs), dim=0))
        self.register_buffer("weight_v", functional.normalize(torch.randn(inputs * kernel**2), dim=0))
        self.padding = kernel // 2

    def weight(self) -> Tensor:
        """The weight in use: (outputs, inputs, kernel, kernel)."""
        sigma = torch.dot(self.weight_u, torch.mv(self.weight_orig.flatten(1), self.weight_v))
        return self.weight_orig / sigma

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        return functional.conv2d(x, self.weight(), self.bias, padding=self.padding)


class Spade(nn.Module):
    """Instance normalisation, then a gain and an offset for every cell, read from the map."""

    def __init__(self, channels: int, map_channels: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(map_channels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, seg: Tensor) -> Tensor:
        """x (n, channels, h, w), map (n, map_channels, any size) -> (n, channels, h, w)."""
        shared = self.mlp_shared(functional.interpolate(seg, size=x.shape[2:]))
        return functional.instance_norm(x) * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)  # type: ignore[no-any-return]


class SpadeBlock(nn.Module):
    """Two modulated convolutions beside the identity, or beside a projection where the width changes."""

    def __init__(self, inputs: int, outputs: int, map_channels: int, hidden: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.projects = inputs != outputs
        self.conv_0 = SpectralConv2d(inputs, middle, 3)
        self.conv_1 = SpectralConv2d(middle, outputs, 3)
        self.norm_0 = Spade(inputs, map_channels, hidden)
        self.norm_1 = Spade(middle, map_channels, hidden)
        if self.projects:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, map_channels, hidden)

    def forward(self, x: Tensor, seg: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        y = self.conv_0(functional.leaky_relu(self.norm_0(x, seg), 0.2))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, seg), 0.2))
        return y + (self.conv_s(self.norm_s(x, seg)) if self.projects else x)  # type: ignore[no-any-return]


class SpadeGenerator(nn.Module):
    """Warped features -> a picture of eight times their side.

    Layout at width 1: C3 512, 6 blocks 512, x2, block 256, x2, block 64, C3 12 as 3 channels of twice the side.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = {n: scaled(n, width) for n in (64, 128, 256, 512)}
        self.fc = nn.Conv2d(c[256], c[512], 3, padding=1)
        for i in range(_MIDDLE):
            setattr(self, f"G_middle_{i}", SpadeBlock(c[512], c[512], c[256], c[128]))
        self.up_0 = SpadeBlock(c[512], c[256], c[256], c[128])
        self.up_1 = SpadeBlock(c[256], c[64], c[256], c[128])
        self.conv_img = nn.Sequential(nn.Conv2d(c[64], 12, 3, padding=1), nn.PixelShuffle(2))

    def forward(self, feature: Tensor) -> Tensor:
        """(n, 256 * width, h, w) -> RGB (n, 3, 8 h, 8 w) in [0, 1]."""
        return torch.sigmoid(self.logits(feature))

    def logits(self, feature: Tensor) -> Tensor:
        """``forward`` before the sigmoid, whose steps near 1 are coarse in half precision."""
        x = self.fc(feature)
        for i in range(_MIDDLE):
            x = getattr(self, f"G_middle_{i}")(x, feature)
        x = self.up_0(functional.interpolate(x, scale_factor=2), feature)
        x = self.up_1(functional.interpolate(x, scale_factor=2), feature)
        return self.conv_img(functional.leaky_relu(x, 0.2))  # type: ignore[no-any-return]
