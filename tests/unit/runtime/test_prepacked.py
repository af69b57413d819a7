import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from models.runtime.fold import SpreadCell
from models.runtime.prepacked import PrepackedConvolution, PrepackedProduct, can_prepack, prepack_convolutions
from models.runtime.scripted import as_one_call

CPU = torch.device("cpu")


def last(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    "convolution",
    [
        nn.Conv2d(24, 24, 3, padding=1),
        nn.Conv2d(24, 40, 3, stride=(3, 2), padding=1),
        nn.Conv2d(24, 8, 3),
        nn.Conv2d(24, 16, 1, bias=False),
        nn.ConvTranspose2d(24, 40, 3, stride=2, padding=1, output_padding=1),
    ],
    ids=["same", "strided", "bare", "1x1", "transposed"],
)
@pytest.mark.parametrize("dtype", [dtype for dtype in (torch.float32, torch.bfloat16) if can_prepack(CPU, dtype)])
def test_it_is_its_convolution_at_any_batch_size(
    convolution: nn.Conv2d | nn.ConvTranspose2d, dtype: torch.dtype
) -> None:
    torch.manual_seed(1)
    convolution = copy.deepcopy(convolution).to(dtype).requires_grad_(False)
    call = as_one_call(PrepackedConvolution(convolution, "relu"), last(torch.zeros(2, 24, 9, 12, dtype=dtype)))
    tolerance = 1e-4 if dtype == torch.float32 else 0.02
    for count in (1, 2, 5):
        x = last(torch.randn(count, 24, 9, 12).to(dtype))
        drawn = call(x)
        assert drawn.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(drawn, functional.relu(convolution(x)), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("dtype", [dtype for dtype in (torch.float32, torch.bfloat16) if can_prepack(CPU, dtype)])
def test_a_network_with_its_convolutions_prepacked_draws_the_same(dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    maps = nn.Sequential(nn.Conv2d(4, 24, 3, padding=1), nn.LeakyReLU(0.1), nn.Sequential(nn.Conv2d(24, 5, 7)))
    volumes = nn.Sequential(nn.Conv3d(4, 16, 3, padding=1), nn.ReLU(), nn.Conv3d(16, 3, 1, bias=False))
    for network, x in ((maps, torch.randn(2, 4, 9, 12)), (volumes, torch.randn(2, 4, 3, 9, 12))):
        network, x = network.to(dtype).requires_grad_(False), x.to(dtype)
        expected = network(x)
        call = as_one_call(prepack_convolutions(network), x)
        assert not any(type(module) in (nn.Conv2d, nn.Conv3d) for module in network.modules())
        tolerance = 1e-5 if dtype == torch.float32 else 0.02
        torch.testing.assert_close(call(x), expected, rtol=tolerance, atol=tolerance)
        torch.testing.assert_close(call(x[:1]), expected[:1], rtol=tolerance, atol=tolerance)


def test_the_input_is_added_before_the_relu() -> None:
    convolution = nn.Conv2d(24, 24, 3, padding=1).requires_grad_(False)
    x = last(torch.randn(3, 24, 9, 12))
    before = x.clone()
    drawn = PrepackedConvolution(convolution, "residual")(x)
    torch.testing.assert_close(drawn, functional.relu(convolution(x) + x), rtol=1e-4, atol=1e-4)
    assert torch.equal(x, before)


@pytest.mark.parametrize("dtype", [dtype for dtype in (torch.float32, torch.bfloat16) if can_prepack(CPU, dtype)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_is_its_1x1_convolution_of_maps_of_any_size(bias: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(1)
    convolution = nn.Conv2d(24, 40, 1, bias=bias).to(dtype).requires_grad_(False)
    product = PrepackedProduct(convolution.weight.flatten(1), convolution.bias)
    call = as_one_call(product, last(torch.zeros(2, 24, 1, 1, dtype=dtype)))
    tolerance = 1e-4 if dtype == torch.float32 else 0.02
    for count, size in ((1, (1, 1)), (3, (1, 1)), (2, (3, 5))):
        x = last(torch.randn(count, 24, *size).to(dtype))
        drawn = call(x)
        assert drawn.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(drawn, functional.relu(convolution(x)), rtol=tolerance, atol=tolerance)


def test_one_cell_spread_is_its_transposed_convolution() -> None:
    convolution = nn.ConvTranspose2d(24, 40, 3).requires_grad_(False)
    call = as_one_call(SpreadCell(convolution), torch.zeros(2, 24, 1, 1))
    for count in (1, 4):
        x = torch.randn(count, 24, 1, 1)
        drawn = call(x)
        assert drawn.is_contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(drawn, functional.relu(convolution(x)), rtol=1e-4, atol=1e-4)


def test_a_gpu_and_other_types_are_left_alone() -> None:
    assert not can_prepack(torch.device("cuda"), torch.float32)
    assert not can_prepack(CPU, torch.float64)
