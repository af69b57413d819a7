"""A small corpus: an oval mouth whose height follows the jaw, and sound whose loudness does."""

from pathlib import Path

import cv2
import numpy as np

from models.studio.arkit import ARKIT_NAMES
from models.studio.shards import packed_flow
from models.wav2lip.corpus import Corpus
from models.wav2lip.pixels import scaled_crop
from tests.unit.wav2lip.avatars import soft_avatar

SINK_PX = 12
JAW = ARKIT_NAMES.index("jawOpen")


def write_corpus(
    folder: Path,
    samples: int = 48,
    shards: int = 2,
    clips: bool = False,
    own_faces: bool = False,
    flows: bool = False,
) -> None:
    """Shards as the studio writes them; with ``own_faces``, as of the cast.

    ``flows``: the whole face sinks by ``SINK_PX`` as the jaw opens.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(5)
    avatar = soft_avatar(frames=4)
    idle = [scaled_crop(avatar.crop_rgb(i), 288) for i in range(len(avatar))]
    for shard in range(shards):
        time = np.arange(samples) + samples * shard
        jaw = 0.5 + 0.5 * np.sin(time * 0.7) if clips else rng.random(samples)
        weights = np.zeros((samples, 52), np.float32)
        weights[:, JAW] = jaw
        frame = rng.integers(0, len(avatar), samples)
        target = np.stack([_talking(idle[f], w) for f, w in zip(frame, jaw, strict=True)])
        fields = {"target": target, "frame": frame.astype(np.int16), "weights": weights}
        if flows:
            down = np.zeros((samples, 288, 288, 2), np.float32)
            down[..., 1] = SINK_PX * jaw[:, None, None]
            fields |= {"to_rest": packed_flow(-down), "from_rest": packed_flow(down)}
        if own_faces:
            fields |= {"idle": np.stack(idle) // (1 + shard)}
            cv2.imwrite(str(folder / "mask.png"), avatar.mask)
        if clips:
            fields |= {"clip": np.full(samples, shard), "clip_frame": np.arange(samples)}
            columns = np.repeat(jaw, 4)[: samples * 16 // 5 + 16]  # louder as the jaw opens
            np.save(folder / f"clip-{shard:05d}.npy", np.tile(8 * columns - 4, (80, 1)).astype(np.float16))
        np.savez(folder / f"shard-{shard:05d}.npz", **fields)


def _talking(crop: np.ndarray, jaw: float) -> np.ndarray:
    picture = crop.copy()
    cv2.ellipse(picture, (144, 195), (45, 6 + round(30 * float(jaw))), 0, 0, 360, (60, 10, 20), -1)
    return picture


def small_corpus(folder: Path) -> Corpus:
    return Corpus([(folder, soft_avatar(frames=4))])
