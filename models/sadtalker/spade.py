"""The decoder: a picture from a warped feature, which normalises every layer anew.

After Park, Liu, Wang and Zhu, "Semantic Image Synthesis with Spatially-Adaptive Normalization" (SPADE), CVPR 2019;
the convolutions are spectrally normalised (Miyato, Kataoka, Koyama and Yoshida, "Spectral Normalization for
Generative Adversarial Networks", ICLR 2018).
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import scaled

_SLOPE = 0.2
_HIDDEN = 128


class SpectralConv2d(nn.Module):
    """A convolution divided by its largest singular value, as its stored vectors u and v tell it.

    Keys as torch's own spectral normalisation stores them.
    """

    weight_u: Tensor
    weight_v: Tensor

    def __init__(self, inputs: int, outputs: int, kernel: int, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel, bias=bias)
        self.weight_orig, self.bias = plain.weight, plain.bias
        self.padding = kernel // 2
        self.register_buffer("weight_u", torch.zeros(outputs))
        self.register_buffer("weight_v", torch.zeros(inputs * kernel**2))
        self.update_vectors()

    @torch.no_grad()
    def update_vectors(self) -> None:
        """A first estimate of u and v, by one step of the power iteration: for weights that come without."""
        matrix = self.weight_orig.flatten(1)
        v = functional.normalize(torch.randn(len(matrix)) @ matrix, dim=0)
        self.weight_v.copy_(v)
        self.weight_u.copy_(functional.normalize(matrix @ v, dim=0))

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
        """(n, channels, h, w), (n, guide_channels, h', w') -> (n, channels, h, w)."""
        shared = self.mlp_shared(functional.interpolate(guide, size=x.shape[2:]))
        normal = functional.instance_norm(x, eps=1e-5)
        return normal * (1 + self.mlp_gamma(shared)) + self.mlp_beta(shared)  # type: ignore[no-any-return]


class SpadeBlock(nn.Module):
    """Two convolutions and a shortcut, each behind a ``Spade``; the shortcut's has no activation."""

    def __init__(self, inputs: int, outputs: int, guide_channels: int, hidden: int) -> None:
        super().__init__()
        middle = min(inputs, outputs)
        self.conv_0, self.norm_0 = SpectralConv2d(inputs, middle, 3), Spade(inputs, guide_channels, hidden)
        self.conv_1, self.norm_1 = SpectralConv2d(middle, outputs, 3), Spade(middle, guide_channels, hidden)
        self.changes_width = inputs != outputs
        if self.changes_width:
            self.conv_s = SpectralConv2d(inputs, outputs, 1, bias=False)
            self.norm_s = Spade(inputs, guide_channels, hidden)

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """(n, inputs, h, w), guide -> (n, outputs, h, w)."""
        y = self.conv_0(functional.leaky_relu(self.norm_0(x, guide), _SLOPE))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, guide), _SLOPE))
        return y + (self.conv_s(self.norm_s(x, guide)) if self.changes_width else x)  # type: ignore[no-any-return]


class SpadeDecoder(nn.Module):
    """Six blocks at the feature's size, then twice double the size, then colours."""

    MIDDLE = 6

    def __init__(self, channels: int, width: float = 1.0) -> None:
        super().__init__()
        c64, c256, c512, hidden = (scaled(c, width) for c in (64, 256, 512, _HIDDEN))
        self.fc = nn.Conv2d(channels, c512, 3, padding=1)
        for i in range(self.MIDDLE):
            self.add_module(f"G_middle_{i}", SpadeBlock(c512, c512, channels, hidden))
        self.up_0 = SpadeBlock(c512, c256, channels, hidden)
        self.up_1 = SpadeBlock(c256, c64, channels, hidden)
        self.conv_img = nn.Conv2d(c64, 3, 3, padding=1)

    def forward(self, feature: Tensor) -> Tensor:
        """(n, channels, h, w) -> RGB (n, 3, 4h, 4w) in [0, 1]."""
        x = self.fc(feature)
        for i in range(self.MIDDLE):
            x = self.get_submodule(f"G_middle_{i}")(x, feature)
        x = self.up_0(functional.interpolate(x, scale_factor=2), feature)
        x = self.up_1(functional.interpolate(x, scale_factor=2), feature)
        return torch.sigmoid(self.conv_img(functional.leaky_relu(x, _SLOPE)))
