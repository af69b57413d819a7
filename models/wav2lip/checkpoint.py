"""Training states that survive being killed at any moment."""

import os
from pathlib import Path
from typing import Any

import torch

from models.errors import CheckpointError


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Write aside, reach the disk, then rename: the file is always a whole one."""
    aside = path.with_suffix(".part")
    with aside.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def load_state(path: Path) -> dict[str, Any]:
    """What ``save_state`` wrote; tensors and plain values only.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise CheckpointError(f"The training state {path} is damaged; delete it to begin again.") from error
