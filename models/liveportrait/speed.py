"""How fast LivePortrait's networks run here, against what this machine's matrix products allow."""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from models.liveportrait.animator import Animator
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.pixels import Picture, to_input, to_pictures
from models.liveportrait.weights import Architecture, Networks

_PEAK_SIDE = 1024
_PEAK_CALLS = 5


@dataclass(frozen=True)
class ModuleSpeed:
    """One network, a call of one face."""

    ms: float
    """Eager float32; the better of the calls."""
    gflop: float
    floor_ms: float
    """What its multiplications take at the speed of a float32 matrix product, measured in the same run."""


@dataclass(frozen=True)
class Speed:
    """What one run measured; every figure with the same threads."""

    width: float
    threads: int
    dtype: str
    load_average: tuple[float, float, float]
    peak_gflops: dict[str, float]
    """Of a matrix product, by type of number."""
    modules: dict[str, ModuleSpeed]
    """F, M, W, G and S."""
    fps: float
    """W and G as the animator runs them."""
    ms_per_frame: float
    floor_ms: float
    """Of W and G's published multiplications at the animator's type of number."""
    eager_fp32_fps: float
    """W and G plain."""
    ratio_to_eager_fp32: float
    error_mean: float
    """Of the animator's pixels against the plain networks', in steps of 255."""
    error_max: float


@torch.inference_mode()
def measure(
    networks: Networks, architecture: Architecture, photo: Picture, threads: int = 1, calls: int = 3, side: int = 256
) -> Speed:
    """Time every network, plain, and W with G fast, the two in turns. PyTorch stays set to ``threads``.

    Args:
        networks: plain ones.
        architecture: theirs.
        photo: what is drawn, (h, w, 3). In noise the least error of a motion would be an error of the picture.
        threads: of PyTorch.
        calls: timed ones of each.
        side: of the face crop, px; 256 as published.
    """
    torch.set_num_threads(threads)
    animator = Animator(networks, side=side // 4)
    generator = torch.Generator().manual_seed(0)
    face = to_input(np.asarray(cv2.resize(photo, (side, side), interpolation=cv2.INTER_AREA), np.uint8)[None])
    kp_source = torch.rand(1, KEYPOINTS, 3, generator=generator) - 0.5
    kp_driving = kp_source + 0.05 * torch.randn(1, KEYPOINTS, 3, generator=generator)
    seconds, results = _first_calls(networks, face, kp_source, kp_driving)
    volume, warped = results["F"], results["W"]
    fast: Callable[[], Picture] = partial(animator.animate, volume, kp_source, kp_driving)
    fast_s = float("inf")
    for _ in range(calls):
        seconds["W"] = min(seconds["W"], _seconds(partial(networks.warping, volume, kp_source, kp_driving)))
        seconds["G"] = min(seconds["G"], _seconds(partial(networks.generator, warped)))
        fast_s = min(fast_s, _seconds(fast))
    peaks = {str(t).removeprefix("torch."): _peak_gflops(t) for t in {torch.float32, animator.dtype}}
    dtype = str(animator.dtype).removeprefix("torch.")
    gflop = gflops(architecture, side)
    modules = {
        name: ModuleSpeed(1000 * seconds[name], gflop[name], 1000 * gflop[name] / peaks["float32"]) for name in gflop
    }
    error = np.abs(fast().astype(np.float64) - to_pictures(results["G"]))
    eager_s = seconds["W"] + seconds["G"]
    return Speed(
        width=architecture.width,
        threads=torch.get_num_threads(),
        dtype=dtype,
        load_average=os.getloadavg(),
        peak_gflops=peaks,
        modules=modules,
        fps=1 / fast_s,
        ms_per_frame=1000 * fast_s,
        floor_ms=1000 * (gflop["W"] + gflop["G"]) / peaks[dtype],
        eager_fp32_fps=1 / eager_s,
        ratio_to_eager_fp32=eager_s / fast_s,
        error_mean=float(error.mean()),
        error_max=float(error.max()),
    )


def gflops(architecture: Architecture, side: int = 256) -> dict[str, float]:
    """Billions of multiplications and additions of each network for one face, counted without running them."""
    with torch.device("meta"):
        networks = Networks.build(architecture)
        counted = {}
        face, kp = torch.zeros(1, 3, side, side), torch.zeros(1, KEYPOINTS, 3)
        volume = networks.appearance(face)
        warped = networks.warping(volume, kp, kp)
        calls: dict[str, Callable[[], object]] = {
            "F": partial(networks.appearance, face),
            "M": partial(networks.motion, face),
            "W": partial(networks.warping, volume, kp, kp),
            "G": partial(networks.generator, warped),
            "S": partial(networks.retargeting.stitch, kp, kp),
        }
        for name, call in calls.items():
            with FlopCounterMode(display=False) as counter:
                call()
            counted[name] = counter.get_total_flops() / 1e9
    return counted


def _first_calls(
    networks: Networks, face: torch.Tensor, kp_source: torch.Tensor, kp_driving: torch.Tensor
) -> tuple[dict[str, float], dict[str, torch.Tensor]]:
    """Seconds and results of one call of each; F, M and S are not called again, unless they are quick."""
    results: dict[str, torch.Tensor] = {"F": networks.appearance(face)}
    seconds = {
        "F": _seconds(partial(networks.appearance, face)),
        "M": min(_seconds(partial(networks.motion, face)) for _ in range(3)),
        "S": min(_seconds(partial(networks.retargeting.stitch, kp_source, kp_driving)) for _ in range(5)),
    }
    start_s = time.perf_counter()
    results["W"] = networks.warping(results["F"], kp_source, kp_driving)
    seconds["W"] = time.perf_counter() - start_s
    start_s = time.perf_counter()
    results["G"] = networks.generator(results["W"])
    seconds["G"] = time.perf_counter() - start_s
    return seconds, results


def _seconds(call: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    call()
    return time.perf_counter() - start_s


def _peak_gflops(dtype: torch.dtype) -> float:
    matrix = torch.ones(_PEAK_SIDE, _PEAK_SIDE, dtype=dtype)
    best_s = min(_seconds(lambda: matrix @ matrix) for _ in range(_PEAK_CALLS))
    return 2 * _PEAK_SIDE**3 / best_s / 1e9


def table(speed: Speed) -> str:
    """The figures as lines."""
    peaks = ", ".join(f"{name} {gflops:.0f}" for name, gflops in speed.peak_gflops.items())
    load = ", ".join(f"{value:.2f}" for value in speed.load_average)
    lines = [
        f"width {speed.width:g}, threads {speed.threads}, load average {load}",
        f"matrix product, GFLOP/s: {peaks}",
    ]
    lines += [
        f"{name}, eager float32: {module.ms:8.1f} ms; floor {module.floor_ms:8.2f} ms for {module.gflop:.4g} GFLOP"
        for name, module in speed.modules.items()
    ]
    lines.append(f"W + G, eager float32: {speed.eager_fp32_fps:.3g} frames a second")
    lines.append(
        f"W + G, fast, {speed.dtype}: {speed.fps:.3g} frames a second, {speed.ms_per_frame:.1f} ms a frame; "
        f"floor {speed.floor_ms:.1f} ms"
    )
    lines.append(f"times faster: {speed.ratio_to_eager_fp32:.2f}")
    lines.append(f"error of the pixels, of 255: mean {speed.error_mean:.3f}, max {speed.error_max:.0f}")
    return "\n".join(lines)
