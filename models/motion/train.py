"""Train the motion network: from mel spectrograms to mouth codes.

    visavis train motion --corpus ear.npz --held-out held.npz --out motion.safetensors --steps 3000

It is trained on pieces of recordings, all of whose frames count. A plain squared error shrinks what it is unsure
of, so a concordance term (L. Lin, "A concordance correlation coefficient to evaluate reproducibility", 1989) keeps
the amplitude. Resumes from ``--out``'s ``.state.pt`` after a kill.
"""

import argparse
import json
import math
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor

from models.motion.corpus import SpeechCorpus
from models.motion.judge import judge
from models.motion.network import COLUMNS, MotionNetwork
from models.runtime.precision import preferred_dtype

CHANNELS = 256
AFTER_COLUMNS = 4
BATCH = 16
PEAK_RATE = 1.5e-3
_WARM_UP_STEPS = 100
_MOST_GRADIENT = 1.0
_JUDGE_EVERY = 250


def loss_of(heard: Tensor, code: Tensor) -> Tensor:
    """Absolute error (more at closures) and concordance of each control, of (n, K)."""
    weight = 1.0 + 2.0 * (code[:, :1] < 0.03)
    error = (weight * (heard - code).abs()).mean()
    covariance = ((heard - heard.mean(0)) * (code - code.mean(0))).mean(0)
    spread = heard.var(0, unbiased=False) + code.var(0, unbiased=False) + (heard.mean(0) - code.mean(0)) ** 2
    concordance = 2 * covariance / (spread + 1e-4)
    return 4.0 * error + (1.0 - concordance).mean()


@torch.no_grad()
def hear(network: MotionNetwork, corpus: SpeechCorpus) -> NDArray[np.float32]:
    """What the network makes of every frame, (frames, K) in [0, 1]."""
    network.eval()
    moments = torch.cat([network(part)[0].T for part in corpus.whole()])
    return np.asarray(moments.clamp(0, 1).numpy()[corpus.first])


class Training:
    """A run, and the step it is at."""

    def __init__(self, corpus: SpeechCorpus, out: Path, steps: int, channels: int) -> None:
        torch.manual_seed(1)
        self.corpus, self.out, self.steps, self.step = corpus, out, steps, 0
        self.network = MotionNetwork(corpus.code.shape[1], channels)
        self.optimiser = torch.optim.AdamW(self.network.parameters(), lr=PEAK_RATE, weight_decay=1e-2)
        self._bfloat16 = preferred_dtype() is torch.bfloat16
        self._state = out.with_suffix(".state.pt")
        if self._state.is_file():
            state = torch.load(self._state, weights_only=True)
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = int(state["step"])

    def advance(self) -> float:
        """One step; returns the loss."""
        batch = self.corpus.batch(BATCH, np.random.default_rng([7, self.step]))  # the same after a resume
        rise, fall = (self.step + 1) / _WARM_UP_STEPS, 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, rise) * (0.02 + 0.98 * fall)
        self.network.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            moments = self.network(batch.mel).float()
        chosen = batch.moments[:, None].expand(-1, moments.shape[1], -1)
        heard = moments.gather(2, chosen).transpose(1, 2)
        loss = loss_of(heard.flatten(0, 1), batch.code.flatten(0, 1))
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MOST_GRADIENT)
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def write(self, lead_columns: int) -> None:
        """The state to resume from, and the weights."""
        state = {"network": self.network.state_dict(), "optimiser": self.optimiser.state_dict(), "step": self.step}
        _aside(self._state, lambda path: torch.save(state, path))
        tensors = {n: t.bfloat16().contiguous() for n, t in self.network.state_dict().items()}
        metadata = {"lead_columns": str(lead_columns), "channels": str(self.network.out.in_channels)}
        _aside(self.out, lambda path: save_file(tensors, path, metadata=metadata))


def _aside(path: Path, write: Any) -> None:
    aside = path.with_suffix(".part")
    write(str(aside))
    os.replace(aside, path)


def train(
    corpus: SpeechCorpus, held_out: SpeechCorpus, out: Path, steps: int, lead_columns: int, channels: int = CHANNELS
) -> None:
    """Run or resume; judges and writes the weights every ``_JUDGE_EVERY`` steps."""
    training = Training(corpus, out, steps, channels)
    while training.step < steps:
        loss = training.advance()
        if training.step % _JUDGE_EVERY == 0 or training.step == steps:
            figures = judge(hear(training.network, held_out), held_out.code)
            print(training.step, round(loss, 4), json.dumps({k: round(v, 3) for k, v in figures.items()}), flush=True)
            training.write(lead_columns)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="visavis train motion", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--channels", type=int, default=CHANNELS)
    parser.add_argument(
        "--after-columns",
        type=int,
        default=AFTER_COLUMNS,
        help="mel columns it hears after that of the frame's start: 12.5 ms of delay each (%(default)s)",
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.after_columns < COLUMNS:
        parser.error(f"--after-columns takes 0 to {COLUMNS - 1}")
    torch.set_num_threads(arguments.threads)
    lead_columns = COLUMNS - 1 - arguments.after_columns
    corpus, held_out = (SpeechCorpus(path, lead_columns) for path in (arguments.corpus, arguments.held_out))
    train(corpus, held_out, arguments.out, arguments.steps, lead_columns, arguments.channels)
