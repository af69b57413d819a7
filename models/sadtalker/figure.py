"""How fast this engine's renderer draws on this machine, at the published width."""

from typing import Any

import torch

from models.machine_figures import best_ms
from models.sadtalker.renderer import Renderer

_KEYPOINTS = 15


@torch.inference_mode()
def measure(width: float = 1.0, side: int = 256) -> dict[str, Any]:
    """Random weights, as the fields of ``machine_figures.Figure``; ``side`` of the picture, px."""
    renderer = Renderer(width).eval()
    picture, kp = torch.rand(1, 3, side, side), torch.rand(1, _KEYPOINTS, 3) - 0.5
    features = renderer.encode(picture)
    return {
        "engine": "sadtalker",
        "title": "SadTalker, the published width",
        "moves_head": True,
        "random_weights": True,
        "side_px": side,
        "ms_per_frame": best_ms(lambda: renderer.draw(features, kp, 0.9 * kp), 0),
    }
