"""Where LivePortrait's weights lie. Files are looked for, not read; PyTorch is not needed for it."""

from pathlib import Path

from models.errors import CheckpointError
from models.store import located, pulled

FILES = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)
_CHECKPOINT = "liveportrait"
_FOLDERS = ("", "base_models", "retargeting_models", "liveportrait/base_models", "liveportrait/retargeting_models")
_SUFFIXES = (".safetensors", ".pth")
_COMMAND = f"visavis models pull {_CHECKPOINT} --accept-licence"
_LANDMARKS = "liveportrait-landmarks"
_LANDMARK_FILE = "landmark.onnx"


def weights_folder(weights: Path | None) -> Path:
    """A folder that holds all five files; None takes the pulled ones.

    Raises:
        CheckpointError: one is missing; the message names the command that fetches them.
    """
    folder = weights or located(Path(_CHECKPOINT))
    assert folder is not None
    if not folder.is_dir():
        raise CheckpointError(
            f"LivePortrait's weights are a folder of five files, and {folder.name} is none; fetch them with: {_COMMAND}"
        )
    try:
        for stem in FILES:
            find(folder, stem)
    except CheckpointError as error:
        raise CheckpointError(f"{error} This does: {_COMMAND}") from error
    return folder


def landmark_file(folder: Path) -> Path:
    """The model of 203 landmarks: in the folder of weights, as published, or the pulled one.

    Raises:
        CheckpointError: neither is there; the message names the command that fetches it.
    """
    beside = (folder / place / _LANDMARK_FILE for place in ("", "liveportrait"))
    found = next((path for path in beside if path.is_file()), None) or pulled(_LANDMARKS)
    if found is None:
        raise CheckpointError(
            f"Eyes and lips are retargeted by landmarks, and {_LANDMARK_FILE} is not here; fetch it with: "
            f"visavis models pull {_LANDMARKS} --accept-licence"
        )
    return found


def find(folder: Path, stem: str) -> Path:
    """Where in a folder one of ``FILES`` lies.

    Raises:
        CheckpointError: nowhere.
    """
    for place in _FOLDERS:
        for suffix in _SUFFIXES:
            path = folder / place / f"{stem}{suffix}"
            if path.is_file():
                return path
    raise CheckpointError(
        f"{folder.name} holds no {stem}.safetensors or .pth; fetch the five files of KwaiVGI/LivePortrait into it."
    )
