"""What our own generator is trained on, beside the paper's terms in ``losses``."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from models.wav2lip.region import Cutout

_PATCH_PX = 12
_GRAIN_PX, _FAINT_GRAIN = 6, 2e-5
"""Patches small enough that what is fine must lie near its place; a mean square that is too faint to be seen."""
_LAPLACIAN = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]])
_BINOMIAL = torch.tensor([[[[1.0, 2.0, 1.0], [2.0, 4.0, 2.0], [1.0, 2.0, 1.0]]]]) / 16
_FAINT = 1e-4
"""A mean squared difference of patches that is too small to tell how much of it is left."""


@dataclass(frozen=True)
class Weights:
    """Factors of the terms of the generator's loss."""

    edge: float = 1.0
    """Difference of the pictures' gradients: L1 alone leaves edges soft."""
    coarse: float = 3.0
    """Difference of patches as wholes: a lip that is a little too dark everywhere costs L1 little, and is seen."""
    kept: float = 3.0
    """How much of the input's mouth is left, see ``kept``."""
    trace: float = 0.0
    """How far the error follows the input's mouth on average, see ``trace.Trace``; only at the end of a training, when
    errors are small: 25000."""
    moved: float = 4.0
    """How much more a pixel counts that speech changes than one that stays as in the idle frame."""
    flow: float = 0.1
    """How far the face is moved to a wrong place, a pixel; where the corpus tells the right one."""
    opacity: float = 0.04
    """How much is painted over the moved face, which is the sharper of two that are as near, where moving can do;
    of faces drawn on at rest."""
    grain: float = 10.0
    """How much softer or harsher the picture is, wherever each hair may lie, see ``grain``."""
    sync: float = 0.0
    """The lip-sync expert's opinion; needs an expert and a corpus with sound."""
    critic: float = 0.0
    """The quality discriminator's opinion."""


def paste_weights(mask: NDArray[np.uint8], cutout: Cutout) -> Tensor:
    """The blend mask's share at each pixel of the drawn part, (1, 1, h, w)."""
    scaled = functional.interpolate(
        torch.from_numpy(mask.astype(np.float32) / 255)[None, None],
        size=cutout.size,
        mode="bilinear",
        antialias=True,
    )
    return cutout.drawn_part(scaled)


def pixel_weights(idle: Tensor, target: Tensor, paste: Tensor, moved: float) -> Tensor:
    """How much each pixel of the drawn part counts, (n, 1, h, w) with mean 1 in each picture.

    ``paste`` is the blend mask's share; a pixel that differs by a tenth between rest and speech counts in
    full as moved.
    """
    change = (target - idle).abs().amax(dim=1, keepdim=True)
    weights = (paste + 0.02) * (1 + moved * (10 * change).clamp(max=1))
    return weights / weights.mean(dim=(2, 3), keepdim=True)


def l1_and_edge(drawn: Tensor, target: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted mean absolute difference of the pictures, and of their horizontal and vertical gradients."""
    difference = drawn - target
    l1 = (weights * difference.abs()).mean()
    across = (weights[..., 1:] * (difference[..., 1:] - difference[..., :-1]).abs()).mean()
    down = (weights[..., 1:, :] * (difference[..., 1:, :] - difference[..., :-1, :]).abs()).mean()
    return l1, across + down


def coarse(drawn: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Mean absolute value of the weighted difference's means over patches of ``_PATCH_PX`` a side."""
    return functional.avg_pool2d(weights * (drawn - target), _PATCH_PX, ceil_mode=True).abs().mean()


def grain(drawn: Tensor, target: Tensor, weights: Tensor) -> Tensor:
    """Weighted mean absolute difference of how fine the pictures are, by patches of ``_GRAIN_PX`` a side.

    Hair and edges half a pixel off their place cost L1 more than soft ones; here only their strength counts. Finest is
    what has two pixels a period: it is left out, or all that is soft would be chequered.
    """
    ours, theirs = (functional.avg_pool2d(_fine(x).square(), _GRAIN_PX, ceil_mode=True) for x in (drawn, target))
    pooled = functional.avg_pool2d(weights, _GRAIN_PX, ceil_mode=True)
    return (pooled * ((ours + _FAINT_GRAIN).sqrt() - (theirs + _FAINT_GRAIN).sqrt()).abs()).mean()


def _fine(pictures: Tensor) -> Tensor:
    """The Laplacian of the grey of (n, 3, h, w), behind a filter that lets nothing of two pixels a period through."""
    kernel = functional.conv2d(_LAPLACIAN, _BINOMIAL, padding=2)
    grey = functional.pad(pictures.mean(dim=1, keepdim=True), (2, 2, 2, 2), mode="replicate")
    return functional.conv2d(grey, kernel.to(pictures.device))


def kept(drawn: Tensor, target: Tensor, face: Tensor) -> Tensor:
    """Mean square of the share of ``face - target`` that is still in ``drawn``, by patches of ``_PATCH_PX`` a side.

    ``face`` is what was drawn on. L1 settles for a little of it where it is unsure: then a mouth opens less than it
    should, and one in the input shows through. Each pixel of that is small, but all lie the same way.
    """
    left, before = (functional.avg_pool2d(x - target, _PATCH_PX, ceil_mode=True).flatten(1) for x in (drawn, face))
    share = (left * before).mean(1) / (before.square().mean(1) + _FAINT)
    return share.square().mean()


def misplaced(flow: Tensor, true: Tensor, paste: Tensor) -> Tensor:
    """Mean distance in pixels from the true flow, both (n, 2, h, w), where it is not NaN; weighted by ``paste``."""
    known = ~true.isnan().any(dim=1, keepdim=True)
    weights = paste * known
    off = (flow - true.nan_to_num()).square().sum(dim=1, keepdim=True).add(1e-6).sqrt()
    return (weights * off).sum() / weights.sum().clamp_min(1.0)


def opacity(painted: Tensor, paste: Tensor, true: Tensor, worn: Tensor) -> Tensor:
    """Mean share that is painted over, (n, 1, h, w), weighted by ``paste``.

    What the flow ``true`` (n, 2, h, w) does not know is free, for it cannot be moved there: teeth, or the neck that a
    chin leaves. Of a picture whose flow is not known at all, everything counts. Nothing counts of one drawn on a face
    that talks (whose mouth code in ``worn``, (n, K), is not zero): what is not painted there lets that mouth show.
    """
    known = ~true.isnan().any(dim=1, keepdim=True)
    counts = (known | ~known.flatten(1).any(dim=1).view(-1, 1, 1, 1)) & ~worn.any(dim=1).view(-1, 1, 1, 1)
    return (paste * counts * painted).mean() / paste.mean()


def embedding_of(code: Tensor, channels: int) -> Tensor:
    """A mouth code (n, K) in the place of an audio embedding, (n, channels, 1, 1): the rest is zero.

    Raises:
        ValueError: the code has more controls than the embedding has channels.
    """
    if code.shape[1] > channels:
        raise ValueError(f"A mouth code of {code.shape[1]} does not fit an embedding of {channels} channels.")
    embedding = torch.zeros(len(code), channels, 1, 1, dtype=code.dtype, device=code.device)
    embedding[:, : code.shape[1], 0, 0] = code
    return embedding


def canvas(whole: Tensor, drawn: Tensor, cutout: Cutout) -> Tensor:
    """Whole crops (n, 3, size, size) with the drawn part put in."""
    rows, columns = cutout.drawn.rows, cutout.drawn.columns
    painted = whole.clone()
    painted[:, :, rows.start : rows.stop, columns.start : columns.stop] = drawn
    return painted
