"""Making a trained network cheaper to run without changing what it computes."""

from typing import TypeVar, cast

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.runtime.prepacked import PrepackedConvolution, PrepackedProduct

Network = TypeVar("Network", bound=nn.Module)


class FoldedBlock(nn.Module):
    """A block whose normalisation is folded into its convolution; works in place, so for inference only."""

    def __init__(self, block: nn.Module) -> None:
        """``block``: see ``fold_norms``."""
        super().__init__()
        convolution, norm = cast(nn.Sequential, block.conv_block)
        up = isinstance(convolution, nn.ConvTranspose2d)
        self.convolution = fuse_conv_bn_eval(convolution, norm, transpose=up)  # type: ignore[type-var, arg-type]
        self.residual = bool(getattr(block, "residual", False))

    def forward(self, x: Tensor) -> Tensor:
        """As the block it was made of."""
        y = cast(Tensor, self.convolution(x))
        return functional.relu_(y.add_(x) if self.residual else y)


def fold_norms(network: Network) -> Network:
    """Replace every block of a network in eval mode by its :class:`FoldedBlock`, in place.

    A block is a module with ``conv_block``, a convolution and its batch normalisation, that ends in ReLU; one with a
    true ``residual`` adds its input before.
    """
    for name, child in network.named_children():
        if _is_block(child):
            setattr(network, name, FoldedBlock(child))
        else:
            fold_norms(child)
    return network


def _is_block(module: nn.Module) -> bool:
    parts = getattr(module, "conv_block", None)
    return parts is not None and len(parts) == 2 and isinstance(parts[1], nn.BatchNorm2d)


class SpreadCell(nn.Module):
    """A transposed convolution without padding of maps of one cell, which is a product of matrices, then ReLU."""

    def __init__(self, convolution: nn.ConvTranspose2d) -> None:
        super().__init__()
        rows, columns = convolution.kernel_size
        self._cells = rows, columns, convolution.out_channels
        assert convolution.bias is not None
        weight = convolution.weight.permute(2, 3, 1, 0).flatten(0, 2)
        self.product = PrepackedProduct(weight, convolution.bias.repeat(rows * columns))

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, 1, 1) -> (n, outputs, rows, columns), channels last."""
        return cast(Tensor, self.product(x)).reshape(-1, *self._cells).permute(0, 3, 1, 2)


def prepack(network: Network) -> Network:
    """Replace every :class:`FoldedBlock` of a network, which has its final type, by its prepacked one, in place."""
    for name, child in network.named_children():
        if isinstance(child, FoldedBlock):
            setattr(network, name, _prepacked(child))
        else:
            prepack(child)
    return network


def _prepacked(block: FoldedBlock) -> nn.Module:
    convolution = cast(nn.Conv2d | nn.ConvTranspose2d, block.convolution)
    # The one transposed convolution without padding is the first of the decoder, from 1x1 to 3x3.
    if isinstance(convolution, nn.ConvTranspose2d) and convolution.padding == (0, 0):
        return SpreadCell(convolution)
    if convolution.kernel_size == (1, 1) and not block.residual:
        return PrepackedProduct(convolution.weight.flatten(1), convolution.bias)
    return PrepackedConvolution(convolution, "residual" if block.residual else "relu")
