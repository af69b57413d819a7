"""The published checkpoints: told apart by their keys, read without running anything they hold, loaded strictly.

A file is what ``torch.save`` wrote of a state dict, or of a mapping with one under ``state_dict``; keys may have
``module.`` in them, which training on several devices leaves there. Its name says nothing.
"""

import pickle
import re
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from models.errors import CheckpointError
from models.wav2lip.discriminator import QualityDiscriminator
from models.wav2lip.network import CORE_SIZE, Generator
from models.wav2lip.syncnet import SyncNet
from models.wav2lip.weights import GeneratorInfo, load_generator, save_generator

PUBLISHED = GeneratorInfo(
    width=1.0, size=CORE_SIZE, lead_columns=3, colour="bgr", licence="non-commercial", scaling="linear"
)
"""How the published generators are built and fed. Their windows began 3.2 columns before the picture in training."""

_NETWORKS: dict[str, tuple[str, Callable[[], nn.Module]]] = {
    "generator": ("face_decoder_blocks.", Generator),
    "quality discriminator": ("binary_pred.", QualityDiscriminator),
    "lip-sync expert": ("face_encoder.", SyncNet),
}
"""Network -> what keys of it alone begin with, and how it is built."""

_LEVELS = 7
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_LEGACY_MAGIC = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."
"""What ``torch.save`` began files with before it wrote zip archives: its magic number, pickled."""
_AGAIN = "fetch it again or name another file"


def check(path: Path) -> str:
    """What a file holds: "generator", "quality discriminator" or "lip-sync expert"; its weights are whole and fit.

    Raises:
        CheckpointError: it cannot be read, or is none of these.
    """
    return _load(path)[0]


def load_published(path: Path) -> tuple[Generator, GeneratorInfo]:
    """Read a published generator, float32 and in eval mode.

    Raises:
        CheckpointError: it cannot be read, or is not one.
    """
    kind, network = _load(path)
    if not isinstance(network, Generator):
        raise CheckpointError(f"{path.name} is Wav2Lip's {kind}, which draws nothing; name a generator's file.")
    return network, PUBLISHED


def load_weights(path: Path) -> tuple[Generator, GeneratorInfo]:
    """Read a generator from our own safetensors or from a published file.

    Raises:
        CheckpointError: it cannot be read, or is of another architecture.
    """
    return load_generator(path) if path.suffix == ".safetensors" else load_published(path)


def convert(source: Path, target: Path) -> GeneratorInfo:
    """Write a published generator as our own safetensors, to the bit.

    Raises:
        CheckpointError: ``source`` cannot be read, or is not one.
    """
    generator, info = load_published(source)
    save_generator(target, generator.state_dict(), info, torch.float32)
    return info


def read_state(path: Path) -> dict[str, Tensor]:
    """A file's state dict, without ``module.`` in its keys.

    Raises:
        CheckpointError: it cannot be read, or holds none.
    """
    content = _read(path)
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise CheckpointError(f"{path.name} holds no state dict, so it is no checkpoint of Wav2Lip; {_AGAIN}.")
    return {str(key).replace("module.", ""): value for key, value in content.items()}


def _load(path: Path) -> tuple[str, nn.Module]:
    state = read_state(path)
    kind = next((k for k, (prefix, _) in _NETWORKS.items() if any(key.startswith(prefix) for key in state)), None)
    if kind is None:
        raise CheckpointError(f"{path.name} holds weights of some other network, not of Wav2Lip; {_AGAIN}.")
    if kind == "generator":
        _refuse_other_sizes(path, state)
    with torch.device("meta"):  # reserves nothing and draws no random weights
        network = _NETWORKS[kind][1]()
    expected = network.state_dict()
    # The counter of batches seen is of no use later, and converters leave it out.
    state = {n: torch.zeros((), dtype=t.dtype) for n, t in expected.items() if not t.is_floating_point()} | state
    _compare(path, kind, state, expected)
    whole = {name: tensor.to(expected[name].dtype, copy=True) for name, tensor in state.items()}
    spoilt = [name for name, tensor in whole.items() if not tensor.isfinite().all()]
    if spoilt:
        raise CheckpointError(f"{path.name} holds weights that are no numbers ({spoilt[0]}); {_AGAIN}.")
    network.load_state_dict(whole, strict=True, assign=True)
    return kind, network.eval().requires_grad_(False)


def _refuse_other_sizes(path: Path, state: Mapping[str, Tensor]) -> None:
    """Refuse the generators in circulation that draw larger pictures: they have more levels, or other layers."""
    levels = len({key.split(".")[1] for key in state if key.startswith("face_encoder_blocks.")})
    innermost = state.get(f"face_encoder_blocks.{levels - 1}.0.conv_block.0.weight")
    if levels == _LEVELS or innermost is None:
        return
    # The innermost level's kernel is as large as its picture, and all levels but the first and it halve.
    size = innermost.shape[-1] * 2 ** (levels - 2)
    raise CheckpointError(
        f"{path.name} is a {size} px variant of Wav2Lip ({levels} levels), which visavis does not run; use the "
        f"published {CORE_SIZE} px weights ({_LEVELS} levels), wav2lip.pth or wav2lip_gan.pth."
    )


def _compare(path: Path, kind: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    faults = []
    if missing := sorted(expected.keys() - state.keys()):
        faults.append(f"{len(missing)} weights are missing, such as {missing[0]}")
    if unknown := sorted(state.keys() - expected.keys()):
        faults.append(f"{len(unknown)} are unknown, such as {unknown[0]}")
    for name in expected.keys() & state.keys():
        if state[name].shape != expected[name].shape:
            faults.append(f"{name} is {tuple(state[name].shape)}, not {tuple(expected[name].shape)}")
            break
    if faults:
        raise CheckpointError(f"{path.name} is not the published {kind} of Wav2Lip: {'; '.join(faults)}; {_AGAIN}.")


def _read(path: Path) -> Any:
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint {path}; check the path.")
    with path.open("rb") as file:
        head = file.read(64)
    if head.startswith(b"version https://git-lfs"):
        raise CheckpointError(f"{path.name} is only Git LFS's pointer to a file; fetch the file itself (git lfs pull).")
    if head.lstrip()[:9].lower().startswith((b"<!doctype", b"<html")):
        raise CheckpointError(f"{path.name} is a web page, saved in place of the file it links to; {_AGAIN}.")
    try:
        if head[8:9] == b"{":  # safetensors: a length, then JSON
            return load_file(path)
        with warnings.catch_warnings(action="ignore"):  # of pickle protocols, when the file is no checkpoint at all
            # Mapped, an optimizer's state in the file is never read.
            return torch.load(path, map_location="cpu", weights_only=True, mmap=head.startswith(_ZIP_MAGIC))
    except Exception as error:  # what the reader meets in a spoilt file may break it anywhere
        foreign = re.search(r"GLOBAL ([\w.]+)", str(error)) if isinstance(error, pickle.UnpicklingError) else None
        bare = head.startswith(_PICKLE_MAGIC) and not head.startswith(_LEGACY_MAGIC)
        if foreign is None and not bare:
            raise _damaged(path) from error
        asks = f" ({foreign[1]})" if foreign else ""
        raise CheckpointError(
            f"{path.name} is a pickle that may run code{asks}, so it was not opened: a checkpoint holds tensors only; "
            "take it from its publisher, or save its state dict alone."
        ) from error


def _damaged(path: Path) -> CheckpointError:
    return CheckpointError(f"{path.name} is damaged, cut short or no checkpoint; {_AGAIN}.")
