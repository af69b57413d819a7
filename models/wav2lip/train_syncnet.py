"""Train the lip-sync expert: do five pictures and a mel window belong together?

    visavis train syncnet --corpus DIR --avatar DIR --out DIR --steps N

Half of each batch is in sync, half hears another moment of the same clip, at least five frames away. Needs a
corpus whose clips have sound. Resumes from the last checkpoint.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from models.avatar import load_avatar
from models.wav2lip.checkpoint import load_state, save_state
from models.wav2lip.corpus import SYNC_FRAMES, Corpus
from models.wav2lip.losses import cosine_bce, lower_halves
from models.wav2lip.syncnet import SyncNet

STATE = "expert.pt"
FACE_SIZE = 96


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    steps: int
    batch: int = 32
    width: float = 0.25
    rate: float = 1e-3
    seed: int = 1
    checkpoint_every: int = 250


class ExpertTrainer:
    """A training run of the expert."""

    def __init__(self, corpus: Corpus, recipe: Recipe) -> None:
        torch.manual_seed(recipe.seed)
        self.corpus, self.recipe, self.step = corpus, recipe, 0
        self.runs = corpus.runs()
        if not len(self.runs):
            raise ValueError("The expert needs a corpus whose clips have sound and follow frame by frame.")
        self.expert = SyncNet(recipe.width)
        self.optimiser = torch.optim.AdamW(self.expert.parameters(), lr=recipe.rate)

    def advance(self) -> float:
        """One step; returns the loss."""
        mels, clips, labels = self.batch(np.random.default_rng((self.recipe.seed, self.step)))
        self.expert.train()
        audio, face = self.expert(mels, lower_halves(clips))
        loss = cosine_bce(audio, face, labels)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """Mels (n, 1, 80, 16), clips (n, 3, 5, 96, 96), labels (n, 1)."""
        starts = rng.choice(self.runs, self.recipe.batch)
        labels = (np.arange(len(starts)) % 2 == 0).astype(np.float32)
        mels, clips = [], []
        for start, label in zip(starts, labels, strict=True):
            shift = 0 if label else int(rng.integers(SYNC_FRAMES, 20)) * int(rng.choice((-1, 1)))
            mels.append(self.corpus.mel(int(start), shift=shift))
            clips.append(self.corpus.targets[start : start + SYNC_FRAMES])
        pictures = torch.from_numpy(np.stack(clips)).permute(0, 1, 4, 2, 3).flatten(0, 1).float() / 255
        small = functional.interpolate(pictures, size=FACE_SIZE, mode="area")
        faces = small.view(len(starts), SYNC_FRAMES, 3, FACE_SIZE, FACE_SIZE).transpose(1, 2)
        return torch.from_numpy(np.stack(mels))[:, None], faces, torch.from_numpy(labels)[:, None]

    def state(self) -> dict[str, Any]:
        """All that a resume needs."""
        return {
            "step": self.step,
            "width": self.recipe.width,
            "expert": self.expert.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken."""
        self.step = int(state["step"])
        self.expert.load_state_dict(state["expert"])
        self.optimiser.load_state_dict(state["optimiser"])


def run(corpus: Corpus, recipe: Recipe, out: Path) -> ExpertTrainer:
    """Train to ``recipe.steps``, from the last checkpoint in ``out`` if there is one."""
    out.mkdir(parents=True, exist_ok=True)
    trainer = ExpertTrainer(corpus, recipe)
    if (out / STATE).is_file():
        trainer.restore(load_state(out / STATE))
    with SummaryWriter(str(out / "log"), purge_step=trainer.step) as writer:
        while trainer.step < recipe.steps:
            loss = trainer.advance()
            writer.add_scalar("loss/expert", loss, trainer.step)
            if trainer.step % recipe.checkpoint_every == 0 or trainer.step == recipe.steps:
                save_state(out / STATE, trainer.state())
                print(f"step {trainer.step} expert {loss:.4f}", flush=True)
    return trainer


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="visavis train syncnet", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--avatar", type=Path, required=True, help="the avatar's folder")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    recipe = Recipe(steps=arguments.steps, batch=arguments.batch, width=arguments.width)
    run(Corpus([(arguments.corpus, load_avatar(arguments.avatar))]), recipe, arguments.out)
