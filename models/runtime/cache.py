"""Where compiled networks are kept, so that a restart need not compile them again."""

import hashlib
import os
from pathlib import Path

from torch import nn


def cache_folder(kind: str) -> Path:
    """The user's folder for one kind of compiled networks (XDG Base Directory Specification 0.8)."""
    cache = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(cache) if cache.startswith("/") else Path.home() / ".cache"
    return home / "visavis" / kind


def weights_hash(network: nn.Module) -> str:
    """16 hexadecimal digits that stand for a network's weights: names, types, shapes and values."""
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        # In a dtype that numpy knows; every value of a narrower one is a value of it.
        digest.update(tensor.detach().cpu().double().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]
