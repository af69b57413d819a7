"""Making the networks cheaper to run without changing what they compute.

Batch normalisation that follows a convolution and spectral normalisation go into the weights. SPADE's first
convolution sees a map enlarged by repetition, so most of its nine taps fall on the same cell: it is computed on
the small map, kind of output cell by kind (up to rounding the same, borders included).
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.liveportrait.generator import SpadeBlock, SpadeGenerator, SpectralConv2d
from models.liveportrait.layers import ConvNorm2d, ConvNorm3d, ResidualBlock3d
from models.liveportrait.warping import DenseMotionNetwork, HourglassDecoder
from models.liveportrait.weights import Networks


def fold(networks: Networks) -> Networks:
    """Folded copies of networks in eval mode; the originals stay as they are."""
    copies = copy.deepcopy(networks)
    for module in (copies.appearance, copies.warping):
        _fold_norms(module)
    fold_generator(copies.generator)
    return copies


def _fold_norms(module: nn.Module) -> None:
    for child in module.modules():
        if isinstance(child, ConvNorm2d | ConvNorm3d | HourglassDecoder):
            _fuse(child, "conv", "norm")
        elif isinstance(child, DenseMotionNetwork):
            _fuse(child, "compress", "norm")
        elif isinstance(child, ResidualBlock3d):
            _fuse(child, "conv1", "norm2")


def _fuse(module: nn.Module, convolution: str, norm: str) -> None:
    """Fold the normalisation of this name into the convolution before it."""
    fused = fuse_conv_bn_eval(getattr(module, convolution), getattr(module, norm))
    setattr(module, convolution, fused)
    setattr(module, norm, nn.Identity())


def fold_generator(generator: SpadeGenerator) -> SpadeGenerator:
    """Replace every block of a generator by its :class:`FoldedSpadeBlock`, in place."""
    for name, child in list(generator.named_children()):
        if isinstance(child, SpadeBlock):
            repeats = {"up_0": 2, "up_1": 4}.get(name, 1)
            setattr(generator, name, FoldedSpadeBlock(child, repeats))
    return generator


class FoldedSpadeBlock(nn.Module):
    """A block whose modulations share one first convolution, and whose gains and offsets come from one second."""

    def __init__(self, block: SpadeBlock, repeats: int) -> None:
        """``repeats``: how many times larger than its map the block's input is."""
        super().__init__()
        norms = [block.norm_0, block.norm_1, *([block.norm_s] if block.projects else [])]
        shared = _joined([cast(nn.Conv2d, norm.mlp_shared[0]) for norm in norms])
        self.shared: nn.Module = RepeatedConv2d(shared, repeats) if repeats > 1 else shared
        self.modulations = nn.ModuleList(_gain_and_offset(norm.mlp_gamma, norm.mlp_beta) for norm in norms)
        self.conv_0, self.conv_1 = _plain(block.conv_0), _plain(block.conv_1)
        self.conv_s = _plain(block.conv_s) if block.projects else None

    def forward(self, x: Tensor, seg: Tensor) -> Tensor:
        """As the block it was made of."""
        parts = functional.relu_(self.shared(seg)).chunk(len(self.modulations), dim=1)
        y = self.conv_0(functional.leaky_relu_(self._modulated(x, 0, parts), 0.2))
        y = self.conv_1(functional.leaky_relu_(self._modulated(y, 1, parts), 0.2))
        return y + (x if self.conv_s is None else self.conv_s(self._modulated(x, 2, parts)))  # type: ignore[no-any-return]

    def _modulated(self, x: Tensor, index: int, parts: tuple[Tensor, ...]) -> Tensor:
        gain, offset = self.modulations[index](parts[index]).chunk(2, dim=1)
        return torch.addcmul(offset, functional.instance_norm(x), gain)


class RepeatedConv2d(nn.Module):
    """A 3x3 convolution of a map enlarged ``repeats`` times by repetition, computed on the small map.

    Of the cells that one cell of the map becomes, along an axis, the first sees the cell before too, the last the
    cell after, and those between see their own alone, so kernels shrink to two taps or one.
    """

    def __init__(self, convolution: nn.Conv2d, repeats: int) -> None:
        super().__init__()
        self.repeats, self.channels = repeats, convolution.out_channels
        self.bias = convolution.bias
        self.kernels = nn.ParameterList(
            nn.Parameter(_taps(_taps(convolution.weight, 2, rows), 3, columns), requires_grad=False)
            for rows in self._kinds()
            for columns in self._kinds()
        )

    def _kinds(self) -> tuple[str, ...]:
        return ("first", "last") if self.repeats == 2 else ("first", "middle", "last")

    def forward(self, seg: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, outputs, repeats * h, repeats * w)."""
        n, _, height, width = seg.shape
        padded = functional.pad(seg, (1, 1, 1, 1))
        r = self.repeats
        drawn = seg.new_empty(n, self.channels, height, r, width, r)
        kernels = iter(self.kernels)
        places = {"first": slice(0, 1), "middle": slice(1, r - 1), "last": slice(r - 1, r)}
        for rows in self._kinds():
            for columns in self._kinds():
                seen = padded[:, :, _seen(rows, height), _seen(columns, width)]
                part = functional.conv2d(seen, next(kernels), self.bias)
                drawn[:, :, :, places[rows], :, places[columns]] = part[:, :, :, None, :, None]
        return drawn.view(n, self.channels, r * height, r * width)


def _taps(weight: Tensor, axis: int, kind: str) -> Tensor:
    """Three taps along an axis summed to those that fall on different cells."""
    before, own, after = weight.split(1, dim=axis)  # type: ignore[no-untyped-call]
    taps = {"first": (before, own + after), "middle": (before + own + after,), "last": (before + own, after)}
    return torch.cat(taps[kind], dim=axis)


def _seen(kind: str, count: int) -> slice:
    """The cells of a map padded by one that a kind's kernel runs over."""
    return slice(0 if kind == "first" else 1, count + (2 if kind == "last" else 1))


def _plain(convolution: SpectralConv2d) -> nn.Conv2d:
    weight = convolution.weight()
    return _convolution(weight.detach(), convolution.bias)


def _joined(convolutions: list[nn.Conv2d]) -> nn.Conv2d:
    """One convolution with the outputs of several on the same input."""
    biases = [convolution.bias for convolution in convolutions if convolution.bias is not None]
    return _convolution(torch.cat([convolution.weight for convolution in convolutions]), torch.cat(biases))


def _gain_and_offset(gamma: nn.Conv2d, beta: nn.Conv2d) -> nn.Conv2d:
    """Both in one; the gain is 1 + gamma."""
    joined = _joined([gamma, beta])
    assert joined.bias is not None
    joined.bias[: gamma.out_channels] += 1
    return joined


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias is not None, device=weight.device)
    made.requires_grad_(False)
    made.weight.copy_(weight)
    if bias is not None and made.bias is not None:
        made.bias.copy_(bias)
    return made.eval()
