"""Which part of each decoder level is needed to draw a given part of the picture, exactly.

A convolution at the edge of a cut-out tensor sees zeros where the whole tensor has values, and spoils one
row; a transposed convolution of stride 2 spoils its last row only. Cutting out a margin for each such layer
makes the wanted part equal to what the whole picture would show. Levels are counted in their own pixels; at size
288 a pixel of the outermost level is 3x3 of the picture.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.wav2lip.network import CORE_SIZE, FLOW_LEVEL, MARGIN_PX, laid_over, scaled_flow

RESIDUAL_MARGIN = 2
"""Two 3x3 convolutions follow each transposed one."""
OUTPUT_MARGIN = 1
"""One 3x3 convolution in the output block."""
Slices = tuple[slice, slice, slice, slice]


@dataclass(frozen=True)
class Span:
    """[start, stop) along one side."""

    start: int
    stop: int

    def grown(self, margin: int, size: int) -> "Span":
        """With ``margin`` at both ends, inside [0, size)."""
        return Span(max(0, self.start - margin), min(size, self.stop + margin))

    def within(self, outer: "Span") -> slice:
        """As a slice of a tensor that holds ``outer``."""
        return slice(self.start - outer.start, self.stop - outer.start)


@dataclass(frozen=True)
class Rect:
    """Rows and columns of one level."""

    rows: Span
    columns: Span

    def within(self, outer: "Rect") -> Slices:
        """As an index into an (n, c, h, w) tensor that holds ``outer``."""
        return slice(None), slice(None), self.rows.within(outer.rows), self.columns.within(outer.columns)

    def times(self, factor: int) -> "Rect":
        """The same part of a picture of ``factor`` times the side."""
        return Rect(*(Span(factor * span.start, factor * span.stop) for span in (self.rows, self.columns)))


LEVELS = (1, 3, 6, 12, 24, 48, CORE_SIZE)
"""Sides of the decoder's levels, innermost first."""


def whole(size: int) -> Rect:
    """All of a level."""
    return Rect(Span(0, size), Span(0, size))


def pasted_rect(mask: NDArray[np.uint8], size: int) -> Rect:
    """The part of a ``size`` wide crop that shows through a blend mask (h, w), bilinear scaling included."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return whole(size)
    spans = []
    for indices, side in ((rows, mask.shape[0]), (columns, mask.shape[1])):
        start, stop = int(indices[0]) * size // side, -(-(int(indices[-1]) + 1) * size // side)
        spans.append(Span(start, stop).grown(1, size))
    return Rect(*spans)


def needed_rects(drawn: Rect, size: int) -> list[Rect]:
    """The exact part needed of every level's features, innermost first, to draw ``drawn``.

    The last is ``drawn`` with the output block's margin.
    """
    fold = size // CORE_SIZE
    axes = []
    for span in (drawn.rows, drawn.columns):
        core = Span(span.start // fold, -(-span.stop // fold))
        spans = [core.grown(OUTPUT_MARGIN, CORE_SIZE)]
        for inner, outer in pairwise(LEVELS[::-1]):
            spans.append(_below(spans[-1], inner, outer))
        if fold > 1:  # flow is made from all of its level
            spans[-1 - FLOW_LEVEL :] = [Span(0, side) for side in LEVELS[FLOW_LEVEL::-1]]
        axes.append(spans[::-1])
    return [Rect(rows, columns) for rows, columns in zip(*axes, strict=True)]


def _below(span: Span, size: int, size_below: int) -> Span:
    """What the level below must provide for ``span`` of this one."""
    if size != 2 * size_below:
        return Span(0, size_below)
    exact = span.grown(RESIDUAL_MARGIN, size)
    stop = size_below if exact.stop == size else -(-(exact.stop + 1) // 2)
    return Span(exact.start // 2, min(size_below, stop))


def upsampled(rect: Rect, size: int, size_above: int) -> Rect:
    """What a decoder block makes of ``rect`` of the level below."""
    if size_above != 2 * size:
        return whole(size_above)
    return rect.times(2)


@dataclass(frozen=True)
class Cutout:
    """A part of the picture, and what it takes to draw it."""

    size: int
    drawn: Rect
    needed: tuple[Rect, ...]
    """Part of each level's features, innermost first."""

    @classmethod
    def of_mask(cls, mask: NDArray[np.uint8], size: int) -> "Cutout":
        """The part of a ``size`` wide crop that shows through a blend mask (h, w)."""
        drawn = pasted_rect(mask, size)
        return cls(size, drawn, tuple(needed_rects(drawn, size)))

    def cut(self, feature: Tensor, level: int) -> Tensor:
        """The needed part of a whole feature of ``level``."""
        return feature[self.needed[level].within(whole(LEVELS[level]))]

    def drawn_part(self, pictures: Tensor) -> Tensor:
        """What of whole pictures (n, c, size, size) is drawn: (n, c, h, w)."""
        return pictures[self.drawn.within(whole(self.size))]

    @property
    def reference(self) -> Rect:
        """The part of the face that ``network.laid_over`` draws upon."""
        margin = MARGIN_PX if self.size > CORE_SIZE else 0
        return Rect(*(span.grown(margin, self.size) for span in (self.drawn.rows, self.drawn.columns)))

    def reference_part(self, pictures: Tensor) -> Tensor:
        """What of whole ``prefiltered`` pictures (n, c, size, size) is drawn upon: (n, c, H, W)."""
        return pictures[self.reference.within(whole(self.size))]

    def laid_over(self, drawn: Tensor, reference: Tensor) -> Tensor:
        """The part drawn, (n, c, h, w) as ``decode`` makes it, upon ``reference_part``: (n, 3, h, w)."""
        rows, columns = self.drawn.rows, self.drawn.columns
        row, column = rows.start - self.reference.rows.start, columns.start - self.reference.columns.start
        return laid_over(drawn, reference, row, column)

    def decode(
        self,
        blocks: Iterable[nn.Module],
        output: nn.Module,
        flow_block: nn.Module | None,
        embedding: Tensor,
        features: Iterable[Tensor],
    ) -> Tensor:
        """What ``Generator.decode`` draws, but only this part of it.

        Args:
            blocks: the decoder's blocks.
            output: the output block.
            flow_block: likewise, where the network has one.
            embedding: (n, c, 1, 1).
            features: cut face features, innermost first, one a block.

        Returns:
            (n, c, h, w), the size of ``drawn``, for ``laid_over``.
        """
        x, held, flow = embedding, whole(1), None
        for level, (block, feature) in enumerate(zip(blocks, features, strict=True)):
            if level:
                held = upsampled(self.needed[level - 1], LEVELS[level - 1], LEVELS[level])
            x = torch.cat((block(x)[self.needed[level].within(held)], feature), dim=1)
            if level == FLOW_LEVEL and flow_block is not None:
                flow = flow_block(x)
        drawn: Tensor = output(x)[self.drawn.within(self.needed[-1].times(self.size // CORE_SIZE))]
        if flow is None:
            return drawn
        return torch.cat((drawn.float(), self.drawn_part(scaled_flow(flow, self.size))), dim=1)
