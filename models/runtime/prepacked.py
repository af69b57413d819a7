"""Convolutions whose weights lie as oneDNN multiplies them, with what follows them in the same pass.

PyTorch's own convolution lays its weights out anew with every call. A batch of one has so few pixels to a weight that
this can take longer than multiplying. What is called here is what ``torch.compile`` makes of a frozen network on a
CPU, without its compiler.
"""

import functools
from typing import Any

import torch
from torch import Tensor, nn

_CALLS = """
def plain(x, weight, bias: Optional[Tensor],
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


class PrepackedConv2d(nn.Module):
    """A convolution, transposed or not, then the input added where it is ``residual``, then ReLU. For inference."""

    def __init__(self, convolution: nn.Conv2d | nn.ConvTranspose2d, residual: bool) -> None:
        super().__init__()
        places: list[Any] = [list(convolution.padding)]
        lay_out = torch.ops.mkldnn._reorder_convolution_weight
        self._call = _calls().residual if residual else _calls().plain
        if isinstance(convolution, nn.ConvTranspose2d):
            places.append(list(convolution.output_padding))
            lay_out, self._call = torch.ops.mkldnn._reorder_convolution_transpose_weight, _calls().transposed
        places += [list(convolution.stride), list(convolution.dilation), convolution.groups]
        self._places = places
        self.bias = convolution.bias
        self.weight: Tensor
        self.register_buffer("weight", lay_out(convolution.weight.detach(), *places), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w), channels last -> (n, outputs, h', w')."""
        drawn: Tensor = self._call(x, self.weight, self.bias, *self._places)
        return drawn


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
