"""The decoder made cheaper to run without changing what it computes, but for rounding.

The spectral scale goes into the convolutions. A block's two or three modulations see the same guide, so their first
convolutions are one, computed on the guide before it is enlarged.
"""

from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.runtime.convolutions import RepeatedConv2d, joined_conv2d, plain_conv2d, with_bias
from models.spade.network import SLOPE, SpadeBlock, SpadeDecoder, SpectralConv2d

_ENLARGED = {"up_0": 2, "up_1": 4}
"""How many times larger than the guide a block's input is; 1 for others."""

Decoder = TypeVar("Decoder", bound=SpadeDecoder)


def fold_decoder(decoder: Decoder) -> Decoder:
    """Replace every block of a decoder by its :class:`FoldedSpadeBlock`, in place."""
    for name, child in list(decoder.named_children()):
        if isinstance(child, SpadeBlock):
            setattr(decoder, name, FoldedSpadeBlock(child, _ENLARGED.get(name, 1)))
    return decoder


class FoldedSpadeBlock(nn.Module):
    """A block whose modulations share their first convolution."""

    def __init__(self, block: SpadeBlock, repeats: int) -> None:
        """``repeats``: how many times larger than its guide the block's input is."""
        super().__init__()
        norms = [block.norm_0, block.norm_1, *([block.norm_s] if block.projects else [])]
        shared = joined_conv2d([cast(nn.Conv2d, norm.mlp_shared[0]) for norm in norms])
        self.shared: nn.Module = RepeatedConv2d(shared, repeats) if repeats > 1 else shared
        self.gains = nn.ModuleList(with_bias(norm.mlp_gamma, 1.0) for norm in norms)  # gamma is what is more than 1
        self.offsets = nn.ModuleList(norm.mlp_beta for norm in norms)
        self.conv_0, self.conv_1 = _plain(block.conv_0), _plain(block.conv_1)
        self.conv_s = _plain(block.conv_s) if block.projects else None

    def forward(self, x: Tensor, guide: Tensor) -> Tensor:
        """As the block it was made of."""
        parts = functional.relu_(self.shared(guide)).chunk(len(self.gains), dim=1)
        normal = _normalised(x)
        y = self.conv_0(functional.leaky_relu_(self._modulated(normal, 0, parts), SLOPE))
        y = self.conv_1(functional.leaky_relu_(self._modulated(_normalised(y), 1, parts), SLOPE))
        return y + (x if self.conv_s is None else self.conv_s(self._modulated(normal, 2, parts)))  # type: ignore[no-any-return]

    def _modulated(self, normal: Tensor, index: int, parts: tuple[Tensor, ...]) -> Tensor:
        # In place, as fresh memory costs more than the sums.
        part = parts[index]
        return self.offsets[index](part).addcmul_(normal, self.gains[index](part))  # type: ignore[no-any-return]


def _normalised(x: Tensor) -> Tensor:
    """Instance normalisation is one of groups of one channel, which leaves channels side by side where they are so."""
    return torch.group_norm(x, x.shape[1])


def _plain(convolution: SpectralConv2d) -> nn.Conv2d:
    return plain_conv2d(convolution.weight().detach(), convolution.bias)
