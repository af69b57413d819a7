"""What F and M say of a face, kept on disk, so that an avatar is looked at once and not at every start."""

import hashlib
import os
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from models.aside import written_aside
from models.liveportrait.keypoints import Head
from models.liveportrait.pixels import Picture
from models.liveportrait.weights import Networks

_VERSION = 1


def cache_folder() -> Path:
    """The user's own (XDG Base Directory Specification 0.8)."""
    named = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(named) if named.startswith("/") else Path.home() / ".cache") / "visavis" / "liveportrait"


class SourceCache:
    """Feature volumes and heads by the face crop and the networks that looked at it; 8 MB each at full size.

    Safe to share between processes: files are written aside and renamed, and a damaged one is made again.
    """

    def __init__(self, folder: Path, networks: Networks) -> None:
        self.folder = folder
        self._networks = networks
        self._weights = _fingerprint(networks)

    def look(self, face: Picture) -> tuple[Tensor, Head]:
        """The feature volume (1, c, d, h, w) and the head of a face crop, RGB (side, side, 3)."""
        path = self.folder / f"{self._key(face)}.safetensors"
        try:
            kept = load_file(path)
            return kept.pop("volume"), Head(**kept)
        except (OSError, SafetensorError, KeyError, TypeError):
            volume, head = self._networks.look(face)
        self.folder.mkdir(parents=True, exist_ok=True)
        tensors: dict[str, Tensor] = {"volume": volume, **vars(head)}
        with written_aside(path) as aside:
            save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, aside)
        return volume, head

    def _key(self, face: Picture) -> str:
        digest = hashlib.sha256(f"{_VERSION} {face.shape} {self._weights}".encode())
        digest.update(np.ascontiguousarray(face).tobytes())
        return digest.hexdigest()


def _fingerprint(networks: Networks) -> str:
    """Of what F and M compute: a cache must not outlive the weights it was made with."""
    digest = hashlib.sha256()
    for module in (networks.appearance, networks.motion):
        for key, tensor in sorted(module.state_dict().items()):
            digest.update(key.encode())
            digest.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
