"""LivePortrait's weights on disk: the published files, or the same as safetensors.

A folder holds ``appearance_feature_extractor``, ``motion_extractor``, ``warping_module``, ``spade_generator`` and
``stitching_retargeting_module``, each ``.pth`` or ``.safetensors``, at its top or in the published folders
``base_models`` and ``retargeting_models``.
"""

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import CheckpointError
from models.liveportrait.appearance import AppearanceExtractor
from models.liveportrait.files import FILES, find
from models.liveportrait.generator import SpadeGenerator
from models.liveportrait.keypoints import Head
from models.liveportrait.motion_extractor import MotionExtractor
from models.liveportrait.pixels import Picture, to_input
from models.liveportrait.retargeting import Retargeting
from models.liveportrait.warping import WarpingModule

State = dict[str, Tensor]

MOTION = FILES[1]
_RETARGETING = {"retarget_shoulder": "stitching", "retarget_mouth": "lips", "retarget_eye": "eyes"}
_FIRST_CHANNELS, _STEM_CHANNELS = 64, 96
_DDP_PREFIX = "module."


@dataclass(frozen=True)
class Architecture:
    """How large the networks are; the default is the published size."""

    width: float = 1.0
    """Multiplier of all channels, at least 1/16."""
    depth: int = 16
    """Depths of the feature volume."""

    @classmethod
    def of_appearance(cls, state: Mapping[str, Tensor]) -> "Architecture":
        """Read from the tensors of F."""
        width = state["first.conv.weight"].shape[0] / _FIRST_CHANNELS
        depth = state["second.weight"].shape[0] // state["resblocks_3d.3dr0.conv1.weight"].shape[0]
        return cls(width, depth)


@dataclass(frozen=True)
class Networks:
    """F, M, W, G and S, in eval mode and without gradients."""

    appearance: AppearanceExtractor
    motion: MotionExtractor
    warping: WarpingModule
    generator: SpadeGenerator
    retargeting: Retargeting

    @classmethod
    def build(cls, architecture: Architecture | None = None) -> "Networks":
        """Untrained networks."""
        a = architecture or Architecture()
        networks = cls(
            AppearanceExtractor(a.width, a.depth),
            MotionExtractor(a.width),
            WarpingModule(a.width, a.depth),
            SpadeGenerator(a.width),
            Retargeting(),
        )
        for module in networks.modules():
            module.eval().requires_grad_(False)
        return networks

    def modules(self) -> tuple[nn.Module, ...]:
        """All five, in the order of ``FILES``."""
        return self.appearance, self.motion, self.warping, self.generator, self.retargeting

    @torch.inference_mode()
    def look(self, face: Picture) -> tuple[Tensor, Head]:
        """F's feature volume and M's head of one face crop, RGB (side, side, 3)."""
        x = to_input(face[None])
        return self.appearance(x), self.motion(x)


def load_networks(folder: Path) -> Networks:
    """Read all five networks, strictly.

    Raises:
        CheckpointError: a file is missing, damaged, or of another architecture.
    """
    states = [_read(find(folder, stem)) for stem in FILES]
    try:
        architecture = Architecture.of_appearance(states[0])
    except (KeyError, IndexError) as error:
        raise CheckpointError(f"{FILES[0]} in {folder} is of another architecture; fetch it again.") from error
    states[-1] = retargeting_state(states[-1])
    networks = Networks.build(architecture)
    for stem, module, state in zip(FILES, networks.modules(), states, strict=True):
        try:
            module.load_state_dict(state, strict=True)
        except RuntimeError as error:
            raise CheckpointError(f"{stem} in {folder} is of another architecture; fetch all five again.") from error
    return networks


def load_motion_extractor(folder: Path) -> MotionExtractor:
    """Read M alone, in eval mode and without gradients: all that making a motion template takes.

    Raises:
        CheckpointError: its file is missing, damaged, or of another architecture.
    """
    state = _read(find(folder, MOTION))
    try:
        extractor = MotionExtractor(state["detector.downsample_layers.0.0.weight"].shape[0] / _STEM_CHANNELS)
        extractor.load_state_dict(state, strict=True)
    except (KeyError, RuntimeError) as error:
        raise CheckpointError(f"{MOTION} in {folder} is of another architecture; fetch it again.") from error
    return extractor.eval().requires_grad_(False)


def check(path: Path) -> str:
    """What one of ``FILES`` holds, read whole and strictly.

    Raises:
        CheckpointError: it is none of them, damaged, or of another architecture than published.
    """
    stem = path.name.split(".")[0]
    if stem not in FILES:
        raise CheckpointError(f"{path.name} is none of LivePortrait's files: {', '.join(FILES)}.")
    state = _read(path)
    with torch.device("meta"):
        module = Networks.build().modules()[FILES.index(stem)]
    try:
        module.load_state_dict(retargeting_state(state) if stem == FILES[-1] else state, strict=True, assign=True)
    except RuntimeError as error:
        raise CheckpointError(f"{path} is of another architecture; fetch it again.") from error
    return f"LivePortrait's {stem.replace('_', ' ')}, {sum(p.numel() for p in module.parameters()) / 1e6:.1f} M weights"


def retargeting_state(file: Mapping[str, Any]) -> State:
    """The state of :class:`Retargeting` from what the published file, or its safetensors, holds.

    The published file is a dict of state dicts, whose keys may have been trained in parallel (``module.``); the
    safetensors file is flat, with keys like ``retarget_eye_module.mlp.0.bias``. Other entries are ignored, as the
    published file holds some that no one reads.
    """
    state: State = {}
    for published, name in _RETARGETING.items():
        part = file.get(published)
        if not isinstance(part, Mapping):
            flat = f"{published}_{_DDP_PREFIX}"
            part = {key.removeprefix(flat): value for key, value in file.items() if key.startswith(flat)}
        state |= {f"{name}.{key.replace(_DDP_PREFIX, '')}": value for key, value in part.items()}
    return state


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.suffix == ".safetensors":
            return dict(load_file(path))
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("no state dict")
        return dict(state)
    except (OSError, RuntimeError, EOFError, ValueError, SafetensorError, pickle.UnpicklingError) as error:
        raise CheckpointError(
            f"The weights {path} are damaged or not plain tensors; delete the file and fetch it again."
        ) from error
