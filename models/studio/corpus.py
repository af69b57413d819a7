"""Draw the training corpus: pairs of an idle face box and the same box talking.

    visavis train corpus --avatar ada --curves curves.npz --out DIR --count 20000 --seed 1

Writes ``idle.npz`` (``crops`` (250, 288, 288, 3) uint8 and ``boxes``) and shards ``shard-00000.npz`` of
``target`` (n, 288, 288, 3) uint8, ``frame`` (n,) idle frame, ``row`` (n,) row of the curves or -1 for
a made-up mouth, ``weights`` (n, 52) as drawn. A shard depends on the seed and its number alone; those
already there are kept, so a run that was killed goes on where it stopped.
"""

import argparse
import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio.arkit import ARKIT_NAMES, INDEX
from models.studio.identity import IDENTITIES
from models.studio.idle import LOOP_FRAMES
from models.studio.stage import BOX_PX, Stage

SHARD_SAMPLES = 256
_FREE_SHAPES = (
    ("mouthFunnel", "mouthPucker", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper")
    + ("mouthClose",)
    + tuple(f"mouth{stem}" for stem in ("Smile", "Stretch", "LowerDown", "UpperUp", "Press", "Dimple", "Frown"))
)


@dataclass(frozen=True)
class CorpusPlan:
    """What to draw."""

    avatar: str
    curves: Path
    """npz with ``curves`` (n, 52) float; ``names`` (52,) if its order is not ``ARKIT_NAMES``."""
    out: Path
    count: int
    seed: int
    made_up: float = 0.25
    """Share of samples whose mouth is a random combination of weights."""

    @property
    def shards(self) -> int:
        """How many shard files the plan makes."""
        return -(-self.count // SHARD_SAMPLES)


def load_curves(path: Path) -> NDArray[np.float32]:
    """(n, 52) weights in the order of ``ARKIT_NAMES``.

    Raises:
        MediaError: when the file holds no such array.
    """
    try:
        with np.load(path) as data:
            curves = data["curves"].astype(np.float32)
            names = [str(name) for name in data["names"]] if "names" in data else list(ARKIT_NAMES)
    except (OSError, KeyError, ValueError) as error:
        raise MediaError(f"{path.name} has no 'curves' array; write it with np.savez(curves=...).") from error
    if curves.ndim != 2 or curves.shape[1] != len(names) or sorted(names) != list(ARKIT_NAMES):
        raise MediaError(f"{path.name}: 'curves' must be (n, 52) with ARKit's 52 names.")
    return np.ascontiguousarray(curves[:, [names.index(name) for name in ARKIT_NAMES]])


def made_up_mouth(rng: np.random.Generator) -> NDArray[np.float32]:
    """A random combination of a few mouth shapes, (52,), mostly symmetric, of speaking strength."""
    vector = np.zeros(len(ARKIT_NAMES), np.float32)
    vector[INDEX["jawOpen"]] = rng.beta(1.1, 2.4) * 0.9
    for stem in rng.choice(_FREE_SHAPES, rng.integers(1, 5), replace=False):
        strength = float(rng.beta(1.2, 2.2)) * 0.9
        if stem in INDEX:
            limit = float(vector[INDEX["jawOpen"]]) if stem == "mouthClose" else 1.0
            vector[INDEX[stem]] = min(strength, limit)
        else:
            tilt = float(rng.normal()) * 0.08
            vector[INDEX[stem + "Left"]] = strength * (1 + tilt)
            vector[INDEX[stem + "Right"]] = strength * (1 - tilt)
    return vector


def _write(path: Path, **arrays: NDArray[np.generic]) -> None:
    aside = path.with_name(f".{path.stem}.part.npz")
    np.savez(aside, **arrays)  # type: ignore[arg-type]
    aside.replace(path)


def draw_shard(stage: Stage, curves: NDArray[np.float32], plan: CorpusPlan, shard: int) -> None:
    """Draw and write one shard."""
    count = min(SHARD_SAMPLES, plan.count - shard * SHARD_SAMPLES)
    rng = np.random.default_rng([plan.seed, shard])
    frames = rng.integers(0, LOOP_FRAMES, count)
    rows = np.where(rng.random(count) < plan.made_up, -1, rng.integers(0, len(curves), count))
    weights = np.stack([curves[row] if row >= 0 else made_up_mouth(rng) for row in rows])
    target = np.empty((count, BOX_PX, BOX_PX, 3), np.uint8)
    for index in range(count):
        target[index] = stage.render_mouth(int(frames[index]), weights[index])
    _write(
        shard_path(plan, shard), target=target, frame=frames.astype(np.int16), row=rows.astype(np.int32),
        weights=weights.astype(np.float32),
    )  # fmt: skip


def shard_path(plan: CorpusPlan, shard: int) -> Path:
    """Where shard number ``shard`` goes."""
    return plan.out / f"shard-{shard:05d}.npz"


def draw_corpus(plan: CorpusPlan, part: int = 0, parts: int = 1, stage: Stage | None = None) -> None:
    """Draw every missing shard whose number is ``part`` modulo ``parts``; part 0 also writes the inputs."""
    plan.out.mkdir(parents=True, exist_ok=True)
    curves = load_curves(plan.curves)
    cv2.setNumThreads(1)
    stage = stage or Stage(IDENTITIES[plan.avatar])
    inputs = plan.out / "idle.npz"
    if part == 0 and not inputs.exists():
        crops = np.stack([stage.idle_crop(frame) for frame in range(LOOP_FRAMES)])
        _write(inputs, crops=crops, boxes=stage.boxes)
    for shard in range(part, plan.shards, parts):
        if not shard_path(plan, shard).exists():
            draw_shard(stage, curves, plan, shard)
            print(f"shard {shard + 1} of {plan.shards}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="visavis train corpus", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--avatar", choices=sorted(IDENTITIES), required=True)
    parser.add_argument("--curves", type=Path, required=True, help="npz with (n, 52) 'curves'")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True, help="samples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--made-up", type=float, default=0.25, help="share of random mouths")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    options = parser.parse_args(argv)
    plan = CorpusPlan(options.avatar, options.curves, options.out, options.count, options.seed, options.made_up)
    if options.workers == 1:
        draw_corpus(plan)
        return
    context = multiprocessing.get_context("spawn")
    workers = [
        context.Process(target=draw_corpus, args=(plan, part, options.workers)) for part in range(options.workers)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    if any(worker.exitcode for worker in workers):
        raise SystemExit("a worker stopped early; run the same command again to go on")
