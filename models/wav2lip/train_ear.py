"""Train the ear: the generator's audio encoder, alone, from mel windows to mouth codes.

    visavis train ear --corpus ear.npz --held-out held.npz --out ear.safetensors --steps 3000

The embedding's first K channels are the mouth code, the others zero, so an ear fits any face trained on true
codes. ``--residuals`` deepens it; with ``--start`` it begins as another ear, whose missing layers do nothing at first.
A plain squared error shrinks what it is unsure of, so a concordance term (L. Lin, "A concordance
correlation coefficient to evaluate reproducibility", 1989) keeps the amplitude. Resumes from ``--out``'s
``.state.pt`` after a kill.
"""

import argparse
import json
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from models.audio.encoder import ConvBlock
from models.audio.mel import SILENCE
from models.motion import train as motion
from models.motion.corpus import varied
from models.motion.judge import judge
from models.runtime.precision import preferred_dtype
from models.wav2lip.merge import read_ear
from models.wav2lip.network import Generator
from models.wav2lip.windows import WINDOW_COLUMNS

LEAD_COLUMNS = 8
BATCH = 256
PEAK_RATE = 1.5e-3
_LAST_BLOCKS = 2
"""Blocks behind the residual ones that an ear may have more of."""


@dataclass(frozen=True)
class EarShape:
    """How large an ear is."""

    width: float = 0.25
    residuals: int = 1
    """``Generator``'s ``ear_residuals``."""
    face_width: float = 0.25
    """Width of the face it is merged with."""

    def build(self) -> nn.Sequential:
        """An ear, untrained."""
        generator = Generator(self.face_width, ear_width=self.width, ear_residuals=self.residuals)
        return generator.audio_encoder


class EarCorpus:
    """Mel windows and codes of a file of ``models.studio.ear_corpus``, in memory."""

    def __init__(self, path: Path, lead_columns: int) -> None:
        with np.load(path) as data:
            mel, self.code = data["mel"], torch.from_numpy(data["code"].astype(np.float32))
            self.starts = data["starts"]
        self.lead = lead_columns
        margin = np.full((len(mel), 2 * WINDOW_COLUMNS), SILENCE, dtype=np.float16)
        self.mel = np.concatenate([margin, mel, margin], axis=1)

    def windows(self, frames: NDArray[np.int64]) -> Tensor:
        """(n, 1, 80, 16) of these frames."""
        first = self.starts[frames] - self.lead + 2 * WINDOW_COLUMNS
        columns = first[:, np.newaxis] + np.arange(WINDOW_COLUMNS)
        return torch.from_numpy(self.mel[:, columns].transpose(1, 0, 2)[:, np.newaxis].astype(np.float32))

    def varied(self, frames: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """``windows``, some of them as other speakers before other microphones."""
        windows = self.windows(frames).numpy()[:, 0]
        return torch.from_numpy(np.stack([varied(window, rng) for window in windows])[:, np.newaxis])


def loss_of(embedding: Tensor, code: Tensor) -> Tensor:
    """The codes' loss, and silence in the unused channels."""
    controls = code.shape[1]
    return motion.loss_of(embedding[:, :controls], code) + embedding[:, controls:].mean()


@torch.no_grad()
def hear(encoder: nn.Module, corpus: EarCorpus) -> NDArray[np.float32]:
    """What the ear makes of every frame, (frames, K)."""
    encoder.eval()
    parts = np.array_split(np.arange(len(corpus.code)), 40)
    heard = torch.cat([encoder(corpus.windows(part)).flatten(1) for part in parts])
    return np.asarray(heard[:, : corpus.code.shape[1]].numpy())


def start_from(encoder: nn.Sequential, ear: Path) -> None:
    """Begin as another ear of the same width; residual blocks that it lacks add nothing at first.

    Raises:
        CheckpointError: it is missing or damaged.
        RuntimeError: it is of another width, or deeper.
    """
    tensors, _ = read_ear(ear)
    theirs = 1 + max(int(name.split(".", 1)[0]) for name in tensors)
    more = len(encoder) - theirs
    state = encoder.state_dict()
    for name, tensor in tensors.items():
        block, rest = name.split(".", 1)
        state[f"{int(block) + more * (int(block) >= theirs - _LAST_BLOCKS)}.{rest}"] = tensor
    encoder.load_state_dict(state)
    for new in list(encoder)[theirs - _LAST_BLOCKS : -_LAST_BLOCKS]:
        nn.init.zeros_(cast(ConvBlock, new).conv_block[1].weight)  # type: ignore[arg-type]


def train(
    corpus: EarCorpus, held_out: EarCorpus, out: Path, steps: int, shape: EarShape, start: Path | None = None
) -> None:
    """Run or resume; writes and judges the ear at every 500 steps."""
    torch.manual_seed(1)
    encoder = shape.build()
    if start is not None:
        start_from(encoder, start)
    encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    bfloat16 = preferred_dtype() is torch.bfloat16
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
    state_path, step = out.with_suffix(".state.pt"), 0
    if state_path.is_file():
        state = torch.load(state_path, weights_only=True)
        encoder.load_state_dict(state["encoder"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
    while step < steps:
        rng = np.random.default_rng([7, step])
        for group in optimiser.param_groups:
            group["lr"] = (
                PEAK_RATE * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps)))
            )
        frames = rng.integers(0, len(corpus.code), BATCH)
        encoder.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            embedding = encoder(corpus.varied(frames, rng)).flatten(1).float()
        loss = loss_of(embedding, corpus.code[torch.from_numpy(frames)])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        step += 1
        if step % 500 == 0 or step == steps:
            figures = judge(hear(encoder, held_out), held_out.code.numpy())
            print(
                step,
                round(float(loss.detach()), 4),
                json.dumps({k: round(v, 3) for k, v in figures.items()}),
                flush=True,
            )
            _write(
                encoder,
                {"encoder": encoder.state_dict(), "optimiser": optimiser.state_dict(), "step": step},
                out,
                state_path,
                {"lead_columns": str(corpus.lead), "width": str(shape.width), "ear_residuals": str(shape.residuals)},
            )


def _write(encoder: nn.Module, state: dict[str, Any], out: Path, state_path: Path, metadata: dict[str, str]) -> None:
    aside = state_path.with_suffix(".part")
    torch.save(state, aside)
    os.replace(aside, state_path)
    tensors = {f"audio_encoder.{n}": t.contiguous() for n, t in encoder.state_dict().items() if t.is_floating_point()}
    aside = out.with_suffix(".part")
    save_file(tensors, str(aside), metadata=metadata)
    os.replace(aside, out)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="visavis train ear", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--width", type=float, default=0.25)
    parser.add_argument("--residuals", type=int, default=1, help="residual blocks before the last two (%(default)s)")
    parser.add_argument("--face-width", type=float, default=0.25, help="width of the face it is merged with")
    parser.add_argument("--start", type=Path, help="an ear, or a generator, to begin as; it may be less deep")
    parser.add_argument(
        "--lead-columns",
        type=int,
        default=LEAD_COLUMNS,
        help=f"how many of a window's {WINDOW_COLUMNS} lie before its frame; one more is 12.5 ms less (%(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    torch.set_num_threads(arguments.threads)
    corpus, held_out = (EarCorpus(path, arguments.lead_columns) for path in (arguments.corpus, arguments.held_out))
    shape = EarShape(arguments.width, arguments.residuals, arguments.face_width)
    train(corpus, held_out, arguments.out, arguments.steps, shape, arguments.start)
