"""How fast this engine draws on this machine, with the pulled weights or random ones of the published width."""

from typing import Any

import torch

from models.liveportrait.animator import Animator
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.stand_in import stand_in
from models.liveportrait.weights import Architecture, load_networks
from models.machine_figures import best_ms
from models.runtime.runtime import choose
from models.store import pulled


def measure(architecture: Architecture | None = None, side: int = 256) -> dict[str, Any]:
    """As the fields of ``machine_figures.Figure``.

    Args:
        architecture: of random weights; None takes the pulled weights, or where there are none the published width.
        side: of the face crop, px.

    Raises:
        CheckpointError: the pulled weights are damaged.
    """
    weights = pulled("liveportrait") if architecture is None else None
    networks = stand_in(architecture) if weights is None else load_networks(weights)
    animator = Animator(networks, side=side // 4, runtime=choose("eager"))
    kp = torch.linspace(-0.5, 0.5, KEYPOINTS)[None, :, None].expand(1, -1, 3)
    with torch.inference_mode():
        volume = networks.appearance(torch.rand(1, 3, side, side))
    drawn = animator.animate(volume, kp, 0.9 * kp)
    return {
        "engine": "liveportrait",
        "title": "LivePortrait",
        "moves_head": True,
        "random_weights": weights is None,
        "side_px": drawn.shape[1],
        "ms_per_frame": best_ms(lambda: animator.animate(volume, kp, 0.9 * kp), 0),
    }
