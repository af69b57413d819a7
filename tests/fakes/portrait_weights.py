"""LivePortrait's files, of narrow networks with random weights."""

from pathlib import Path

from safetensors.torch import save_file

from models.liveportrait.files import FILES
from models.liveportrait.stand_in import stand_in
from models.liveportrait.weights import Architecture

_RETARGETING = {"stitching": "retarget_shoulder", "lips": "retarget_mouth", "eyes": "retarget_eye"}


def write_stand_in(folder: Path) -> Path:
    """Networks that keep pace with a session on one core, as files like the published ones."""
    folder.mkdir()
    for stem, module in zip(FILES, stand_in(Architecture(1 / 16, 2)).modules(), strict=True):
        state = module.state_dict()
        if stem == FILES[-1]:
            parts = ((key.partition("."), tensor) for key, tensor in state.items())
            state = {f"{_RETARGETING[part]}_module.{rest}": tensor for (part, _, rest), tensor in parts}
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, folder / f"{stem}.safetensors")
    return folder
