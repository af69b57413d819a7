"""Convolutions that compute the same as plain ones."""

import pytest
import torch
from torch import nn

from models.runtime.convolutions import RepeatedConv2d, ShallowConv3d, SlicedConv3d, TappedConv2d, narrow_conv3d


@pytest.mark.parametrize("repeats", [2, 3, 4])
def test_repeated_convolution_is_that_of_the_enlarged_map(repeats: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(5, 7, 3, padding=1).requires_grad_(False)
    seg = torch.randn(2, 5, 6, 9)
    expected = convolution(nn.functional.interpolate(seg, scale_factor=repeats))
    torch.testing.assert_close(RepeatedConv2d(convolution, repeats)(seg), expected, atol=1e-5, rtol=1e-5)


def test_taps_add_up_to_the_convolution() -> None:
    torch.manual_seed(0)
    convolution = nn.Conv2d(5, 2, (7, 3), padding=(3, 1)).requires_grad_(False)
    x = torch.randn(2, 5, 8, 9)
    torch.testing.assert_close(TappedConv2d(convolution)(x), convolution(x), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("depth", [1, 2, 4, 7, 9])
def test_slices_add_up_to_the_convolution(depth: int) -> None:
    torch.manual_seed(0)
    convolution = nn.Conv3d(5, 3, 7, padding=3).requires_grad_(False)
    x = torch.randn(2, 5, depth, 8, 9)
    made = narrow_conv3d(convolution, depth)
    assert isinstance(made, ShallowConv3d if depth < 7 else SlicedConv3d)
    torch.testing.assert_close(made(x), convolution(x), atol=1e-5, rtol=1e-5)
