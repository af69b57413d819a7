"""How fast this engine draws on this machine, at the published width."""

from typing import Any

import torch

from models.liveportrait.animator import Animator
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.stand_in import stand_in
from models.liveportrait.weights import Architecture
from models.machine_figures import best_ms
from models.runtime.runtime import choose


def measure(architecture: Architecture | None = None, side: int = 256) -> dict[str, Any]:
    """Random weights, as the fields of ``machine_figures.Figure``; ``side`` of the face crop, px."""
    architecture = architecture or Architecture()
    networks = stand_in(architecture)
    animator = Animator(networks, side=side // 4, runtime=choose("eager"))
    kp = torch.linspace(-0.5, 0.5, KEYPOINTS)[None, :, None].expand(1, -1, 3)
    with torch.inference_mode():
        volume = networks.appearance(torch.rand(1, 3, side, side))
    drawn = animator.animate(volume, kp, 0.9 * kp)
    return {
        "engine": "liveportrait",
        "title": "LivePortrait, the published width",
        "moves_head": True,
        "random_weights": True,
        "side_px": drawn.shape[1],
        "ms_per_frame": best_ms(lambda: animator.animate(volume, kp, 0.9 * kp), 0),
    }
