"""How fast the renderer draws, against the plain network run as published: eager, float32, source encoded each time."""

import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.runtime.runtime import Runtime, choose
from models.sadtalker.fold import FastRenderer
from models.sadtalker.renderer import Renderer
from models.sadtalker.resize import scaled_picture

_POINTS = 15
_WARM_UPS = 2
"""The first call traces, the next rewrites the graph."""


@dataclass(frozen=True)
class Speed:
    """What one run measured, both renderers in turn with the same threads."""

    threads: int
    device: str
    """"cpu", or the GPU's name."""
    runtime: str
    """The fast renderer's."""
    dtype: str
    size_px: int
    batch: int
    fps: float
    """The fast renderer."""
    ms_per_frame: float
    eager_fp32_fps: float
    """The plain network, which as published encodes the source with every batch."""
    ratio_to_eager_fp32: float
    error_mean: float
    """Between the two pictures, in steps of 255."""
    error_max: float


def measure(
    renderer: Renderer,
    photo: NDArray[np.uint8],
    size_px: int,
    *,
    batch: int,
    threads: int,
    rounds: int,
    runtime: Runtime | None = None,
) -> Speed:
    """Draw the same frames of a photo (h, w, 3) with both, ``rounds`` times in turn, and take each one's best time.

    Both run on the runtime's device (None: the CPU), where the plain one is moved. PyTorch stays set to ``threads``.
    """
    runtime = runtime or choose("scripted", "cpu")
    device = runtime.device
    torch.set_num_threads(threads)
    generator = torch.Generator().manual_seed(1)
    picture = torch.from_numpy(scaled_picture(photo, size_px, size_px))[None].to(device)
    source = torch.rand(1, _POINTS, 3, generator=generator) * 1.2 - 0.6
    driving = source + 0.1 * torch.randn(batch, _POINTS, 3, generator=generator)
    source, driving = source.to(device), driving.to(device)
    fast = FastRenderer(renderer, runtime=runtime)
    features = fast.encode(picture).repeated(batch)
    shown = source.expand(batch, -1, -1)

    def plain() -> Tensor:
        with torch.inference_mode():
            drawn: Tensor = renderer(picture.expand(batch, -1, -1, -1), shown, driving).picture
        return drawn.cpu()  # which waits for a GPU

    def folded() -> Tensor:
        return fast.picture(features, shown, driving).cpu()

    for _ in range(_WARM_UPS):
        folded()
    plain_s, fast_s, error = float("inf"), float("inf"), torch.zeros(1)
    for _ in range(rounds):
        expected, took_s = _timed(plain)
        plain_s = min(plain_s, took_s)
        drawn, took_s = _timed(folded)
        fast_s = min(fast_s, took_s)
        error = ((drawn - expected) * 255).abs()
    return Speed(
        threads=threads,
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        runtime=runtime.name,
        dtype=str(fast.dtype).removeprefix("torch."),
        size_px=size_px,
        batch=batch,
        fps=batch / fast_s,
        ms_per_frame=1000 * fast_s / batch,
        eager_fp32_fps=batch / plain_s,
        ratio_to_eager_fp32=plain_s / fast_s,
        error_mean=float(error.mean()),
        error_max=float(error.max()),
    )


def _timed(draw: Callable[[], Tensor]) -> tuple[Tensor, float]:
    start_s = time.perf_counter()
    drawn = draw()
    return drawn, time.perf_counter() - start_s


def table(speed: Speed) -> str:
    """The figures as lines."""
    return "\n".join(
        (
            f"{speed.device}, {speed.runtime}, {speed.dtype}, threads {speed.threads}",
            f"{speed.size_px} px, batches of {speed.batch}",
            f"plain network, eager float32: {speed.eager_fp32_fps:7.3f} frames a second",
            f"renderer:                     {speed.fps:7.3f} frames a second, {speed.ms_per_frame:.0f} ms a frame",
            f"times faster: {speed.ratio_to_eager_fp32:.2f}",
            f"error, of 255: mean {speed.error_mean:.3f}, max {speed.error_max:.0f}",
        )
    )
