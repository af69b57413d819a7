"""How the faces of a corpus move between rest and speech: what the studio knows, and a talking clip does not tell."""

from collections.abc import Sequence
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from models.studio.shards import FLOW_STEP_PX, NO_FLOW

FIELDS = ("to_rest", "from_rest")
"""Of a shard: (n, h, w, 2) int8, see ``models.studio.shards.packed_flow``."""
Packed = NDArray[np.int8]
Flow = NDArray[np.float32]
"""(h, w, 2) or (n, h, w, 2): backward optical flow, right and down in pixels; NaN where it is not known, and where what
is seen is hidden in the other picture: a neck behind an open mouth's chin."""
_ASTRAY_PX = 1.0
"""From there and back again ends no farther off, unless something else hides the place."""


class Flows:
    """The flow of some samples, each between its target and its face at rest; of some nothing is known."""

    def __init__(self, samples: int, size: int, to_rest: Packed | None = None, from_rest: Packed | None = None) -> None:
        self.size = size
        known = to_rest is not None and from_rest is not None
        self._row = np.arange(samples) if known else np.full(samples, -1)
        """Of each sample, in the arrays; -1 where it has none."""
        nothing = np.empty((0, size, size, 2), np.int8)
        self._to_rest, self._from_rest = (
            nothing if part is None or not known else part for part in (to_rest, from_rest)
        )

    @classmethod
    def joined(cls, parts: Sequence["Flows"]) -> Self:
        """All samples of ``parts``, in their order."""
        whole, rows, held = cls(0, parts[0].size), [], 0
        for part in parts:
            rows.append(np.where(part._row < 0, -1, part._row + held))
            held += len(part._to_rest)
        whole._row = np.concatenate(rows)
        whole._to_rest = np.concatenate([part._to_rest for part in parts])
        whole._from_rest = np.concatenate([part._from_rest for part in parts])
        return whole

    def to_rest(self, indices: Sequence[int] | NDArray[np.int64]) -> Flow:
        """Where in the face at rest these samples' pixels are, (n, h, w, 2)."""
        there, back = self._read(self._to_rest, indices), self._read(self._from_rest, indices)
        return np.stack([_seen(*pair) for pair in zip(there, back, strict=True)])

    def from_rest(self, index: int) -> Flow:
        """Where in a sample's picture the pixels of its face at rest are."""
        there, back = self._read(self._from_rest, [index]), self._read(self._to_rest, [index])
        return _seen(there[0], back[0])

    def between(self, index: int, other: int) -> Flow:
        """Where the pixels of a sample are in another's picture, of one face at rest: by way of that."""
        return _through(self.to_rest([index])[0], self.from_rest(other))

    def _read(self, packed: Packed, indices: Sequence[int] | NDArray[np.int64]) -> Flow:
        rows = self._row[np.asarray(indices)]
        flow = np.full((len(rows), self.size, self.size, 2), np.nan, np.float32)
        known = rows >= 0
        steps = packed[rows[known]]
        flow[known] = np.where(steps == NO_FLOW, np.nan, steps * np.float32(FLOW_STEP_PX))
        return flow


def _through(first: Flow, second: Flow) -> Flow:
    """Where the pixels are that ``first`` leads to and ``second`` from there. Not known there: NaN travels."""
    rows, columns = np.mgrid[: len(first), : first.shape[1]].astype(np.float32)
    x, y = (np.nan_to_num(at) for at in (columns + first[..., 0], rows + first[..., 1]))
    return np.asarray(first + cv2.remap(second, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def _seen(there: Flow, back: Flow) -> Flow:
    """``there``, NaN where ``back`` does not lead home: the other picture shows something else at that place."""
    astray = np.linalg.norm(_through(there, back), axis=-1, keepdims=True)
    return np.where(astray <= _ASTRAY_PX, there, np.float32(np.nan))
