"""Making the networks cheaper to run without changing what they compute: G as ``spade.fold`` says.

Batch normalisation that follows a convolution goes into its weights.
"""

import copy

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.liveportrait.layers import ConvNorm2d, ConvNorm3d, ResidualBlock3d
from models.liveportrait.warping import DenseMotionNetwork, HourglassDecoder
from models.liveportrait.weights import Networks
from models.spade.fold import fold_decoder


def fold(networks: Networks) -> Networks:
    """Folded copies of networks in eval mode; the originals stay as they are."""
    copies = copy.deepcopy(networks)
    for module in (copies.appearance, copies.warping):
        _fold_norms(module)
    fold_decoder(copies.generator)
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
