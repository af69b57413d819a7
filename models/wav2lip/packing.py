"""What is known of one frame of an avatar, in one row of bytes and one of halves: a batch is gathered by copying.

The inner levels hold little and say much, so they keep 16 bits a value. The two outermost hold most of the bytes
and have the least say: each channel is stored in 255 steps up to its peak.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

_BYTE_LEVELS = 2
_LEAST_PEAK = 1e-3
Shape = tuple[int, int, int]


@dataclass(frozen=True)
class Rows:
    """Frames, packed. Tensors in memory shared with numpy, or a batch of them."""

    halves: Tensor
    """(n, a) float16: the inner levels, then the outer ones' peaks."""
    coarse: Tensor
    """(n, b) uint8: the outer levels, then the picture drawn upon."""


@dataclass(frozen=True)
class Packing:
    """How the features of a frame, and the picture drawn upon, are laid out in rows; all channels last."""

    features: tuple[Shape, ...]
    """(h, w, c) of every level, innermost first."""
    picture: Shape

    @classmethod
    def of(cls, features: Sequence[Tensor], picture: Tensor) -> "Packing":
        """For face features (n, c, h, w), innermost first, and a picture (n, c, h, w)."""
        return cls(tuple(_shape(feature) for feature in features), _shape(picture))

    def pack(self, features: Sequence[Tensor], picture: Tensor) -> Rows:
        """Rows of float features, which are not negative, and a uint8 picture."""
        inner, outer = features[:-_BYTE_LEVELS], features[-_BYTE_LEVELS:]
        peaks = [feature.amax(dim=(2, 3), keepdim=True).clamp_min(_LEAST_PEAK).half() for feature in outer]
        steps = [
            (feature / peak.float() * 255).round_().clamp_(0, 255) for feature, peak in zip(outer, peaks, strict=True)
        ]
        return Rows(_joined([*inner, *peaks], torch.float16), _joined([*steps, picture], torch.uint8))

    def unpack(self, halves: Tensor, coarse: Tensor, dtype: torch.dtype) -> tuple[list[Tensor], Tensor]:
        """(features in ``dtype``, picture as uint8) of ``Rows``' tensors."""
        inner, outer = self.features[:-_BYTE_LEVELS], self.features[-_BYTE_LEVELS:]
        exact = _parted(halves, [*inner, *((1, 1, channels) for _, _, channels in outer)])
        *steps, picture = _parted(coarse, [*outer, self.picture])
        peaks = exact[len(inner) :]
        features = [feature.to(dtype) for feature in exact[: len(inner)]]
        features += [step.to(dtype) * (peak / 255).to(dtype) for step, peak in zip(steps, peaks, strict=True)]
        return features, picture


def _shape(tensor: Tensor) -> Shape:
    _, channels, height, width = tensor.shape
    return height, width, channels


def _joined(tensors: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    return torch.cat([tensor.permute(0, 2, 3, 1).flatten(1).to(dtype) for tensor in tensors], dim=1)


def _parted(rows: Tensor, shapes: Sequence[Shape]) -> list[Tensor]:
    ends = [0, *itertools.accumulate(math.prod(shape) for shape in shapes)]
    return [
        rows[:, start:stop].view(-1, *shape).permute(0, 3, 1, 2)
        for (start, stop), shape in zip(itertools.pairwise(ends), shapes, strict=True)
    ]
