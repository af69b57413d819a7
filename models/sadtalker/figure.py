"""How fast this engine's renderer draws here, with the pulled weights or random ones of the published width."""

from typing import Any

import torch

from models.machine_figures import best_ms
from models.runtime.runtime import choose
from models.sadtalker.fold import FastRenderer
from models.sadtalker.renderer import Renderer
from models.sadtalker.weights import NETWORK_FILES, load_networks
from models.store import pulled

_KEYPOINTS = 15


@torch.inference_mode()
def measure(width: float | None = None, side: int = 256) -> dict[str, Any]:
    """As the fields of ``machine_figures.Figure``.

    Args:
        width: of random weights; None takes the pulled weights, or where there are none the published width.
        side: of the picture, px.

    Raises:
        CheckpointError: the pulled weights are damaged.
    """
    weights = pulled("sadtalker") if width is None else None
    plain = Renderer(width or 1.0).eval() if weights is None else load_networks(weights / NETWORK_FILES[side]).renderer
    runtime = choose("auto", "auto")
    renderer = FastRenderer(plain, runtime=runtime)
    picture = torch.rand(1, 3, side, side, device=runtime.device)
    kp = torch.rand(1, _KEYPOINTS, 3, device=runtime.device) - 0.5
    features = renderer.encode(picture)

    def draw() -> None:
        renderer.picture(features, kp, 0.9 * kp).cpu()  # which waits for a GPU

    draw()  # the first call traces
    return {
        "engine": "sadtalker",
        "title": "SadTalker",
        "moves_head": True,
        "random_weights": weights is None,
        "side_px": side,
        "ms_per_frame": best_ms(draw, 0, least=2),
    }
