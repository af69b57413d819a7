"""The motion network's weights on disk, and ready to hear."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from models.audio.mel import N_MELS
from models.engine import MelWindow
from models.errors import CheckpointError
from models.motion.network import COLUMNS, MotionNetwork
from models.runtime.precision import preferred_dtype
from models.runtime.scripted import as_one_call
from models.studio.visemes import MOUTH_NAMES, curves_from_code

ASSET = Path(__file__).parents[1] / "assets" / "motion.safetensors"
"""The weights shipped with the package."""


class Motion:
    """Hears mel windows. Holds weights only; threads are the caller's affair."""

    def __init__(self, network: MotionNetwork, lead_columns: int) -> None:
        self.window = MelWindow(COLUMNS, lead_columns)
        self._dtype = preferred_dtype()
        fast = network.eval().requires_grad_(False).to(self._dtype)
        fast = fast.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._call = as_one_call(fast, torch.zeros(4, 1, N_MELS, COLUMNS, dtype=self._dtype))

    @torch.inference_mode()
    def code(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, 80, ``COLUMNS``) -> mouth codes (n, K) in [0, 1]."""
        heard = self._call(torch.from_numpy(np.ascontiguousarray(mel))[:, None].to(self._dtype))
        return np.asarray(heard.float().squeeze(2).clamp(0, 1).numpy())

    def weights(self, mel: NDArray[np.float32]) -> NDArray[np.float32]:
        """Windows (n, 80, ``COLUMNS``) -> ARKit weights (n, 52) in [0, 1] of how the mouth is shaped."""
        return curves_from_code(self.code(mel))


def load_motion(path: Path | None = None) -> Motion:
    """The network of a file; None takes the shipped one.

    Raises:
        CheckpointError: it is missing, damaged or of another kind.
    """
    path = path or ASSET
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            network = MotionNetwork(len(MOUTH_NAMES), int(metadata["channels"]))
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(tensors)
        return Motion(network, int(metadata["lead_columns"]))
    except (SafetensorError, RuntimeError, KeyError, ValueError, OSError) as error:
        raise CheckpointError(
            f"The motion weights {path.name} are missing, damaged or of another kind; train some with "
            "visavis train motion."
        ) from error
