"""A decoder: a picture from a warped feature, which normalises every layer anew and is told by the feature how.

SPADE after Park, Liu, Wang and Zhu, "Semantic Image Synthesis with Spatially-Adaptive Normalization", CVPR 2019; here
the feature itself is the map that modulates. The convolutions are spectrally normalised (Miyato, Kataoka, Koyama and
Yoshida, "Spectral Normalization for Generative Adversarial Networks", ICLR 2018).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.2
"""Of every leaky ReLU."""


class SpectralConv2d(nn.Module):
    """A convolution divided by its largest singular value, as its stored vectors u and v tell it.

    Keys as torch's own spectral normalisation stores them. ``fold`` replaces it by a plain convolution.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)
        self.weight_orig, self.bias = plain.weight, plain.bias
        self.padding = kernel // 2
        self.register_buffer("weight_u", functional.normalize(torch.randn(outputs), dim=0))
        self.register_buffer("weight_v", torch.zeros(inputs * kernel**2))
        self.update_vectors()

    @torch.no_grad()
    def update_vectors(self, steps: int = 5) -> None:
        """Steps of the power iteration, as training takes one with every batch: for weights that come without."""
        matrix = self.weight_orig.flatten(1)
        for _ in range(steps):
            self.weight_v.copy_(functional.normalize(matrix.T @ self.weight_u, dim=0))
            self.weight_u.copy_(functional.normalize(matrix @ self.weight_v, dim=0))

    def weight(self) -> Tensor:
        """What the picture is convolved with, (outputs, inputs, kernel, kernel)."""
        return self.weight_orig / (self.weight_u @ (self.weight_orig.flatten(1) @ self.weight_v))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w)."""
        return functional.conv2d(x, self.weight(), self.bias, padding=self.padding)


class Spade(nn.Module):
    """Normalise each channel over the picture, then scale and shift every pixel as ``guide`` says."""

    def __init__(self, channels: int, guide_channels: int, hidden: int) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(nn.Conv2d(guide_channels, hidden, 3, padding=1), nn.ReLU())
        self.mlp_gamma = nn.Conv2d(hidden, channels, 3, padding=1)
        self.mlp_beta = nn.Conv2d(hidden, channels, 3, padding=1)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(n, channels, h, w), (n, guide_channels, any size) -> (n, channels, h, w)."""
        shared = self.mlp_shared(functional.interpolate(guide, size=x.shape[2:]))
        normal = functional.instance_norm(x, eps=1e-5)
        return normal * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)  # type: ignore[no-any-return]


class SpadeBlock(nn.Module):
    """Two convolutions, each behind a ``Spade``, beside the input, or beside its projection where the width changes."""

    def __init__(self, inputs: int, outputs: int, guide_channels: int, hidden: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.projects = inputs != outputs
        self.conv_0, self.norm_0 = SpectralConv2d(inputs, middle, 3), Spade(inputs, guide_channels, hidden)
        self.conv_1, self.norm_1 = SpectralConv2d(middle, outputs, 3), Spade(middle, guide_channels, hidden)
        if self.projects:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, guide_channels, hidden)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(n, inputs, h, w), guide -> (n, outputs, h, w)."""
        y = self.conv_0(functional.leaky_relu(self.norm_0(x, guide), SLOPE))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, guide), SLOPE))
        return y + (self.conv_s(self.norm_s(x, guide)) if self.projects else x)  # type: ignore[no-any-return]


class SpadeDecoder(nn.Module):
    """Six blocks at the feature's size, then twice double the size, then ``conv_img``."""

    MIDDLE = 6

    def __init__(self, inputs: int, channels: tuple[int, int, int], hidden: int, conv_img: nn.Module) -> None:
        """Build it.

        Args:
            inputs: channels of the feature.
            channels: of the blocks at its size, at twice and at four times its size; 512, 256 and 64 as published.
            hidden: channels between the guide and what it says; 128 as published.
            conv_img: from the last block's channels to colours, before the sigmoid.
        """
        super().__init__()
        wide, half, narrow = channels
        self.fc = nn.Conv2d(inputs, wide, 3, padding=1)
        for i in range(self.MIDDLE):
            self.add_module(f"G_middle_{i}", SpadeBlock(wide, wide, inputs, hidden))
        self.up_0 = SpadeBlock(wide, half, inputs, hidden)
        self.up_1 = SpadeBlock(half, narrow, inputs, hidden)
        self.conv_img = conv_img

    def forward(self, feature: Tensor) -> Tensor:
        """(n, inputs, h, w) -> RGB in [0, 1], (n, 3, 4h, 4w) if ``conv_img`` keeps the size."""
        return torch.sigmoid(self.logits(feature))

    def logits(self, feature: Tensor) -> Tensor:
        """``forward`` before the sigmoid, whose steps near 1 are coarse in half precision."""
        x = self.fc(feature)
        for i in range(self.MIDDLE):
            x = self.get_submodule(f"G_middle_{i}")(x, feature)
        x = self.up_0(functional.interpolate(x, scale_factor=2), feature)
        x = self.up_1(functional.interpolate(x, scale_factor=2), feature)
        return self.conv_img(functional.leaky_relu(x, SLOPE))  # type: ignore[no-any-return]
