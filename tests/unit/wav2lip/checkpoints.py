"""Synthetic checkpoints in the published layouts."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.parity.fill import fill, unit

MANIFEST = json.loads((Path(__file__).parents[2] / "golden" / "wav2lip" / "manifest.json").read_text())["modules"]
SEED = 5
GENERATOR, EXPERT, DISCRIMINATOR = "wav2lip_generator", "syncnet_color", "wav2lip_disc_qual"


def filled(module: str, seed: int = SEED) -> dict[str, Tensor]:
    """A whole state dict."""
    return fill(MANIFEST[module]["entries"], seed)


def light(module: str = GENERATOR) -> dict[str, Tensor]:
    """A state dict of the right names and shapes that takes next to no room on disk: one value a first index."""
    state = {}
    for key, shape, dtype, *_ in MANIFEST[module]["entries"]:
        values = torch.from_numpy(1 + unit(key, shape[0] if shape else 1, SEED) / 4).to(getattr(torch, dtype))
        state[key] = values.view(-1, *[1] * (len(shape) - 1)).expand(shape) if shape else values[0]
    return state


def training_state(state: dict[str, Tensor], prefix: str = "") -> dict[str, Any]:
    """As the published files hold it."""
    weights = {prefix + key: tensor for key, tensor in state.items()}
    optimizer = {"state": {0: {"step": 1, "exp_avg": torch.zeros(3)}}, "param_groups": [{"lr": 1e-4, "params": [0]}]}
    return {"state_dict": weights, "optimizer": optimizer, "global_step": 7, "global_epoch": 1}
