"""The published weights: one safetensors file a picture size, and two mapping files.

The safetensors file holds five networks by prefix; the mapping files are PyTorch archives whose ``mapping`` entry
is the network's. Both are read strictly: every tensor has its place, and every place its tensor. Archives are read
without running what they hold.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import CheckpointError
from models.sadtalker.coefficients import CROP_SIZE, FULL_SIZE
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.keypoints import KeypointDetector
from models.sadtalker.mapping import MappingNetwork
from models.sadtalker.pose import PoseNetwork
from models.sadtalker.reconstruction import ReconstructionNetwork
from models.sadtalker.renderer import Renderer

PREFIXES = ("kp_extractor", "generator", "audio2exp", "audio2pose", "face_3drecon")
MAPPING_KEY = "mapping"
NETWORK_FILES = {256: "SadTalker_V0.0.2_256.safetensors", 512: "SadTalker_V0.0.2_512.safetensors"}
"""By the side of the picture that is drawn, pixels."""
MAPPING_FILES = {CROP_SIZE: "mapping_00229-model.pth.tar", FULL_SIZE: "mapping_00109-model.pth.tar"}
"""By the number of coefficients: crop modes, full modes."""
_WIDEST = 1024
"""Channels, at width 1, of the layers that a file's width is told by."""
_WIDTH_KEY, _MAPPING_WIDTH_KEY = "predictor.conv.weight", "first.0.weight"


@dataclass(frozen=True)
class Networks:
    """What a safetensors file holds, in eval mode."""

    keypoints: KeypointDetector
    renderer: Renderer
    expression: ExpressionNetwork
    pose: PoseNetwork
    reconstruction: ReconstructionNetwork


def files_of(folder: Path, size_px: int, is_full: bool) -> tuple[Path, ...]:
    """The files in ``folder`` that films of this size, of the crop or the whole picture, are drawn with.

    Raises:
        CheckpointError: one is not there.
    """
    names = (NETWORK_FILES[size_px], MAPPING_FILES[FULL_SIZE if is_full else CROP_SIZE])
    for name in names:
        if not (folder / name).is_file():
            raise CheckpointError(
                f"SadTalker's weights lack {name}; fetch them with: visavis models pull "
                f"{'sadtalker' if size_px == next(iter(NETWORK_FILES)) else f'sadtalker-{size_px}'} --accept-licence."
            )
    return tuple(folder / name for name in names)


def load_networks(path: Path) -> Networks:
    """Read ``SadTalker_V0.0.2_256.safetensors`` or ``..._512.safetensors``, or a stand-in of another width.

    Raises:
        CheckpointError: missing, damaged, or of another layout; it names the first tensor that differs.
    """
    if not path.is_file():
        raise CheckpointError(f"There are no SadTalker weights at {path}; fetch them or name another file.")
    try:
        tensors = load_file(str(path))
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"The SadTalker weights {path.name} are damaged; fetch them again.") from error
    parts: dict[str, dict[str, Tensor]] = {prefix: {} for prefix in PREFIXES}
    for name, tensor in tensors.items():
        prefix, _, key = name.partition(".")
        if prefix not in parts:
            raise CheckpointError(f"{path.name} holds '{name}', which is no part of SadTalker; fetch the file again.")
        parts[prefix][key] = tensor
    width = _width(parts["kp_extractor"].get(_WIDTH_KEY), 1)
    networks = Networks(
        KeypointDetector(width),
        Renderer(width),
        ExpressionNetwork(width),
        PoseNetwork(width),
        ReconstructionNetwork(width),
    )
    for prefix, network in zip(
        PREFIXES,
        (networks.keypoints, networks.renderer, networks.expression, networks.pose, networks.reconstruction),
        strict=True,
    ):
        _fill(network, parts[prefix], f"{path.name}, part '{prefix}'")
    return networks


def load_mapping(path: Path) -> MappingNetwork:
    """Read ``mapping_00229-model.pth.tar`` (crop modes) or ``mapping_00109-model.pth.tar`` (full modes).

    Which of the two it is, its own shape tells.

    Raises:
        CheckpointError: missing, damaged, or of another layout.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no SadTalker mapping network at {path}; fetch it or name another file.")
    try:
        archive = torch.load(path, map_location="cpu", weights_only=True)
        state = dict(archive[MAPPING_KEY])
        inputs = int(state[_MAPPING_WIDTH_KEY].shape[1])
    except (RuntimeError, OSError, EOFError, KeyError, TypeError, AttributeError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"The SadTalker mapping network {path.name} is damaged or of another layout; fetch it again."
        ) from error
    if inputs not in (CROP_SIZE, FULL_SIZE):
        raise CheckpointError(
            f"The mapping network {path.name} takes {inputs} coefficients; SadTalker has {CROP_SIZE} or {FULL_SIZE}."
        )
    mapping = MappingNetwork(inputs, _width(state[_MAPPING_WIDTH_KEY], 0))
    _fill(mapping, state, path.name)
    return mapping


def check(path: Path) -> str:
    """What a published file holds, read whole and strictly.

    Raises:
        CheckpointError: missing, damaged, or of another layout.
    """
    if path.suffix == ".safetensors":
        load_networks(path)
        return "SadTalker's five networks"
    mapping = load_mapping(path)
    return f"SadTalker's mapping network of {mapping.coefficients} coefficients"


def _width(tensor: Tensor | None, axis: int) -> float:
    """The width multiplier a file was written with; the published one where it does not tell."""
    if tensor is None or tensor.ndim <= axis or not 0 < tensor.shape[axis] < _WIDEST:
        return 1.0
    return tensor.shape[axis] / _WIDEST


def _fill(network: nn.Module, tensors: Mapping[str, Tensor], where: str) -> None:
    """Load strictly, in eval mode, without gradients."""
    expected = network.state_dict()
    for key in [*expected, *tensors]:
        if key not in tensors:
            raise CheckpointError(f"{where}: tensor '{key}' is missing; fetch the file again.")
        if key not in expected:
            raise CheckpointError(f"{where}: tensor '{key}' has no place in the network; fetch the file again.")
        if tensors[key].shape != expected[key].shape:
            raise CheckpointError(
                f"{where}: tensor '{key}' is {tuple(tensors[key].shape)} and not {tuple(expected[key].shape)}; "
                "it is of another architecture."
            )
    network.load_state_dict(dict(tensors), strict=True)
    network.eval().requires_grad_(False)
