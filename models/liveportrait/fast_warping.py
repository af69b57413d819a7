"""W as the animator runs it: what is exact about keypoint motions done exactly, and cheaply.

Moving with a keypoint shifts the whole grid by one vector, so sampling the volume there is linear interpolation
along each axis on its own: three small matrix products instead of eight corners a cell. The blob about a keypoint
is a product of three rows of numbers likewise, and since the weights of the motions add up to one, the deformation
is the grid less the weighted mean of the vectors. Only the last warp samples at will, and does so by rows of a table.
"""

from typing import TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.liveportrait.layers import KEYPOINTS, ConvNorm3d
from models.liveportrait.warping import KEYPOINT_VARIANCE, WarpingModule, coordinate_grid
from models.runtime.convolutions import LANES, TappedConv2d, narrow_conv3d

_SUM = 0
"""``torch.embedding_bag``'s number for it."""

Convolution = TypeVar("Convolution", nn.Conv2d, nn.Conv3d)
Shape = tuple[int, int, int]
"""Cells of a volume: (depth, height, width)."""


def shifted_interpolation(shift: Tensor, size: int) -> Tensor:
    """Linear interpolation along one axis at the grid's coordinates less ``shift``, zeros outside.

    Args:
        shift: (...), in the grid's units, where the axis runs from -1 to 1.
        size: cells of the axis.

    Returns:
        (..., size, size): the weight of the second index's cell at the first index's coordinate, as
        ``warping.sample_volume`` weighs it.
    """
    cells = torch.arange(size, dtype=torch.float32, device=shift.device)
    coordinates = 2 * cells / (size - 1) - 1 - shift[..., None]
    positions = ((coordinates + 1) * size - 1) / 2
    return (1 - (positions[..., None] - cells).abs()).clamp(min=0)


def blobs(kp: Tensor, shape: Shape) -> Tensor:
    """As ``warping.gaussians`` on the whole grid: kp (n, k, 3) -> (n, k, d, h, w)."""
    rows = []
    for axis, size in enumerate(reversed(shape)):
        cells = 2 * torch.arange(size, dtype=torch.float32, device=kp.device) / (size - 1) - 1
        rows.append(torch.exp(-0.5 / KEYPOINT_VARIANCE * (cells - kp[:, :, axis, None]).square()))
    x, y, z = rows
    return z[:, :, :, None, None] * (y[:, :, None, :, None] * x[:, :, None, None, :])


def sample_rows(volume: Tensor, grid: Tensor, shape: Shape) -> Tensor:
    """Trilinear sampling, zeros outside: for each cell a weighted sum of eight rows of a table.

    PyTorch's sampler fetches number by number, and other runtimes need a plug-in for five dimensions; sums of
    rows are what every runtime looks words up with.

    Args:
        volume: (n, d, h, w, c).
        grid: (n, d, h, w, 3) float32: coordinates (x, y, z) as ``warping.sample_volume`` takes them.
        shape: (d, h, w).

    Returns:
        (n, d, h, w, c), of the volume's type.
    """
    depth, height, width = shape
    # Along an axis: (what the cell adds to the row's number, its weight), the lower neighbour's and the upper's.
    neighbours = []
    for axis, (size, stride) in enumerate(((width, 1), (height, width), (depth, height * width))):
        position = ((grid[..., axis] + 1) * size - 1) / 2
        lower = position.floor()
        share = position - lower
        neighbours.append([_cell(lower, 1 - share, size, stride), _cell(lower + 1, share, size, stride)])
    corners = [(x, y, z) for z in neighbours[2] for y in neighbours[1] for x in neighbours[0]]
    cells = depth * height * width
    first = torch.arange(volume.shape[0], device=grid.device).view(-1, 1, 1, 1) * cells
    indices = torch.stack([x[0] + y[0] + z[0] + first for x, y, z in corners], dim=-1).flatten()
    weights = torch.stack([x[1] * y[1] * z[1] for x, y, z in corners], dim=-1).flatten()
    table = volume.flatten(0, -2)
    begins = torch.arange(volume.shape[0] * cells, device=grid.device) * len(corners)
    # torch.nn.functional's own checks of sizes are Python, which a trace cannot hold.
    sampled = torch.embedding_bag(table, indices, begins, mode=_SUM, per_sample_weights=weights.to(table.dtype))[0]
    return sampled.view(-1, depth, height, width, volume.shape[-1])


def _cell(index: Tensor, weight: Tensor, size: int, stride: int) -> tuple[Tensor, Tensor]:
    """A whole number as an index, times the stride, and its weight: zero where the cell lies outside."""
    inside = (index >= 0) & (index < size)
    return index.clamp(0, size - 1).long() * stride, weight * inside


class FastWarping(nn.Module):
    """A folded :class:`WarpingModule` at another precision; keypoints and coordinates stay float32."""

    grid: Tensor

    def __init__(self, warping: WarpingModule, dtype: torch.dtype, shape: Shape) -> None:
        """``warping``: folded (``fold.fold``); its layers are taken over and converted."""
        super().__init__()
        motion = warping.dense_motion_network
        self.dtype, self.shape = dtype, shape
        self.register_buffer("grid", coordinate_grid(shape, torch.device("cpu"), torch.float32))
        self.compress = motion.compress
        down = [cast(ConvNorm3d, block).conv for block in motion.hourglass.encoder.down_blocks]
        joined = motion.hourglass.decoder.conv
        self.unused: int = -joined.in_channels % LANES
        """Channels of zeros after the evidence, for the widest convolutions' sake."""
        down[0] = _widened(down[0], self.unused, 0)
        self.down = nn.ModuleList(down)
        self.up = nn.ModuleList(cast(ConvNorm3d, block).conv for block in motion.hourglass.decoder.up_blocks)
        self.joined = _widened(joined, self.unused, self.unused)
        self.mask = narrow_conv3d(_widened(motion.mask, self.unused, 0), shape[0])
        self.occlusion = TappedConv2d(_widened(motion.occlusion, self.unused * shape[0], 0))
        self.third, self.fourth = warping.third, warping.fourth
        for volumes in (self.down, self.up, self.joined):
            volumes.to(dtype, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        for maps in (self.mask, self.occlusion, self.third, self.fourth):
            maps.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, feature: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """As ``WarpingModule``; the result is of this precision."""
        shifts = functional.pad(kp_driving - kp_source, (0, 0, 1, 0))
        hidden = self.hourglass(self.evidence(feature, shifts, kp_source, kp_driving))
        logits = self.mask(hidden).permute(0, 2, 3, 4, 1)
        mean_shift = logits.softmax(dim=-1).flatten(1, 3) @ shifts
        occlusion = torch.sigmoid(self.occlusion(_channels_last(hidden.flatten(1, 2))))
        rows = feature.permute(0, 2, 3, 4, 1).contiguous()
        warped = sample_rows(rows, self.grid - mean_shift.view(-1, *self.shape, 3), self.shape).to(self.dtype)
        # Channels before depths, as the published projection has them.
        side_by_side = warped.permute(0, 4, 1, 2, 3).flatten(1, 2)
        x = functional.leaky_relu(self.third(_channels_last(side_by_side)), 0.01)
        return (self.fourth(x) * occlusion).to(self.dtype)  # type: ignore[no-any-return]

    def evidence(self, feature: Tensor, shifts: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """As ``DenseMotionNetwork.evidence``, then channels of zeros: (n, 112, d, h, w).

        ``shifts`` (n, 22, 3): how far each motion moves.
        """
        depth, height, width = self.shape
        compressed = functional.relu(self.compress(feature))
        channels = compressed.shape[1]
        across = shifted_interpolation(shifts[..., 0], width)
        down = shifted_interpolation(shifts[..., 1], height)
        inward = shifted_interpolation(shifts[..., 2], depth)
        x = compressed.flatten(1, 3)[:, None] @ across.transpose(-1, -2)
        x = down[:, :, None] @ x.view(-1, KEYPOINTS + 1, channels * depth, height, width)
        x = inward[:, :, None] @ x.view(-1, KEYPOINTS + 1, channels, depth, height * width)
        warped = x.view(-1, KEYPOINTS + 1, channels, depth, height, width).to(self.dtype)
        heat = functional.pad(blobs(kp_driving, self.shape) - blobs(kp_source, self.shape), (0, 0, 0, 0, 0, 0, 1, 0))
        judged = torch.cat((heat[:, :, None].to(self.dtype), warped), dim=2).flatten(1, 2)
        if self.unused:
            judged = functional.pad(judged, (0, 0, 0, 0, 0, 0, 0, self.unused))
        return judged.contiguous(memory_format=torch.channels_last_3d)

    def hourglass(self, x: Tensor) -> Tensor:
        """As ``warping.Hourglass``, without normalisation."""
        depth = self.shape[0]
        features = [x]
        for convolution in self.down:
            x = _as_maps(functional.relu_(convolution(features[-1])))
            features.append(_as_volume(functional.avg_pool2d(x, 2), depth))
        x = features.pop()
        for convolution in self.up:
            enlarged = _as_volume(functional.interpolate(_as_maps(x), scale_factor=2), depth)
            x = torch.cat((functional.relu_(convolution(enlarged)), features.pop()), dim=1)
        return functional.relu_(self.joined(x))


def _as_maps(volume: Tensor) -> Tensor:
    """(n, c, d, h, w) -> (n * d, c, h, w), channels last: pooling and repetition are known for maps only."""
    return volume.transpose(1, 2).flatten(0, 1)


def _as_volume(maps: Tensor, depth: int) -> Tensor:
    """(n * d, c, h, w) -> (n, c, d, h, w)."""
    channels, height, width = maps.shape[1:]
    return maps.view(-1, depth, channels, height, width).transpose(1, 2)


def _channels_last(maps: Tensor) -> Tensor:
    return maps.contiguous(memory_format=torch.channels_last)


def _widened(convolution: Convolution, inputs: int, outputs: int) -> Convolution:
    """The same with so many more channels that are zero."""
    more: list[int] = [0, 0] * (convolution.weight.dim() - 2)
    convolution.weight = nn.Parameter(functional.pad(convolution.weight, [*more, 0, inputs, 0, outputs]), False)
    assert convolution.bias is not None
    convolution.bias = nn.Parameter(functional.pad(convolution.bias, [0, outputs]), False)
    convolution.in_channels += inputs
    convolution.out_channels += outputs
    return convolution
