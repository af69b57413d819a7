"""Generator weights on disk: safetensors, with what must be known to use them in the file's metadata."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from models.aside import written_aside
from models.errors import CheckpointError
from models.wav2lip.network import Generator

ASSET = Path(__file__).parents[1] / "assets" / "wav2lip.safetensors"
"""The weights shipped with the package."""


@dataclass(frozen=True)
class GeneratorInfo:
    """How a generator is built and fed."""

    width: float
    size: int
    lead_columns: int
    """Mel columns of the window that lie before the frame's start."""
    colour: str
    """Channel order of its pictures, "rgb" or "bgr"."""
    licence: str
    """SPDX name, or the terms in a word."""
    ear_width: float = 0.0
    """The audio encoder's own width multiplier; 0 where it is ``width``."""
    ear_residuals: int = 1
    """The audio encoder's residual blocks where a window has shrunk to 3x3; 1 as published."""
    scaling: str = "area"
    """How its face crops are scaled down: "area" averages, "linear" takes the four nearest pixels, as published."""

    def build(self) -> Generator:
        """A generator of this architecture, in eval mode, untrained."""
        return Generator(self.width, self.size, self.ear_width or None, self.ear_residuals).eval()


def save_generator(
    path: Path, state: Mapping[str, Tensor], info: GeneratorInfo, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Write a generator's state dict; floating tensors are stored as ``dtype``, statistics as float32."""
    tensors = {
        name: tensor.detach().to(torch.float32 if "running" in name else dtype).contiguous()
        for name, tensor in state.items()
        if tensor.is_floating_point()  # the counter of batches seen is of no use later
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside:
        save_file(tensors, aside, metadata={key: str(value) for key, value in asdict(info).items()})


def load_generator(path: Path) -> tuple[Generator, GeneratorInfo]:
    """Read a generator, float32 and in eval mode.

    Raises:
        CheckpointError: the file is missing, damaged, lacks metadata, or is of another architecture.
    """
    if not path.is_file():
        raise CheckpointError(f"There are no Wav2Lip weights at {path}; reinstall visavis or name another file.")
    try:
        with safe_open(path, framework="pt") as file:
            info = _info(path, file.metadata() or {})
            generator = info.build()
            counters = {n: t for n, t in generator.state_dict().items() if not t.is_floating_point()}
            state = counters | {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        generator.load_state_dict(state, strict=True)
    except (SafetensorError, RuntimeError, ValueError, OSError) as error:
        raise CheckpointError(
            f"The Wav2Lip weights {path.name} are damaged or of another architecture; fetch them again."
        ) from error
    return generator, info


def _info(path: Path, metadata: Mapping[str, Any]) -> GeneratorInfo:
    try:
        return GeneratorInfo(
            width=float(metadata["width"]),
            size=int(metadata["size"]),
            lead_columns=int(metadata["lead_columns"]),
            colour={"rgb": "rgb", "bgr": "bgr"}[metadata["colour"]],
            licence=str(metadata["licence"]),
            ear_width=float(metadata.get("ear_width", 0.0)),
            ear_residuals=int(metadata.get("ear_residuals", 1)),
            scaling={"area": "area", "linear": "linear"}[metadata.get("scaling", "area")],
        )
    except (KeyError, ValueError) as error:
        raise CheckpointError(
            f"The Wav2Lip weights {path.name} do not say how they are built (width, size, lead_columns, "
            "colour, licence); convert them again."
        ) from error
