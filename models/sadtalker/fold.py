"""The renderer made cheaper to run without changing what it computes, but for rounding.

Normalisations go into the convolutions, and the decoder is folded as ``spade.fold`` says. All frames have one source,
so what depends on it alone is computed once. A shift of the whole volume resamples each axis by itself, and a Gaussian
is the product of three, so the keypoints' proposals are products of small matrices.
"""

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from models.runtime.convolutions import TappedConv2d, narrow_conv3d
from models.runtime.precision import drawing_dtype
from models.runtime.prepacked import prepack_convolutions
from models.runtime.runtime import Runtime, choose
from models.runtime.scripted import Call
from models.sadtalker.dense_motion import LEAST_WEIGHT, VARIANCE, DenseMotionNetwork, warp
from models.sadtalker.grid import volume_grid
from models.sadtalker.renderer import Renderer, SourceFeatures
from models.spade.fold import fold_decoder


class FastRenderer:
    """Offers what ``animation.Animator`` asks of a ``Renderer``, on the runtime's device.

    Made of one in eval mode, which is moved there and otherwise stays as it is.
    """

    def __init__(self, renderer: Renderer, dtype: torch.dtype | None = None, runtime: Runtime | None = None) -> None:
        """Nothing is traced or compiled before the first picture.

        Args:
            renderer: the plain one.
            dtype: of the convolutions; places and weights of motions stay float32. None is ``drawing_dtype``.
            runtime: None is scripted on the CPU.
        """
        self.runtime = runtime or choose("scripted", "cpu")
        self._renderer = renderer.to(self.runtime.device)
        self.dtype = dtype or drawing_dtype(self.runtime.device)
        self._calls: dict[torch.Size, Call] = {}
        """By the size of the source's volume."""

    @torch.inference_mode()
    def encode(self, picture: Tensor) -> SourceFeatures:
        """As ``Renderer.encode``, once a picture and so in float32."""
        return self._renderer.encode(picture)

    @torch.inference_mode()
    def picture(self, source: SourceFeatures, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """As ``Renderer.picture``, of one source for all n frames. It holds until the next call at least.

        Raises:
            ValueError: several sources.
        """
        if source.volume.stride(0) and len(source.volume) > 1:
            raise ValueError("Frames drawn together have one source.")
        of_one = (source.volume[:1], source.squeezed[:1], kp_source[:1])
        # Compilers take batches of one size; repeated without a copy, the source is looked at once all the same.
        inputs = [_repeated(tensor, len(kp_driving)) for tensor in of_one]
        shape = of_one[0].shape
        if shape not in self._calls:
            # Traced with two frames: one would make the number of frames a constant.
            example = [*(_repeated(tensor, 2) for tensor in of_one), torch.cat((kp_driving[:1], kp_driving[:1]))]
            drawing = _Drawing(self._renderer, shape, self.dtype).eval().requires_grad_(False)
            if self.runtime.can_prepack(self.dtype):
                prepack_convolutions(drawing)
            # A film's first frames may be slower, and warming up would cost as much as drawing several.
            self._calls[shape] = self.runtime.call(drawing, *example, warm_ups=0)
        return self._calls[shape](*inputs, kp_driving)


def _repeated(of_one: Tensor, frames: int) -> Tensor:
    return of_one.expand(frames, *of_one.shape[1:])


class _Drawing(nn.Module):
    """Volume (n, c, d, h, w), squeezed (n, 4, d, h, w), keypoints (n, 15, 3) twice -> RGB (n, 3, 4h, 4w).

    Of all but the last the first is looked at: they repeat.
    """

    def __init__(self, renderer: Renderer, shape: torch.Size, dtype: torch.dtype) -> None:
        super().__init__()
        renderer = copy.deepcopy(renderer)
        self.dtype = dtype
        self.motion = _Motion(renderer.dense_motion_network, shape, dtype)
        self.third = fuse_conv_bn_eval(renderer.third.conv, renderer.third.norm)
        self.slope = renderer.third.slope
        self.fourth = renderer.fourth
        self.decoder = fold_decoder(renderer.decoder)
        for part in (self.third, self.fourth, self.decoder):
            part.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, volume: Tensor, squeezed: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        deformation, occlusion = self.motion(squeezed, kp_source[:1], kp_driving)
        x = warp(volume, deformation).flatten(1, 2)
        x = x.to(self.dtype, memory_format=torch.channels_last)
        x = self.fourth(functional.leaky_relu_(self.third(x), self.slope))
        logits = self.decoder.logits((x * occlusion).to(self.dtype, memory_format=torch.channels_last))
        return torch.sigmoid(logits.float())


class _Motion(nn.Module):
    """``DenseMotionNetwork`` of one source."""

    grid: Tensor
    axis_z: Tensor
    axis_y: Tensor
    axis_x: Tensor

    def __init__(self, network: DenseMotionNetwork, shape: torch.Size, dtype: torch.dtype) -> None:
        super().__init__()
        self.sizes = (shape[2], shape[3], shape[4])
        self.dtype = dtype
        hourglass = network.hourglass
        for block in (*hourglass.encoder.down_blocks, *hourglass.decoder.up_blocks, hourglass.decoder):
            block.conv = fuse_conv_bn_eval(block.conv, block.norm)
        self.hourglass = hourglass.to(dtype=dtype, memory_format=torch.channels_last_3d)  # type: ignore[call-overload]
        self.mask, self.occlusion = narrow_conv3d(network.mask, shape[2]), TappedConv2d(network.occlusion)
        for part in (self.mask, self.occlusion):
            part.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        like = torch.zeros(())
        self.register_buffer("grid", volume_grid(*self.sizes, like))
        for axis, size in zip("zyx", self.sizes, strict=True):
            self.register_buffer(f"axis_{axis}", torch.arange(size, dtype=torch.float32) * (2 / (size - 1)) - 1)

    def forward(self, squeezed: Tensor, kp_source: Tensor, kp_driving: Tensor) -> tuple[Tensor, Tensor]:
        """Deformation (n, d, h, w, 3) and occlusion (n, 1, h, w)."""
        shift = functional.pad(kp_source - kp_driving, (0, 0, 1, 0))
        heat = functional.pad(self._gaussians(kp_driving) - self._gaussians(kp_source), (0, 0, 0, 0, 0, 0, 1, 0))
        seen = torch.cat((heat[:, :, None], self._shifted(squeezed[0], shift)), dim=2).flatten(1, 2)
        x = self._hourglass(seen.to(self.dtype, memory_format=torch.channels_last_3d))
        mask = functional.softmax(self.mask(x), dim=1)
        kept = mask.masked_fill(mask < LEAST_WEIGHT, 0)
        # sum over motions of weight * (grid + shift)
        total = kept.sum(dim=1)[..., None]
        deformation = total * self.grid + torch.einsum("nmdhw,nmc->ndhwc", kept, shift)
        flat = x.flatten(1, 2).contiguous(memory_format=torch.channels_last)
        return deformation, torch.sigmoid(self.occlusion(flat))

    def _hourglass(self, x: Tensor) -> Tensor:
        features = [x]
        for block in self.hourglass.encoder.down_blocks:
            features.append(_halved(functional.relu_(cast(nn.Module, block.conv)(features[-1]))))
        x = features.pop()
        decoder = self.hourglass.decoder
        for block in decoder.up_blocks:
            x = functional.relu_(cast(nn.Module, block.conv)(functional.interpolate(x, scale_factor=(1, 2, 2))))
            x = torch.cat((x, features.pop()), dim=1)
        return functional.relu_(decoder.conv(x))

    def _axes(self) -> tuple[Tensor, Tensor, Tensor]:
        """Coordinates along z, y, x."""
        return self.axis_z, self.axis_y, self.axis_x

    def _gaussians(self, keypoints: Tensor) -> Tensor:
        """(n, 15, 3) -> (n, 15, d, h, w)."""
        z, y, x = (
            torch.exp(-0.5 * (axis - keypoints[:, :, i, None]).square() / VARIANCE)
            for axis, i in zip(self._axes(), (2, 1, 0), strict=True)
        )
        return z[..., None, None] * (y[..., None] * x[..., None, :])[:, :, None]

    def _shifted(self, volume: Tensor, shift: Tensor) -> Tensor:
        """(c, d, h, w) seen from the grid moved by each of (n, m, 3): (n, m, c, d, h, w), zero outside."""
        z, y, x = (
            self._between(axis, size, shift[:, :, i, None])
            for axis, size, i in zip(self._axes(), self.sizes, (2, 1, 0), strict=True)
        )
        across = torch.einsum("cdhw,nmxw->nmcdhx", volume, x)
        down = torch.einsum("nmcdhx,nmyh->nmcdyx", across, y)
        return torch.einsum("nmcdyx,nmzd->nmczyx", down, z)

    def _between(self, axis: Tensor, size: int, shift: Tensor) -> Tensor:
        """Linear interpolation at an axis shifted by (n, m, 1): (n, m, size, size); as ``warp`` places samples."""
        places = ((axis + shift + 1) * size - 1) / 2
        cells = torch.arange(size, dtype=torch.float32, device=axis.device)
        return (1 - (places[..., None] - cells).abs()).clamp(min=0)


def _halved(x: Tensor) -> Tensor:
    """The mean of every 2x2 pixels of each slice; in 2D, since the 3D kind takes no bfloat16."""
    slices = x.transpose(1, 2)
    small = functional.avg_pool2d(slices.flatten(0, 1), 2)
    return small.unflatten(0, (-1, x.shape[2])).transpose(1, 2)  # type: ignore[no-any-return, no-untyped-call]
