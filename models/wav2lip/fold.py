"""Making a trained network cheaper to run without changing what it computes."""

from typing import TypeVar, cast

from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.audio.encoder import ConvBlock
from models.wav2lip.layers import UpBlock

Network = TypeVar("Network", bound=nn.Module)


class FoldedBlock(nn.Module):
    """A block whose normalisation is folded into its convolution; works in place, so for inference only."""

    def __init__(self, block: ConvBlock | UpBlock) -> None:
        super().__init__()
        convolution, norm = block.conv_block
        up = isinstance(block, UpBlock)
        self.convolution = fuse_conv_bn_eval(convolution, norm, transpose=up)  # type: ignore[type-var, arg-type]
        self.residual = isinstance(block, ConvBlock) and block.residual

    def forward(self, x: Tensor) -> Tensor:
        """As the block it was made of."""
        y = cast(Tensor, self.convolution(x))
        return functional.relu_(y.add_(x) if self.residual else y)


def fold_norms(network: Network) -> Network:
    """Replace every block of a network in eval mode by its :class:`FoldedBlock`, in place."""
    for name, child in network.named_children():
        if isinstance(child, ConvBlock | UpBlock):
            setattr(network, name, FoldedBlock(child))
        else:
            fold_norms(child)
    return network
