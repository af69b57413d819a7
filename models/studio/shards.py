"""A corpus on disk: what is to be drawn, and its shards."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.studio.mesh import Floats

SHARD_SAMPLES = 256
CAST = "cast"
"""In the place of an avatar's name: everybody."""
FLOW_STEP_PX = 0.25
NO_FLOW = -128


@dataclass(frozen=True)
class CorpusPlan:
    """What to draw."""

    avatar: str
    """One of ``IDENTITIES``, or ``CAST``."""
    curves: Path
    """npz with ``curves`` (n, 52) float; ``names`` (52,) if its order is not ``ARKIT_NAMES``."""
    out: Path
    count: int
    seed: int
    made_up: float = 0.25
    """Share of samples whose mouth is a random combination of weights."""
    held_out: bool = False
    """Draw those of the cast that no training sees."""

    @property
    def shards(self) -> int:
        """How many shard files the plan makes."""
        return -(-self.count // SHARD_SAMPLES)

    def samples(self, shard: int) -> int:
        """How many samples shard number ``shard`` has."""
        return min(SHARD_SAMPLES, self.count - shard * SHARD_SAMPLES)


def shard_path(plan: CorpusPlan, shard: int) -> Path:
    """Where shard number ``shard`` goes."""
    return plan.out / f"shard-{shard:05d}.npz"


def packed_flow(flow: Floats) -> NDArray[np.int8]:
    """Flow in pixels as a shard keeps it: in steps of ``FLOW_STEP_PX``, ``NO_FLOW`` where it is NaN or too far."""
    steps = np.round(flow / FLOW_STEP_PX)
    far = ~(np.abs(steps) < -NO_FLOW).all(axis=-1, keepdims=True)
    return np.asarray(np.where(far, NO_FLOW, steps), np.int8)


def write_arrays(path: Path, **arrays: NDArray[np.generic]) -> None:
    """Write an npz aside and put it in its place whole."""
    aside = path.with_name(f".{path.stem}.part.npz")
    np.savez(aside, **arrays)  # type: ignore[arg-type]
    aside.replace(path)
