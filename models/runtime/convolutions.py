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
        # Channels last: so do convolutions like them best, in half precision above all.
        drawn = seg.new_empty(n, height, r, width, r, self.channels)
        kernels = iter(self.kernels)
        places = {"first": slice(0, 1), "middle": slice(1, r - 1), "last": slice(r - 1, r)}
        for rows in self._kinds():
            for columns in self._kinds():
                seen = padded[:, :, _seen(rows, height), _seen(columns, width)]
                part = functional.conv2d(seen, next(kernels), self.bias)
                # Not an assignment: a traced one would hold on to the batch's size.
                drawn[:, :, places[rows], :, places[columns]].copy_(part.permute(0, 2, 3, 1).unsqueeze(2).unsqueeze(4))
        return drawn.view(n, r * height, r * width, self.channels).permute(0, 3, 1, 2)


def _taps(weight: Tensor, axis: int, kind: str) -> Tensor:
    """Three taps along an axis summed to those that fall on different cells."""
    before, own, after = weight.split(1, dim=axis)  # type: ignore[no-untyped-call]
    taps = {"first": (before, own + after), "middle": (before + own + after,), "last": (before + own, after)}
    return torch.cat(taps[kind], dim=axis)


def _seen(kind: str, count: int) -> slice:
    """The cells of a map padded by one that a kind's kernel runs over."""
    return slice(0 if kind == "first" else 1, count + (2 if kind == "last" else 1))


LANES = 16
"""Convolutions run at half speed or worse where channels are no multiple of this."""


class TappedConv2d(nn.Module):
    """A convolution to few channels that keeps the size: a product of matrices for all taps, then their sum.

    Vector units stand idle where a convolution has fewer outputs than they have lanes. The sum is float32.
    """

    def __init__(self, convolution: nn.Conv2d) -> None:
        super().__init__()
        self.outputs, inputs, self.rows, self.columns = convolution.weight.shape
        taps = convolution.weight.permute(2, 3, 0, 1).reshape(-1, inputs, 1, 1)
        self.products = plain_conv2d(taps, None)
        self.bias = nn.Parameter(_bias(convolution).view(self.outputs, 1, 1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, h, w) -> (n, outputs, h, w) float32."""
        height, width = x.shape[2], x.shape[3]
        across, down = self.columns // 2, self.rows // 2
        products = functional.pad(self.products(x).float(), (across, across, down, down))
        outputs = self.outputs
        total = self.bias.float()
        for tap in range(self.rows * self.columns):
            row, column = divmod(tap, self.columns)
            place = slice(row, row + height), slice(column, column + width)
            total = total + products[:, tap * outputs : (tap + 1) * outputs, *place]
        return total


def narrow_conv3d(convolution: nn.Conv3d, depth: int) -> nn.Module:
    """A convolution to few channels that keeps the size, for volumes of a depth, by the cheaper of two ways."""
    return ShallowConv3d(convolution, depth) if depth < convolution.kernel_size[0] else SlicedConv3d(convolution, depth)


class SlicedConv3d(nn.Module):
    """A convolution of a volume to few channels that keeps the size: one of its slices for each tap in depth, summed.

    For the same reason as :class:`TappedConv2d`. The sum is float32.
    """

    def __init__(self, convolution: nn.Conv3d, depth: int) -> None:
        """``depth``: of the volumes, no less than the kernel's."""
        super().__init__()
        self.depth = depth
        self.outputs, inputs, self.taps, rows, columns = convolution.weight.shape
        weight = convolution.weight.permute(2, 0, 1, 3, 4).reshape(-1, inputs, rows, columns)
        self.slices = plain_conv2d(_padded(weight), None)
        self.bias = nn.Parameter(_bias(convolution), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, d, h, w) -> (n, outputs, d, h, w) float32, channels last."""
        depth, height, width = self.depth, x.shape[3], x.shape[4]
        drawn = self.slices(x.transpose(1, 2).flatten(0, 1)).permute(0, 2, 3, 1)
        products = drawn.unflatten(0, (-1, depth))
        total = self.bias.float().expand(products.shape[0], depth, height, width, -1).contiguous()
        for tap in range(self.taps):
            shift = tap - self.taps // 2
            seen, drawn_on = slice(max(0, shift), depth + min(0, shift)), slice(max(0, -shift), depth - max(0, shift))
            total[:, drawn_on].add_(products[:, seen, ..., tap * self.outputs : (tap + 1) * self.outputs])
        return total.permute(0, 4, 1, 2, 3)


class ShallowConv3d(nn.Module):
    """The same of a volume less deep than the kernel: its slices are channels, since nearly all see each other."""

    def __init__(self, convolution: nn.Conv3d, depth: int) -> None:
        """``depth``: of the volumes."""
        super().__init__()
        self.depth = depth
        self.outputs, inputs, taps, rows, columns = convolution.weight.shape
        weight = convolution.weight.new_zeros(depth, self.outputs, depth, inputs, rows, columns)
        for drawn in range(depth):
            for seen in range(depth):
                tap = seen - drawn + taps // 2
                if 0 <= tap < taps:
                    weight[drawn, :, seen] = convolution.weight[:, :, tap]
        self.joined = plain_conv2d(_padded(weight.flatten(2, 3).flatten(0, 1)), None)
        self.bias = nn.Parameter(_bias(convolution).view(-1, 1, 1, 1), requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inputs, d, h, w) -> (n, outputs, d, h, w) float32."""
        slices = x.transpose(1, 2).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        drawn: Tensor = self.joined(slices)[:, : self.depth * self.outputs].float()
        return drawn.view(-1, self.depth, self.outputs, *drawn.shape[2:]).transpose(1, 2) + self.bias.float()


def _padded(weight: Tensor) -> Tensor:
    """A weight (outputs, inputs, h, w) with outputs of zeros up to a multiple of ``LANES``."""
    return functional.pad(weight, (0, 0, 0, 0, 0, 0, 0, -len(weight) % LANES))


def _bias(convolution: nn.Conv2d | nn.Conv3d) -> Tensor:
    return torch.zeros(convolution.out_channels) if convolution.bias is None else convolution.bias.detach()


def joined_conv2d(convolutions: list[nn.Conv2d]) -> nn.Conv2d:
    """One convolution with the outputs of several on the same input."""
    biases = [convolution.bias for convolution in convolutions if convolution.bias is not None]
    return plain_conv2d(torch.cat([convolution.weight for convolution in convolutions]), torch.cat(biases))


def with_bias(convolution: nn.Conv2d, more: float) -> nn.Conv2d:
    """The same convolution with ``more`` added to its bias."""
    return plain_conv2d(convolution.weight, _bias(convolution) + more)


def plain_conv2d(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A convolution that keeps the size, with this weight (outputs, inputs, k, k) and bias."""
    outputs, inputs, kernel, _ = weight.shape
    made = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=bias is not None, device=weight.device)
    made.requires_grad_(False)
    made.weight.copy_(weight)
    if bias is not None and made.bias is not None:
        made.bias.copy_(bias)
    return made.eval()
