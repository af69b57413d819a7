"""The cast's samples: many heads, each in a few lights, poses and sizes, with a few mouths in each pose.

A shard holds, beside what every shard does, the faces that are drawn on, as an avatar's video would bring them:
``idle`` (m, 288, 288, 3) uint8, at rest; ``frame`` (n,) counts in them. ``member`` (m,) is the head's number,
``rotation`` (m, 3) its pitch, yaw and roll in radians, ``scale`` (m,) its size.
"""

import numpy as np
from numpy.typing import NDArray

from models.studio.cast import CAST_SIZE, HELD_OUT_FROM, member
from models.studio.mouths import choose_mouths
from models.studio.scene import Scene, Shot, coded
from models.studio.shards import SHARD_SAMPLES, CorpusPlan, packed_flow, shard_path, write_arrays
from models.studio.stage import BOX_PX

SHOT_MOUTHS = 4
"""Mouths in one pose: besides the pair with rest, a network needs faces that say something else."""
SCENE_SHOTS = 16
"""Poses in one light; the light's shadows take seconds to work out."""
SHARD_SCENES = SHARD_SAMPLES // (SHOT_MOUTHS * SCENE_SHOTS)
_CODEC_QUALITY = (60, 96)


def scene_members(plan: CorpusPlan, shard: int) -> list[int]:
    """Whose turn it is in each scene of a shard: all come equally often, in a new order each round."""
    first, last = (HELD_OUT_FROM, CAST_SIZE) if plan.held_out else (0, HELD_OUT_FROM)
    turns = []
    for scene in range(shard * SHARD_SCENES, (shard + 1) * SHARD_SCENES):
        rounds, turn = divmod(scene, last - first)
        order = np.random.default_rng([plan.seed, rounds]).permutation(np.arange(first, last))
        turns.append(int(order[turn]))
    return turns


def draw_cast_shard(curves: NDArray[np.float32], plan: CorpusPlan, shard: int) -> None:
    """Draw and write one shard."""
    count = plan.samples(shard)
    rng = np.random.default_rng([plan.seed, shard])
    rows, weights = choose_mouths(rng, curves, count, plan.made_up)
    frame = np.arange(count) // SHOT_MOUTHS
    target = np.empty((count, BOX_PX, BOX_PX, 3), np.uint8)
    idle = np.empty((int(frame[-1]) + 1, BOX_PX, BOX_PX, 3), np.uint8)
    to_rest, from_rest = (np.empty((count, BOX_PX, BOX_PX, 2), np.int8) for _ in range(2))
    shots: list[Shot] = []
    turns = scene_members(plan, shard)
    for number in range(len(idle)):
        if number % SCENE_SHOTS == 0:
            scene = Scene(member(turns[number // SCENE_SHOTS]), rng)
        shot = scene.shot(rng)
        shots.append(shot)
        idle[number] = coded(scene.draw(shot), int(rng.integers(*_CODEC_QUALITY)))
        for sample in np.flatnonzero(frame == number):
            target[sample] = scene.draw(shot, weights[sample])
            to_rest[sample], from_rest[sample] = map(packed_flow, scene.flows(shot, weights[sample]))
    write_arrays(
        shard_path(plan, shard), target=target, to_rest=to_rest, from_rest=from_rest, idle=idle,
        frame=frame.astype(np.int16), row=rows.astype(np.int32), weights=weights.astype(np.float32),
        member=np.repeat(turns, SCENE_SHOTS)[: len(idle)].astype(np.int16),
        rotation=np.array([shot.rotation for shot in shots], np.float32),
        scale=np.array([shot.scale for shot in shots], np.float32),
    )  # fmt: skip
