"""Convolutions whose weights lie as oneDNN multiplies them, with what follows them in the same pass.

PyTorch's own convolution lays its weights out anew with every call. A batch of one has so few pixels to a weight that
this can take longer than multiplying. What is called here is what ``torch.compile`` makes of a frozen network on a
CPU, without its compiler.
"""

import functools
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

After = Literal["nothing", "relu", "residual"]
"""What follows a convolution: its input is added where it is ``residual``, and then comes ReLU too."""
Network = TypeVar("Network", bound=nn.Module)

_CALLS = """
def nothing(x, weight, bias: Optional[Tensor],
            padding: List[int], stride: List[int], dilation: List[int], groups: int):
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, stride, dilation, groups, "none", [], "")

def relu(x, weight, bias: Optional[Tensor],
         padding: List[int], stride: List[int], dilation: List[int], groups: int):
    return torch.ops.mkldnn._convolution_pointwise(
        x, weight, bias, padding, stride, dilation, groups, "relu", [], "")

def residual(x, weight, bias: Optional[Tensor],
             padding: List[int], stride: List[int], dilation: List[int], groups: int):
    return torch.ops.mkldnn._convolution_pointwise(
        x, x, weight, bias, padding, stride, dilation, groups, "add", 1.0, "relu", [], "")

def transposed(x, weight, bias: Optional[Tensor],
               padding: List[int], extra: List[int], stride: List[int], dilation: List[int], groups: int):
    return torch.ops.mkldnn._convolution_transpose_pointwise(
        x, weight, bias, padding, extra, stride, dilation, groups, "relu", [], "")

def product(x, weight, bias: Optional[Tensor]):
    return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "relu", [], "")
"""
"""In TorchScript's own words, since tracing does not take these operators' lists of numbers."""


@functools.cache
def _calls() -> Any:
    """Not before they are needed: builds of PyTorch without oneDNN do not know the operators."""
    return torch.jit.CompilationUnit(_CALLS)


def can_prepack(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this processor and build of PyTorch have what it takes."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():  # type: ignore[no-untyped-call]
        return False
    return dtype == torch.float32 or (dtype == torch.bfloat16 and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported()))


class PrepackedConvolution(nn.Module):
    """A convolution of maps or volumes, or a transposed one that ReLU follows. For inference."""

    def __init__(self, convolution: nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d, after: After) -> None:
        super().__init__()
        places: list[Any] = [list(convolution.padding)]
        lay_out = torch.ops.mkldnn._reorder_convolution_weight
        self._call = getattr(_calls(), after)
        if isinstance(convolution, nn.ConvTranspose2d):
            places.append(list(convolution.output_padding))
            lay_out, self._call = torch.ops.mkldnn._reorder_convolution_transpose_weight, _calls().transposed
        places += [list(convolution.stride), list(convolution.dilation), convolution.groups]
        self._places = places
        self.bias = convolution.bias
        self.weight: Tensor
        self.register_buffer("weight", lay_out(convolution.weight.detach(), *places), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, [d,] h, w), channels last -> (n, outputs, [d',] h', w')."""
        drawn: Tensor = self._call(x, self.weight, self.bias, *self._places)
        return drawn


def prepack_convolutions(network: Network) -> Network:
    """Replace every convolution of a network, which has its final type, by its prepacked one, in place."""
    for name, child in network.named_children():
        if not isinstance(child, nn.Conv2d | nn.Conv3d):
            prepack_convolutions(child)
        elif can_prepack(child.weight.device, child.weight.dtype):
            setattr(network, name, PrepackedConvolution(child, "nothing"))
    return network


class PrepackedProduct(nn.Module):
    """A 1x1 convolution as a product of matrices, then ReLU. For inference.

    As convolutions, oneDNN runs those of a single cell slowly: 512 channels to 512 take two threads 12 ms, and 0.06
    as a product.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None) -> None:
        """``weight``: (outputs, inputs)."""
        super().__init__()
        self._call = _calls().product
        self.bias = bias
        self.weight: Tensor
        self.register_buffer("weight", torch.ops.mkldnn._reorder_linear_weight(weight.detach()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w), channels last -> (n, outputs, h, w)."""
        drawn: Tensor = self._call(x.permute(0, 2, 3, 1), self.weight, self.bias)
        return drawn.permute(0, 3, 1, 2)
