"""Train an ear: from mel windows to mouth codes.

    visavis train ear --corpus ear.npz --held-out held.npz --out ear.safetensors --steps 3000

The embedding's first K channels are the mouth code, the others zero, so an ear fits any face trained on true
codes. A plain squared error shrinks what it is unsure of, so a concordance term (L. Lin, "A concordance
correlation coefficient to evaluate reproducibility", 1989) keeps the amplitude. Resumes from ``--out``'s
``.state.pt`` after a kill. ``--residuals`` deepens the ear; with ``--start`` it begins as another one, whose missing
layers do nothing at first, and with ``--half-way`` the mean of the two is kept, which has much of what either is
better at (Wortsman et al., "Model soups", ICML 2022). ``--lead-columns`` sets how far it hears ahead,
``--steps-heard`` how far back.
"""

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from models.aside import written_aside
from models.audio.encoder import STEP_COLUMNS, WINDOW_COLUMNS, scaled
from models.motion.corpus import SpeechCorpus
from models.motion.ear import HEARD_COLUMNS, PREFIX, EarShape, begin_as
from models.motion.judge import judge
from models.runtime.precision import preferred_dtype

BATCH = 256
PEAK_RATE = 1.5e-3
_WARM_UP_STEPS = 100
_JUDGE_EVERY = 500
_OPENING = 4.0
"""Controls that the opening counts like."""
_MOST_STEPS = (HEARD_COLUMNS - WINDOW_COLUMNS) // STEP_COLUMNS + 1


def loss_of(embedding: Tensor, code: Tensor) -> Tensor:
    """Absolute error (more at closures) and concordance of each control, of (n, K); the other channels are silent.

    How far the mouth is open, the first control, is what is seen most, and counts like ``_OPENING`` others.
    """
    controls = code.shape[1]
    heard, unused = embedding[:, :controls], embedding[:, controls:]
    share = torch.ones(controls)
    share[0] = _OPENING
    share /= share.mean()
    weight = share * (1.0 + 2.0 * (code[:, :1] < 0.03))
    error = (weight * (heard - code).abs()).mean()
    covariance = ((heard - heard.mean(0)) * (code - code.mean(0))).mean(0)
    spread = heard.var(0, unbiased=False) + code.var(0, unbiased=False) + (heard.mean(0) - code.mean(0)) ** 2
    concordance = 2 * covariance / (spread + 1e-4)
    return 4.0 * error + (share * (1.0 - concordance)).mean() + unused.mean()


@torch.no_grad()
def hear(encoder: nn.Module, corpus: SpeechCorpus) -> NDArray[np.float32]:
    """What the ear makes of every frame, (frames, K)."""
    encoder.eval()
    parts = np.array_split(np.arange(len(corpus)), 40)
    heard = torch.cat([encoder(corpus.windows(part)).flatten(1) for part in parts])
    return np.asarray(heard[:, : corpus.code.shape[1]].numpy())


class Training:
    """A run, and the step it is at."""

    def __init__(
        self,
        corpus: SpeechCorpus,
        out: Path,
        steps: int,
        shape: EarShape,
        start: Path | None = None,
        half_way: bool = False,
        freeze_norms: bool = False,
    ) -> None:
        """Resume what ``out``'s state is of, or begin, as ``start`` or with random weights.

        ``half_way``: what is written is the mean of the beginning and the present. ``freeze_norms``: batch norms keep
        the statistics that they begin with, so that what learns is what will hear.
        """
        torch.manual_seed(1)
        self.corpus, self.out, self.steps, self.shape, self.step = corpus, out, steps, shape, 0
        self._learning = not freeze_norms
        encoder = shape.build()
        if start is not None:
            begin_as(encoder, start)
        self._began = {name: t.clone() for name, t in encoder.state_dict().items()} if half_way else {}
        self.encoder = encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimiser = torch.optim.AdamW(encoder.parameters(), lr=PEAK_RATE, weight_decay=1e-3)
        self._bfloat16 = preferred_dtype() is torch.bfloat16
        self._state = out.with_suffix(".state.pt")
        if self._state.is_file():
            state = torch.load(self._state, weights_only=True)
            self.encoder.load_state_dict(state["encoder"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.step = int(state["step"])

    def advance(self) -> float:
        """One step; returns the loss."""
        rng = np.random.default_rng([7, self.step])  # the same after a resume
        rise, fall = (self.step + 1) / _WARM_UP_STEPS, 0.5 * (1 + math.cos(math.pi * self.step / self.steps))
        for group in self.optimiser.param_groups:
            group["lr"] = PEAK_RATE * min(1.0, rise) * (0.02 + 0.98 * fall)
        frames = rng.integers(0, len(self.corpus), BATCH)
        self.encoder.train(self._learning)
        with torch.autocast("cpu", torch.bfloat16, enabled=self._bfloat16):
            embedding = self.encoder(self.corpus.varied(frames, rng)).flatten(1).float()
        loss = loss_of(embedding, self.corpus.code[torch.from_numpy(frames)])
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimiser.step()
        self.step += 1
        return float(loss.detach())

    def write(self) -> None:
        """The state to resume from, and the ear, weights in bfloat16."""
        encoder = self.encoder.state_dict()
        state = {"encoder": encoder, "optimiser": self.optimiser.state_dict(), "step": self.step}
        with written_aside(self._state) as aside:
            torch.save(state, aside)
        # Statistics need float32; the counter of batches seen is of no use later.
        kept = {name: tensor for name, tensor in encoder.items() if tensor.is_floating_point()}
        kept = {name: t.lerp(self._began[name], 0.5) if self._began else t for name, t in kept.items()}
        tensors = {PREFIX + n: (t if "running" in n else t.bfloat16()).contiguous() for n, t in kept.items()}
        with written_aside(self.out) as aside:
            save_file(tensors, aside, metadata=self.shape.metadata)


def train(training: Training, held_out: SpeechCorpus) -> None:
    """Run to the last step; judges and writes the ear every ``_JUDGE_EVERY`` steps."""
    while training.step < training.steps:
        loss = training.advance()
        if training.step % _JUDGE_EVERY == 0 or training.step == training.steps:
            figures = judge(hear(training.encoder, held_out), held_out.code.numpy())
            print(training.step, round(loss, 4), json.dumps({k: round(v, 3) for k, v in figures.items()}), flush=True)
            training.write()


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="visavis train ear", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--held-out", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--width", type=float, default=EarShape.width)
    parser.add_argument("--residuals", type=int, default=1, help="residual blocks before the last two (%(default)s)")
    parser.add_argument("--start", type=Path, help="an ear, or a generator, to begin as; it may be less deep")
    parser.add_argument("--half-way", action="store_true", help="keep the mean of --start and what became of it")
    parser.add_argument("--freeze-norms", action="store_true", help="keep the statistics of --start's batch norms")
    parser.add_argument("--face-width", type=float, default=0.25, help="width of the face it is merged with")
    parser.add_argument(
        "--lead-columns",
        type=int,
        default=EarShape.lead_columns,
        help=f"how many of a window's {WINDOW_COLUMNS} lie before its frame; one more is 12.5 ms less (%(default)s)",
    )
    parser.add_argument(
        "--steps-heard", type=int, default=1, help="1, or more to hear 75 ms further back for each (%(default)s)"
    )
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args(argv)
    if not 0 <= arguments.lead_columns <= WINDOW_COLUMNS:
        parser.error(f"--lead-columns takes 0 to {WINDOW_COLUMNS}")
    if not 1 <= arguments.steps_heard <= _MOST_STEPS:
        parser.error(f"--steps-heard takes 1 to {_MOST_STEPS}")
    if arguments.half_way and arguments.start is None:
        parser.error("--half-way needs --start: half way from where?")
    if arguments.freeze_norms and arguments.start is None:
        parser.error("--freeze-norms needs --start: an ear of nothing has no statistics to keep")
    torch.set_num_threads(arguments.threads)
    channels = scaled(512, arguments.face_width)
    shape = EarShape(arguments.width, arguments.residuals, channels, arguments.lead_columns, arguments.steps_heard)
    corpus, held_out = (SpeechCorpus(path, shape) for path in (arguments.corpus, arguments.held_out))
    training = Training(
        corpus, arguments.out, arguments.steps, shape, arguments.start, arguments.half_way, arguments.freeze_norms
    )
    train(training, held_out)
