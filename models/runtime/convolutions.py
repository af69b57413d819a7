"""Convolutions made of others that compute the same with less work; for inference only."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class RepeatedConv2d(nn.Module):
    """A 3x3 convolution of a map enlarged ``repeats`` times by repetition, computed on the small map.

    Of the cells that one cell of the map becomes, along an axis, the first sees the cell before too, the last the
    cell after, and those between see their own alone, so kernels shrink to two taps or one.
    """

    def __init__(self, convolution: nn.Conv2d, repeats: int) -> None:
        super().__init__()
        self.repeats, self.channels = repeats, convolution.out_channels
        self.bias = convolution.bias
        self.kernels = nn.ParameterList(
            nn.Parameter(_taps(_taps(convolution.weight, 2, rows), 3, columns), requires_grad=False)
            for rows in self._kinds()
            for columns in self._kinds()
        )

    def _kinds(self) -> tuple[str, ...]:
        return ("first", "last") if self.repeats == 2 else ("first", "middle", "last")

    def forward(self, seg: Tensor) -> Tensor:
        """(n, c, h, w) -> (n, outputs, repeats * h, repeats * w)."""
        n, _, height, width = seg.shape
        padded = functional.pad(seg, (1, 1, 1, 1))
        r = self.repeats
        drawn = seg.new_empty(n, self.channels, height, r, width, r)
        kernels = iter(self.kernels)
        places = {"first": slice(0, 1), "middle": slice(1, r - 1), "last": slice(r - 1, r)}
        for rows in self._kinds():
            for columns in self._kinds():
                seen = padded[:, :, _seen(rows, height), _seen(columns, width)]
                part = functional.conv2d(seen, next(kernels), self.bias)
                # Not an assignment: a traced one would hold on to the batch's size.
                drawn[:, :, :, places[rows], :, places[columns]].copy_(part.unsqueeze(3).unsqueeze(5))
        return drawn.view(n, self.channels, r * height, r * width)


def _taps(weight: Tensor, axis: int, kind: str) -> Tensor:
    """Three taps along an axis summed to those that fall on different cells."""
    before, own, after = weight.split(1, dim=axis)  # type: ignore[no-untyped-call]
    taps = {"first": (before, own + after), "middle": (before + own + after,), "last": (before + own, after)}
    return torch.cat(taps[kind], dim=axis)


def _seen(kind: str, count: int) -> slice:
    """The cells of a map padded by one that a kind's kernel runs over."""
    return slice(0 if kind == "first" else 1, count + (2 if kind == "last" else 1))


def joined_conv2d(convolutions: list[nn.Conv2d]) -> nn.Conv2d:
    """One convolution with the outputs of several on the same input."""
    biases = [convolution.bias for convolution in convolutions if convolution.bias is not None]
    return plain_conv2d(torch.cat([convolution.weight for convolution in convolutions]), torch.cat(biases))


def gain_and_offset(gamma: nn.Conv2d, beta: nn.Conv2d) -> nn.Conv2d:
    """Both in one; the gain is 1 + gamma."""
    joined = joined_conv2d([gamma, beta])
    assert joined.bias is not None
    joined.bias[: gamma.out_channels] += 1
    return joined


def plain_conv2d(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution that keeps the size, with this weight (outputs, inputs, k, k) and bias."""
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias is not None, device=weight.device)
    made.requires_grad_(False)
    made.weight.copy_(weight)
    if bias is not None and made.bias is not None:
        made.bias.copy_(bias)
    return made.eval()
