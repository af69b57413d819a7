"""Train the face half of our generator: what each mouth code looks like on each idle frame.

    visavis train wav2lip --corpus DIR --avatar DIR --out DIR --steps N [--ear ear.safetensors]
    visavis train wav2lip --corpus CAST-DIR --out DIR --steps N
    visavis train wav2lip --video clip.mp4 --avatar DIR --out DIR --steps N

A corpus of the cast needs no avatar; several corpora, of the cast and of avatars, are learned from together.
A talking clip gives a person's avatar weights of its own: what the ear hears in it stands for the true codes
(``models.wav2lip.video_corpus``), and training begins with the shipped weights.
The true code stands in the audio embedding's place, so the way to the picture is a function and the picture
comes out sharp; the ear, which makes the code out of sound, is trained apart. With ``--ear`` the two are
merged into one generator file at every checkpoint. Runs may be killed at any time and resume from the last
checkpoint in ``--out``; losses go to TensorBoard there, and sample sheets (idle, target, drawn).
"""

import argparse
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional
from torch.utils.tensorboard import SummaryWriter

from models.avatar import Avatar, load_avatar
from models.motion.ear import load_ear, read_ear
from models.runtime.precision import preferred_dtype
from models.wav2lip import losses, objective
from models.wav2lip.checkpoint import load_state, save_state
from models.wav2lip.corpus import SYNC_FRAMES, Batch, Corpus, Inputs, has_own_faces
from models.wav2lip.discriminator import QualityDiscriminator
from models.wav2lip.from_code import Drawn, draw, face_features, planes
from models.wav2lip.merge import info_of, merged
from models.wav2lip.network import Generator
from models.wav2lip.region import Cutout
from models.wav2lip.sheets import write_sheet
from models.wav2lip.syncnet import SyncNet
from models.wav2lip.trace import Trace
from models.wav2lip.video_corpus import video_corpus
from models.wav2lip.weights import ASSET, load_generator, save_generator

STATE = "last.pt"
_TALKING, _HUSHED = 0.35, 0.25
_RATE, _OWN_RATE = 2e-3, 5e-4
"""Of learning: from nothing, and from weights that have seen faces before."""
PATCH = (48, 96)
"""What the critic looks at: a patch of the drawn part at full resolution."""


@dataclass(frozen=True)
class Recipe:
    """How to train."""

    steps: int
    batch: int = 16
    width: float = 0.25
    rate: float = _RATE
    warmup_steps: int = 200
    average_decay: float = 0.998
    """Of the running average of the weights, which is what is kept in the end."""
    held_out: int = 64
    """Last samples of the corpora, kept from training, for the sheets."""
    inputs: Inputs = field(default_factory=lambda: Inputs(_TALKING, _HUSHED))
    seed: int = 1
    bfloat16: bool = field(default_factory=lambda: preferred_dtype() is torch.bfloat16)
    """Only where the processor multiplies it: elsewhere it is slower than float32."""
    checkpoint_every: int = 250
    sheet_every: int = 500
    freeze_norms: bool = False
    """Keep batch normalisation's running statistics, so that what learns is what will be served. A batch's own moments
    differ from step to step: from nothing they help, in the end they move faces by a tenth of a pixel."""
    weights: objective.Weights = field(default_factory=objective.Weights)
    critic_width: float = 0.25

    def rate_at(self, step: int) -> float:
        """Linear warm-up, then a cosine to nothing."""
        rise = min(1.0, (step + 1) / self.warmup_steps)
        return self.rate * rise * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1, step / self.steps))))


class Trainer:
    """A training run: networks, optimisers, and the step they are at."""

    def __init__(self, corpus: Corpus, recipe: Recipe, expert: SyncNet | None = None) -> None:
        torch.manual_seed(recipe.seed)
        self.corpus, self.recipe, self.step = corpus, recipe, 0
        self.cutout = Cutout.of_mask(corpus.mask, corpus.size)
        self.paste = objective.paste_weights(corpus.mask, self.cutout)
        self.generator = Generator(recipe.width, corpus.size).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.average = {n: t.detach().clone() for n, t in self.generator.state_dict().items()}
        face = [p for n, p in self.generator.named_parameters() if not n.startswith("audio_encoder.")]
        self.optimiser = torch.optim.AdamW(face, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=1e-4)
        self.critic = QualityDiscriminator(recipe.critic_width) if recipe.weights.critic else None
        self.critic_optimiser = (
            torch.optim.AdamW(self.critic.parameters(), lr=recipe.rate / 4, betas=(0.5, 0.98)) if self.critic else None
        )
        self.trace = Trace(corpus.kinds)
        self.expert = expert.eval().requires_grad_(False) if expert else None
        self.held_out = corpus.held_out(min(recipe.held_out, len(corpus) - 1))
        self.learned = np.setdiff1d(np.arange(len(corpus)), self.held_out)
        self.runs = self._runs() if recipe.weights.sync else np.zeros(0, np.int64)
        if recipe.weights.sync and (self.expert is None or not len(self.runs)):
            raise ValueError("The sync term needs a lip-sync expert and a corpus whose clips have sound.")

    def start_from(self, tensors: Mapping[str, Tensor]) -> int:
        """Begin with the tensors of another generator that fit by name and shape; returns how many do."""
        own = self.generator.state_dict()
        fitting = {name: t.float() for name, t in tensors.items() if name in own and own[name].shape == t.shape}
        self.generator.load_state_dict(own | fitting)
        self.average = {n: t.detach().clone() for n, t in self.generator.state_dict().items()}
        return len(fitting)

    def advance(self) -> dict[str, float]:
        """One step; returns the losses."""
        rng = np.random.default_rng((self.recipe.seed, self.step))  # the same after a resume
        indices = self._chosen(rng)
        batch = self.corpus.batch(indices, self.recipe.inputs, rng)
        for group in self.optimiser.param_groups:
            group["lr"] = self.recipe.rate_at(self.step)
        self.generator.train(not self.recipe.freeze_norms)
        idle, target = (self.cutout.drawn_part(planes(pictures)) for pictures in (batch.idle, batch.target))
        parts = self.draw(batch)
        drawn = parts.picture
        weights = objective.pixel_weights(idle, target, self.paste, self.recipe.weights.moved)
        l1, edge = objective.l1_and_edge(drawn, target, weights)
        coarse, kept = objective.coarse(drawn, target, weights), objective.kept(drawn, target, idle)
        true = self.cutout.drawn_part(torch.from_numpy(batch.flow).permute(0, 3, 1, 2))
        terms = {"edge": edge, "coarse": coarse, "kept": kept}
        terms["flow"] = objective.misplaced(parts.flow, true, self.paste)
        worn, kind = torch.from_numpy(batch.worn), torch.from_numpy(batch.kind)
        terms["opacity"] = objective.opacity(parts.opacity, self.paste, true, worn)
        terms["grain"] = objective.grain(drawn, target, weights)
        terms["trace"] = self.trace.term(drawn, target, self.paste, worn, kind)
        factors = self.recipe.weights
        total = l1 + sum(getattr(factors, name) * term for name, term in terms.items())
        terms["l1"] = l1
        if self.expert is not None and self.recipe.weights.sync:
            terms["sync"] = self._sync(batch, drawn, indices)
            total = total + self.recipe.weights.sync * terms["sync"]
        if self.critic is not None:
            fake, real = self._patches(drawn, target, rng)
            terms["critic"] = self._train_critic(fake.detach(), real)
            terms["taken"] = losses.taken_for(self.critic.judge(fake), 1.0)
            total = total + self.recipe.weights.critic * terms["taken"]
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.optimiser.step()
        self._update_average()
        self.step += 1
        return {"total": float(total.detach())} | {n: float(t.detach()) for n, t in terms.items()}

    def draw(self, batch: Batch) -> Drawn:
        """The drawn part of each sample, from idle frame and code: in the precisions of the engine.

        Were faces encoded in bfloat16 too, lips would learn to make up for its rounding, and what is served would draw
        them up to a tenth of a millimetre off.
        """
        whole, code = planes(batch.idle), torch.from_numpy(batch.code)
        features = face_features(self.generator, self.cutout, whole)
        with torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bfloat16):
            return draw(self.generator, self.cutout, code, features, whole)

    @torch.no_grad()
    def sheet(self, path: Path, count: int = 8) -> None:
        """Idle, target and drawn by the averaged weights, of held-out samples."""
        chosen = np.linspace(0, len(self.held_out) - 1, min(count, len(self.held_out))).astype(np.int64)
        batch = self.corpus.batch(self.held_out[chosen])
        own = {n: t.clone() for n, t in self.generator.state_dict().items()}
        self.generator.load_state_dict(self.average)
        self.generator.eval()
        painted = objective.canvas(planes(batch.idle), self.draw(batch).picture, self.cutout)
        self.generator.load_state_dict(own)
        drawn = (painted * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        write_sheet(path, list(zip(batch.idle, batch.target, drawn, strict=True)))

    def state(self) -> dict[str, Any]:
        """All that a resume needs."""
        return {
            "step": self.step,
            "width": self.recipe.width,
            "size": self.corpus.size,
            "generator": self.generator.state_dict(),
            "average": self.average,
            "optimiser": self.optimiser.state_dict(),
            "trace": self.trace.averages,
            "critic": self.critic.state_dict() if self.critic else None,
            "critic_optimiser": self.critic_optimiser.state_dict() if self.critic_optimiser else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on where ``state`` was taken. A critic that the state lacks begins anew."""
        self.step = int(state["step"])
        self.generator.load_state_dict(state["generator"])
        self.average = {n: t.clone() for n, t in state["average"].items()}
        self.optimiser.load_state_dict(state["optimiser"])
        self.trace.averages = state.get("trace")
        if self.critic and self.critic_optimiser and state["critic"]:
            self.critic.load_state_dict(state["critic"])
            self.critic_optimiser.load_state_dict(state["critic_optimiser"])

    def _chosen(self, rng: np.random.Generator) -> NDArray[np.int64]:
        if not self.recipe.weights.sync:
            return rng.choice(self.learned, self.recipe.batch)
        starts = rng.choice(self.runs, max(1, self.recipe.batch // SYNC_FRAMES))
        return np.asarray((starts[:, None] + np.arange(SYNC_FRAMES)).reshape(-1))

    def _runs(self) -> NDArray[np.int64]:
        """Where five frames follow each other and all may be learned from."""
        runs = self.corpus.runs()
        return runs[~np.isin(runs[:, None] + np.arange(SYNC_FRAMES), self.held_out).any(axis=1)]

    def _sync(self, batch: Batch, drawn: Tensor, indices: NDArray[np.int64]) -> Tensor:
        """The expert sees 96 pixel crops, so ours are halved."""
        assert self.expert is not None
        painted = objective.canvas(planes(batch.idle), drawn, self.cutout)
        small = functional.interpolate(painted, size=96, mode="area")
        clips = small.unflatten(0, (-1, SYNC_FRAMES)).transpose(1, 2)  # type: ignore[no-untyped-call]
        mels = np.stack([self.corpus.mel(int(index)) for index in indices[::SYNC_FRAMES]])
        return losses.sync_loss(self.expert, torch.from_numpy(mels)[:, None], clips)

    def _patches(self, drawn: Tensor, target: Tensor, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """The same patch of both, anywhere in the drawn part; small parts are padded with black."""
        height, width = drawn.shape[2:]
        pad = (0, max(0, PATCH[1] - width), 0, max(0, PATCH[0] - height))
        top = int(rng.integers(0, max(1, height - PATCH[0] + 1)))
        left = int(rng.integers(0, max(1, width - PATCH[1] + 1)))
        at = (..., slice(top, top + PATCH[0]), slice(left, left + PATCH[1]))
        return functional.pad(drawn, pad)[at], functional.pad(target, pad)[at]

    def _train_critic(self, fake: Tensor, real: Tensor) -> Tensor:
        assert self.critic is not None
        assert self.critic_optimiser is not None
        loss = losses.taken_for(self.critic.judge(real), 1.0) + losses.taken_for(self.critic.judge(fake), 0.0)
        self.critic_optimiser.zero_grad(set_to_none=True)
        (loss / 2).backward()  # type: ignore[no-untyped-call]
        self.critic_optimiser.step()
        return loss.detach() / 2

    @torch.no_grad()
    def _update_average(self) -> None:
        decay = min(self.recipe.average_decay, (1 + self.step) / (10 + self.step))
        for name, tensor in self.generator.state_dict().items():
            if tensor.is_floating_point():
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)


def run(
    corpus: Corpus,
    recipe: Recipe,
    out: Path,
    expert: SyncNet | None = None,
    ear: Path | None = None,
    start: Path | None = None,
) -> Trainer:
    """Train to ``recipe.steps``, from the last checkpoint in ``out`` if there is one, else from ``start``'s weights."""
    out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(corpus, recipe, expert)
    if (out / STATE).is_file():
        trainer.restore(load_state(out / STATE))
        print(f"resumed at step {trainer.step}", flush=True)
    elif start is not None:
        print(f"{trainer.start_from(load_file(start))} tensors taken from {start.name}", flush=True)
    with SummaryWriter(str(out / "log"), purge_step=trainer.step) as writer:
        for step, terms in _steps(trainer):
            for name, value in terms.items():
                writer.add_scalar(f"loss/{name}", value, step)
            if step % 50 == 0:
                print(f"step {step} " + " ".join(f"{n} {v:.4f}" for n, v in terms.items()), flush=True)
            if step % recipe.sheet_every == 0 or step == recipe.steps:
                trainer.sheet(out / f"sheet-{step:06d}.png")
            if step % recipe.checkpoint_every == 0 or step == recipe.steps:
                save_state(out / STATE, trainer.state())
                if ear is not None:
                    export(trainer, ear, out / "wav2lip.safetensors")
    return trainer


def export(trainer: Trainer, ear: Path, path: Path) -> None:
    """Merge the averaged face with an ear into one generator file."""
    shape, tensors = read_ear(ear)
    info = info_of(trainer.recipe.width, trainer.corpus.size, shape)
    save_generator(path, merged(trainer.average, tensors, info).state_dict(), info)


def _steps(trainer: Trainer) -> Iterator[tuple[int, dict[str, float]]]:
    while trainer.step < trainer.recipe.steps:
        terms = trainer.advance()
        if not math.isfinite(terms["total"]):
            raise FloatingPointError(f"The loss is {terms['total']} at step {trainer.step}: lower the rate.")
        yield trainer.step, terms


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="visavis train wav2lip", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, default=[], action="append", help="may be given several times")
    parser.add_argument("--video", type=Path, help="clip of the avatar's person talking, the first part of it is used")
    parser.add_argument("--video-s", type=float, default=120.0, help="seconds of it to learn from; 6 MB each")
    parser.add_argument(
        "--avatar", type=Path, default=[], action="append",
        help="folder of the avatar that a corpus was drawn of, once for each that is not of the cast, in their order",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--ear", type=Path, help="safetensors of an audio encoder, to merge with")
    parser.add_argument("--start", type=Path, help="safetensors of a generator to begin with, where shapes fit")
    parser.add_argument("--expert", type=Path, help="expert.pt of train_syncnet, for the sync term")
    parser.add_argument("--sync", type=float, default=0.0, help="weight of the sync term, e.g. 0.03")
    parser.add_argument("--critic", type=float, default=0.0, help="weight of the critic's term, e.g. 0.005")
    parser.add_argument(
        "--kept", type=float, default=objective.Weights.kept, help="weight of what is left of the input"
    )
    parser.add_argument(
        "--trace", type=float, default=objective.Weights.trace,
        help="weight of what is left of it on average, at the end of a training, e.g. 25000",
    )  # fmt: skip
    parser.add_argument(
        "--flow", type=float, default=objective.Weights.flow,
        help="weight of each pixel that the face is moved off its true place",
    )  # fmt: skip
    parser.add_argument(
        "--opacity", type=float, default=objective.Weights.opacity,
        help="weight of what is painted over the moved face, where that is at rest",
    )  # fmt: skip
    parser.add_argument(
        "--grain", type=float, default=objective.Weights.grain,
        help="weight of what is softer or harsher than it should be",
    )  # fmt: skip
    parser.add_argument("--talking", type=float, default=_TALKING, help="share drawn on faces that talk already")
    parser.add_argument("--hushed", type=float, default=_HUSHED, help="share of talking faces that are brought to rest")
    parser.add_argument(
        "--freeze-norms", action="store_true",
        help="keep the batch norms' statistics, with --start: sharper and nearer at the end of a training",
    )  # fmt: skip
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, help=f"of learning; {_RATE:g}, or {_OWN_RATE:g} with --video")
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if arguments.freeze_norms and not (arguments.start or arguments.video):
        parser.error("--freeze-norms needs --start: weights of nothing have no statistics to keep")
    needed = bool(arguments.video) + sum(not has_own_faces(folder) for folder in arguments.corpus)
    if len(arguments.avatar) != needed or not (arguments.corpus or arguments.video):
        parser.error("give --corpus or --video, and one --avatar for every one that is not of the cast")
    torch.set_num_threads(arguments.threads)
    expert = None
    if arguments.expert:
        state = load_state(arguments.expert)
        expert = SyncNet(float(state["width"]))
        expert.load_state_dict(state["expert"])
    recipe = Recipe(
        steps=arguments.steps,
        batch=arguments.batch,
        rate=arguments.rate or (_OWN_RATE if arguments.video else _RATE),
        width=arguments.width,
        inputs=Inputs(arguments.talking, arguments.hushed),
        freeze_norms=arguments.freeze_norms,
        weights=objective.Weights(
            kept=arguments.kept,
            trace=arguments.trace,
            flow=arguments.flow,
            opacity=arguments.opacity,
            grain=arguments.grain,
            sync=arguments.sync,
            critic=arguments.critic,
        ),
    )
    avatars = [load_avatar(folder) for folder in arguments.avatar]
    sources: list[tuple[Path, Avatar | None]] = []
    if arguments.video:
        ear, start = arguments.ear or ASSET, arguments.start or ASSET
        generator = load_generator(start)[0].eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        mask = avatars.pop(0).mask
        corpus = video_corpus(arguments.video, mask, arguments.out, load_ear(ear), generator, arguments.video_s)
        sources.append((corpus, None))
    else:
        ear, start = arguments.ear, arguments.start
    sources += [(folder, None if has_own_faces(folder) else avatars.pop(0)) for folder in arguments.corpus]
    run(Corpus(sources), recipe, arguments.out, expert, ear, start)
