"""LivePortrait's files as they are published, of any networks."""

from pathlib import Path

import torch

from models.liveportrait.files import FILES
from models.liveportrait.weights import Networks

_RETARGETING = {"retarget_shoulder": "stitching", "retarget_mouth": "lips", "retarget_eye": "eyes"}


def write_published(folder: Path, networks: Networks) -> Path:
    """Five checkpoints in the published places, with what else they hold."""
    for place in ("base_models", "retargeting_models"):
        (folder / place).mkdir(parents=True)
    for stem, module in zip(FILES, networks.modules(), strict=True):
        if not stem.startswith("stitching"):
            torch.save(module.state_dict(), folder / "base_models" / f"{stem}.pth")
            continue
        parts = {
            published: {f"module.{key}": tensor for key, tensor in getattr(module, name).state_dict().items()}
            for published, name in _RETARGETING.items()
        }
        torch.save(parts | {"unread": {"a": torch.zeros(2)}}, folder / "retargeting_models" / f"{stem}.pth")
    return folder
