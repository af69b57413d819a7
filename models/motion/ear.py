"""The ear: from a mel window to how the mouth is shaped, for every engine that takes mouth codes or blend shapes.

It is Wav2Lip's audio encoder (``models.audio.encoder``), whose embedding's first K channels are the mouth code and
whose others are zero. A file of an ear is safetensors of keys ``audio_encoder.*``; a generator's file holds one too.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import WINDOW_COLUMNS, audio_encoder, window_columns
from models.audio.mel import N_MELS, SILENCE
from models.engine import MelWindow
from models.errors import CheckpointError
from models.runtime.fold import fold_norms, prepack
from models.runtime.precision import preferred_dtype
from models.runtime.prepacked import can_prepack
from models.runtime.scripted import as_one_call
from models.studio.visemes import MOUTH_NAMES, curves_from_code

ASSET = Path(__file__).parents[1] / "assets" / "motion.safetensors"
"""The shipped ear of engines that take blend shapes."""
PREFIX = "audio_encoder."
HEARD_COLUMNS = 51
"""Width of the window that ``Ear`` asks for. The mouth needs its end only; how lively a head is needs more past."""
_BATCH = 250
_LAST_BLOCKS = 2
"""Blocks behind the residual ones that an ear may have more of."""


@dataclass(frozen=True)
class EarShape:
    """How large an ear is, and how it is fed."""

    width: float = 0.25
    """Multiplier of the channels."""
    residuals: int = 1
    """Residual blocks where a window has shrunk to 3x3, and a layer costs little; 1 as published."""
    channels: int = 128
    """Of the embedding: those of the face that it is merged with."""
    lead_columns: int = 8
    """Mel columns of the window's last 16 that lie before the frame's start; one more is 12.5 ms of delay less."""
    steps: int = 1
    """How much of the past it hears, see ``audio_encoder``; 1 in a generator."""

    @property
    def columns(self) -> int:
        """Width of its window."""
        return window_columns(self.steps)

    def build(self) -> nn.Sequential:
        """An ear in eval mode, untrained."""
        return audio_encoder(self.width, self.residuals, self.channels, self.steps).eval()

    @property
    def metadata(self) -> dict[str, str]:
        """What its file says of it."""
        return {
            "ear_width": str(self.width),
            "ear_residuals": str(self.residuals),
            "lead_columns": str(self.lead_columns),
        }


def read_ear(path: Path) -> tuple[EarShape, dict[str, Tensor]]:
    """An ear's shape and tensors, float32, keys without ``PREFIX``; of a generator, its ear's.

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118
            tensors = {name.removeprefix(PREFIX): file.get_tensor(name).float() for name in names}
            metadata = dict(file.metadata() or {})
        last = max((name for name in tensors if name.endswith("conv_block.0.weight")), key=_block)
        shape = EarShape(
            width=float(metadata.get("ear_width", 0)) or float(metadata["width"]),
            residuals=int(metadata.get("ear_residuals", 1)),
            channels=len(tensors[last]),
            lead_columns=int(metadata["lead_columns"]),
            steps=tensors[last].shape[-1],
        )
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise CheckpointError(
            f"The ear {path.name} is missing, damaged or of another kind; train one with visavis train ear."
        ) from error
    return shape, tensors


def load_encoder(path: Path) -> tuple[EarShape, nn.Sequential]:
    """An ear in eval mode, float32.

    Raises:
        CheckpointError: missing or damaged.
    """
    shape, tensors = read_ear(path)
    encoder = shape.build()
    counters = {n: t for n, t in encoder.state_dict().items() if not t.is_floating_point()}
    try:
        encoder.load_state_dict(counters | tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"The ear {path.name} is not what it says it is; train it again.") from error
    return shape, encoder


def begin_as(encoder: nn.Sequential, ear: Path) -> None:
    """Begin as another ear of the same width; residual blocks and steps that it lacks add nothing at first.

    Raises:
        CheckpointError: it is missing or damaged, of another width, deeper, or hears more of the past.
    """
    shape, tensors = read_ear(ear)
    last = f"{len(shape.build()) - 1}.conv_block.0.weight"
    wanted = encoder[-1].get_parameter("conv_block.0.weight").shape[-1]
    tensors[last] = functional.pad(tensors[last], (max(0, wanted - shape.steps), 0))  # the newest step is the last
    theirs = len(shape.build())
    more, behind = len(encoder) - theirs, theirs - _LAST_BLOCKS
    state = encoder.state_dict()
    for name, tensor in tensors.items():
        state[f"{_block(name) + more * (_block(name) >= behind)}.{name.split('.', 1)[1]}"] = tensor
    fits = more >= 0 and all(state[name].shape == own.shape for name, own in encoder.state_dict().items())
    if not fits:
        raise CheckpointError(f"The ear {ear.name} is of another width, deeper, or hears more of the past.")
    encoder.load_state_dict(state)
    for number in range(behind, behind + more):
        nn.init.zeros_(encoder.get_parameter(f"{number}.conv_block.1.weight"))


def _block(name: str) -> int:
    return int(name.split(".", 1)[0])


class Ear:
    """Hears mel windows. Holds weights only; threads are the caller's affair."""

    def __init__(self, encoder: nn.Sequential, shape: EarShape) -> None:
        """``encoder``: of that shape, in eval mode; it is taken over."""
        self.window = MelWindow(HEARD_COLUMNS, HEARD_COLUMNS - WINDOW_COLUMNS + shape.lead_columns)
        self._columns = shape.columns
        self._dtype = preferred_dtype()
        fast = fold_norms(encoder).requires_grad_(False).to(self._dtype)
        fast = fast.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if can_prepack(torch.device("cpu"), self._dtype):
            fast = prepack(fast)
        self._call = as_one_call(fast, torch.zeros(4, 1, N_MELS, shape.columns, dtype=self._dtype))

    @torch.inference_mode()
    def code(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, 80, ``window.columns``) -> mouth codes (n, K) in [0, 1]."""
        ends = np.ascontiguousarray(mel[:, np.newaxis, :, -self._columns :])
        heard = self._call(torch.from_numpy(ends).to(self._dtype)).flatten(1)[:, : len(MOUTH_NAMES)]
        return np.asarray(heard.float().clamp(0, 1).numpy())

    def weights(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, 80, ``window.columns``) -> ARKit weights (n, 52) in [0, 1] of how the mouth is shaped."""
        return curves_from_code(self.code(mel))

    def codes(self, mel: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
        """The mouth codes of the first so many frames of a mel spectrogram (80, columns), (frames, K) in [0, 1].

        Before its beginning and behind its end there is silence.
        """
        starts = np.array([self.window.start(frame) for frame in range(frames)]) + HEARD_COLUMNS
        behind = max(0, int(starts[-1]) - mel.shape[1])
        margins = [np.full((N_MELS, columns), SILENCE, np.float32) for columns in (HEARD_COLUMNS, behind)]
        padded = np.concatenate([margins[0], mel, margins[1]], axis=1)
        parts = np.array_split(starts, -(-frames // _BATCH))
        windows = (padded[:, part[:, np.newaxis] + np.arange(HEARD_COLUMNS)].transpose(1, 0, 2) for part in parts)
        return np.concatenate([self.code(part) for part in windows])


def load_ear(path: Path | None = None) -> Ear:
    """The ear of a file; None takes the shipped one.

    Raises:
        CheckpointError: it is missing, damaged or of another kind.
    """
    shape, encoder = load_encoder(path or ASSET)
    return Ear(encoder, shape)
