"""Pictures as numbers, and numbers as pictures."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.uint8]
"""RGB, (h, w, 3), or several, (n, h, w, 3)."""


def to_input(pictures: Picture) -> Tensor:
    """RGB pictures (n, h, w, 3) -> (n, 3, h, w) float32 in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255


def to_pictures(drawn: Tensor) -> Picture:
    """(n, 3, h, w) in [0, 1] -> RGB pictures (n, h, w, 3), truncated as published."""
    pixels = (drawn.float() * 255).clamp(0, 255).to(torch.uint8)
    return np.ascontiguousarray(pixels.permute(0, 2, 3, 1).cpu().numpy())
