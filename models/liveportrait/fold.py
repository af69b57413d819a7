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
from models.runtime.convolutions import RepeatedConv2d, gain_and_offset, joined_conv2d, plain_conv2d


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
        shared = joined_conv2d([cast(nn.Conv2d, norm.mlp_shared[0]) for norm in norms])
        self.shared: nn.Module = RepeatedConv2d(shared, repeats) if repeats > 1 else shared
        self.modulations = nn.ModuleList(gain_and_offset(norm.mlp_gamma, norm.mlp_beta) for norm in norms)
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


def _plain(convolution: SpectralConv2d) -> nn.Conv2d:
    weight = convolution.weight()
    return plain_conv2d(weight.detach(), convolution.bias)
