"""Draw the training corpus: pairs of an idle face box and the same box talking.

    visavis train corpus --avatar ada --curves curves.npz --out DIR --count 20000 --seed 1
    visavis train corpus --cast --curves curves.npz --out DIR --count 40000 --seed 1 [--held-out]

Writes shards ``shard-00000.npz`` of ``target`` (n, 288, 288, 3) uint8, ``frame`` (n,) which idle frame, ``row``
(n,) row of the curves or -1 for a made-up mouth, ``weights`` (n, 52) as drawn, and the optical flow between the
target and its idle frame, ``to_rest`` and ``from_rest`` (n, 288, 288, 2) int8, see ``packed_flow``. Of an avatar,
``idle.npz`` holds ``crops`` (250, 288, 288, 3) uint8 and ``boxes`` beside them. Of the cast (see
``models.studio.cast``) every shard holds its own idle frames, and ``mask.png`` is the avatars' blend mask: such a
corpus is trained on without an avatar. A shard depends on the seed and its number alone; those already there are
kept, so a run that was killed goes on where it stopped.
"""

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.errors import MediaError
from models.studio.cast_corpus import draw_cast_shard
from models.studio.identity import IDENTITIES
from models.studio.idle import LOOP_FRAMES
from models.studio.mouths import choose_mouths, load_curves
from models.studio.shards import CAST, CorpusPlan, packed_flow, shard_path, write_arrays
from models.studio.stage import BOX_PX, Stage

_INPUTS = -1
"""In the place of a shard's number: what the shards are drawn over."""


def draw_shard(stage: Stage, curves: NDArray[np.float32], plan: CorpusPlan, shard: int) -> None:
    """Draw and write one shard of an avatar."""
    count = plan.samples(shard)
    rng = np.random.default_rng([plan.seed, shard])
    frames = rng.integers(0, LOOP_FRAMES, count)
    rows, weights = choose_mouths(rng, curves, count, plan.made_up)
    target = np.empty((count, BOX_PX, BOX_PX, 3), np.uint8)
    to_rest, from_rest = (np.empty((count, BOX_PX, BOX_PX, 2), np.int8) for _ in range(2))
    for sample, (frame, mouth) in enumerate(zip(frames.tolist(), weights, strict=True)):
        target[sample] = stage.render_mouth(frame, mouth)
        to_rest[sample], from_rest[sample] = map(packed_flow, stage.flows(frame, mouth))
    write_arrays(
        shard_path(plan, shard), target=target, to_rest=to_rest, from_rest=from_rest, frame=frames.astype(np.int16),
        row=rows.astype(np.int32), weights=weights.astype(np.float32),
    )  # fmt: skip


class _Artist:
    """Draws a plan's parts in one process."""

    def __init__(self, plan: CorpusPlan, stage: Stage | None = None) -> None:
        cv2.setNumThreads(1)
        self.plan, self.curves = plan, load_curves(plan.curves)
        self.stage = None if plan.avatar == CAST else stage or Stage(IDENTITIES[plan.avatar])

    def draw(self, shard: int) -> int:
        """Draw a shard or ``_INPUTS``; returns how many samples it has."""
        if shard == _INPUTS:
            self._write_inputs()
            return 0
        if self.stage is None:
            draw_cast_shard(self.curves, self.plan, shard)
        else:
            draw_shard(self.stage, self.curves, self.plan, shard)
        return self.plan.samples(shard)

    def _write_inputs(self) -> None:
        out = self.plan.out
        if self.stage is None:
            aside = out / ".mask.part.png"
            cv2.imwrite(str(aside), Stage.blend_mask())
            aside.replace(out / "mask.png")
        else:
            crops = np.stack([self.stage.idle_crop(frame) for frame in range(LOOP_FRAMES)])
            write_arrays(out / "idle.npz", crops=crops, boxes=self.stage.boxes)


_artist: _Artist | None = None
"""Of a worker process."""


def _start_worker(plan: CorpusPlan) -> None:
    global _artist
    _artist = _Artist(plan)


def _draw_in_worker(shard: int) -> int:
    assert _artist is not None
    return _artist.draw(shard)


def draw_corpus(plan: CorpusPlan, workers: int = 1, stage: Stage | None = None) -> None:
    """Draw what is missing of a plan, in this process or in several.

    Raises:
        MediaError: the curves are unfit, or a worker was killed.
    """
    plan.out.mkdir(parents=True, exist_ok=True)
    load_curves(plan.curves)  # unfit ones are told here, not by every worker
    inputs = plan.out / ("mask.png" if plan.avatar == CAST else "idle.npz")
    missing = [shard for shard in range(plan.shards) if not shard_path(plan, shard).exists()]
    done = plan.count - sum(plan.samples(shard) for shard in missing)
    jobs = ([] if inputs.exists() else [_INPUTS]) + missing
    with tqdm(total=plan.count, initial=done, unit="sample") as progress:
        if not jobs:
            return
        if workers == 1:
            artist = _Artist(plan, stage)
            for job in jobs:
                progress.update(artist.draw(job))
            return
        pool = ProcessPoolExecutor(workers, get_context("spawn"), _start_worker, (plan,))
        try:
            for future in as_completed([pool.submit(_draw_in_worker, job) for job in jobs]):
                progress.update(future.result())
        except BrokenProcessPool as error:
            raise MediaError("A worker stopped early; run the same command again to go on.") from error
        finally:
            pool.shutdown(cancel_futures=True)


def main(argv: Sequence[str] | None = None) -> None:
    """Command line."""
    parser = argparse.ArgumentParser(
        prog="visavis train corpus", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    whose = parser.add_mutually_exclusive_group(required=True)
    whose.add_argument("--avatar", choices=sorted(IDENTITIES), help="one head, over its idle loop")
    whose.add_argument("--cast", action="store_true", help="many heads, lights, poses and sizes")
    parser.add_argument("--curves", type=Path, required=True, help="npz with (n, 52) 'curves'")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, required=True, help="samples")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--made-up", type=float, default=0.25, help="share of random mouths")
    parser.add_argument("--held-out", action="store_true", help="with --cast: the heads that no training sees")
    parser.add_argument("--workers", type=int, default=1, help="processes, one thread each")
    options = parser.parse_args(argv)
    if options.held_out and not options.cast:
        parser.error("--held-out is for --cast")
    plan = CorpusPlan(
        CAST if options.cast else options.avatar, options.curves, options.out, options.count, options.seed,
        options.made_up, options.held_out,
    )  # fmt: skip
    draw_corpus(plan, options.workers)
