"""Making a trained network cheaper to run without changing what it computes."""

from typing import TypeVar, cast

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

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
