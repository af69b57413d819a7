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
"""(h, w, 2) or (n, h, w, 2): backward optical flow, right and down in pixels; NaN where it is not known."""


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
        return self._read(self._to_rest, indices)

    def from_rest(self, index: int) -> Flow:
        """Where in a sample's picture the pixels of its face at rest are."""
        return np.asarray(self._read(self._from_rest, [index])[0])

    def between(self, index: int, other: int) -> Flow:
        """Where the pixels of a sample are in another's picture, of one face at rest: by way of that."""
        to_rest, from_rest = self.to_rest([index])[0], self.from_rest(other)
        rows, columns = np.mgrid[: self.size, : self.size].astype(np.float32)
        x, y = columns + to_rest[..., 0], rows + to_rest[..., 1]
        # Not known there is not known here: NaN travels.
        onward = cv2.remap(
            from_rest, np.nan_to_num(x), np.nan_to_num(y), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(to_rest + onward, np.float32)

    def _read(self, packed: Packed, indices: Sequence[int] | NDArray[np.int64]) -> Flow:
        rows = self._row[np.asarray(indices)]
        flow = np.full((len(rows), self.size, self.size, 2), np.nan, np.float32)
        known = rows >= 0
        steps = packed[rows[known]]
        flow[known] = np.where(steps == NO_FLOW, np.nan, steps * np.float32(FLOW_STEP_PX))
        return flow
