"""How fast the live engine draws, against the plain network run as published: eager, float32, batches of eight."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import N_MELS
from models.avatar import Avatar
from models.engine import RenderRequest
from models.runtime.runtime import Runtime, choose
from models.timebase import SAMPLES_PER_FRAME
from models.wav2lip.engine import Wav2LipEngine
from models.wav2lip.network import Generator
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.region import Rect
from models.wav2lip.weights import GeneratorInfo

BATCHES = (1, 4, 8)
CHAPTER_BATCH = 5
"""Frames of the shape that published figures are given for: a batch of one sequence of five."""
_PLAIN_BATCH = 8
_WARM_UPS = 3
_ROUNDS = 5


@dataclass(frozen=True)
class Speed:
    """What one run measured; every figure with the same threads and in the same minute."""

    threads: int
    dtype: str
    device: str
    runtime: str
    """What was used, which need not be what was asked for."""
    plain_fps: float
    """The plain network: eager, float32, batches of eight, on the same device."""
    fps: dict[int, float]
    """The engine, by batch size."""
    chapter_fps: float
    """The engine, in the shape 1 x 5: five frames of one session."""
    chapter_plain_fps: float
    """The plain network in that shape."""
    rss_mb: float
    """Memory of this process at the end, both networks included."""
    gpu_mb: float | None
    """Most GPU memory that PyTorch held; None on a CPU."""
    error_mean: float
    """Of the pasted pixels against the plain network's, in steps of 255."""
    error_max: float

    @property
    def times_faster(self) -> float:
        """The engine's best rate over the plain network's."""
        return max(self.fps.values()) / self.plain_fps

    def figures(self) -> dict[str, Any]:
        """For machines to read: everything, and the usual keys for the best batch size."""
        best = max(self.fps.values())
        return {
            "fps": best,
            "ms_per_frame": 1000 / best,
            "eager_fp32_fps": self.plain_fps,
            "ratio_to_eager_fp32": self.times_faster,
            "error_mean": self.error_mean,
            "error_max": self.error_max,
            "batches": {
                str(count): {"fps": fps, "ms_per_frame": 1000 / fps, "ratio_to_eager_fp32": fps / self.plain_fps}
                for count, fps in self.fps.items()
            },
            "chapter_shape": {
                "batch": 1,
                "frames": CHAPTER_BATCH,
                "fps": self.chapter_fps,
                "ms_per_frame": 1000 / self.chapter_fps,
                "eager_fp32_fps": self.chapter_plain_fps,
                "ratio_to_eager_fp32": self.chapter_fps / self.chapter_plain_fps,
            },
            **{key: getattr(self, key) for key in ("threads", "dtype", "device", "runtime", "rss_mb", "gpu_mb")},
        }


def synthetic(info: GeneratorInfo, seed: int = 1) -> Generator:
    """A generator of random weights whose norms have seen random faces, so that its activations are alive."""
    torch.manual_seed(seed)
    generator = info.build().train()
    with torch.no_grad():
        for _ in range(8):
            generator(torch.rand(4, 1, N_MELS, WINDOW_COLUMNS) * 8 - 4, torch.rand(4, 6, info.size, info.size))
    return generator.eval()


def measure(
    generator: Generator,
    info: GeneratorInfo,
    avatar: Avatar,
    threads: int = 1,
    seconds: float = 20.0,
    batches: Sequence[int] = BATCHES,
    runtime: Runtime | None = None,
) -> Speed:
    """Time both networks in turn for about ``seconds``. PyTorch stays set to ``threads``."""
    torch.set_num_threads(threads)
    runtime = runtime or choose()
    device = runtime.device
    engine = Wav2LipEngine(generator, info, runtime=runtime)
    generator = generator.to(device)
    prepared = engine.prepare(avatar)
    rng = np.random.default_rng(0)
    mels = rng.uniform(-4, 4, (max(*batches, _PLAIN_BATCH), N_MELS, WINDOW_COLUMNS)).astype(np.float32)
    sound = np.zeros(SAMPLES_PER_FRAME, np.float32)
    requests = [RenderRequest(prepared, None, 7 * i % len(avatar), mel, sound) for i, mel in enumerate(mels)]
    faces = _faces(avatar, [request.avatar_frame for request in requests], info)

    def plain(count: int) -> torch.Tensor:
        with torch.inference_mode():
            mel, face = torch.from_numpy(mels[:count, None]), faces[:count]
            return cast(torch.Tensor, generator(mel.to(device), face.to(device))).cpu()

    sizes = sorted({*batches, CHAPTER_BATCH})
    runs: dict[int, Callable[[], object]] = {-count: partial(plain, count) for count in (CHAPTER_BATCH, _PLAIN_BATCH)}
    runs |= {count: lambda count=count: engine.render(requests[:count]) for count in sizes}  # type: ignore[misc]
    times = _best_times(runs, seconds)
    error = _error(engine.render(requests[:_PLAIN_BATCH]), plain(_PLAIN_BATCH), prepared.cutout.drawn, info)
    return Speed(
        threads=torch.get_num_threads(),
        dtype=str(engine.dtype).removeprefix("torch."),
        device=torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu",
        runtime=runtime.name,
        plain_fps=_PLAIN_BATCH / times[-_PLAIN_BATCH],
        fps={count: count / times[count] for count in sorted(set(batches))},
        chapter_fps=CHAPTER_BATCH / times[CHAPTER_BATCH],
        chapter_plain_fps=CHAPTER_BATCH / times[-CHAPTER_BATCH],
        rss_mb=psutil.Process().memory_info().rss / 2**20,
        gpu_mb=torch.cuda.max_memory_allocated(device) / 2**20 if device.type == "cuda" else None,
        error_mean=float(error.mean()),
        error_max=float(error.max()),
    )


def _faces(avatar: Avatar, frames: Sequence[int], info: GeneratorInfo) -> torch.Tensor:
    crops = np.stack([scaled_crop(avatar.crop_rgb(frame), info.size) for frame in frames])
    if info.colour == "bgr":
        crops = np.ascontiguousarray(crops[..., ::-1])
    whole = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
    masked = whole.clone()
    masked[:, :, info.size // 2 :] = 0
    return torch.cat((masked, whole), dim=1)


def _best_times(runs: dict[int, Callable[[], object]], seconds: float) -> dict[int, float]:
    """Median seconds of a call in the best of several rounds, each round one after the other: paired."""
    for run in runs.values():
        for _ in range(_WARM_UPS):
            run()
    best = dict.fromkeys(runs, float("inf"))
    for _ in range(_ROUNDS):
        for key, run in runs.items():
            times: list[float] = []
            until_s = time.perf_counter() + seconds / _ROUNDS / len(runs)
            while len(times) < 3 or time.perf_counter() < until_s:
                start_s = time.perf_counter()
                run()
                times.append(time.perf_counter() - start_s)
            best[key] = min(best[key], float(np.median(times)))
    return best


def _error(drawn: list[NDArray[np.uint8]], plain: torch.Tensor, part: Rect, info: GeneratorInfo) -> NDArray[np.float64]:
    """Absolute differences of the part that is pasted, in steps of 255."""
    rows, columns = (slice(span.start, span.stop) for span in (part.rows, part.columns))
    expected = (plain.permute(0, 2, 3, 1) * 255).round().numpy().astype(np.float64)
    if info.colour == "bgr":
        expected = expected[..., ::-1]
    return np.abs(np.stack(drawn).astype(np.float64) - expected)[:, rows, columns]


def table(speed: Speed) -> str:
    """The figures as lines."""
    lines = [f"{speed.device}, {speed.runtime}, {speed.dtype}, threads {speed.threads}"]
    lines.append(f"plain network, eager float32, batches of {_PLAIN_BATCH}: {speed.plain_fps:7.1f} frames a second")
    lines += [
        f"engine, batches of {count}: {fps:7.1f} frames a second, {1000 / fps:6.2f} ms a frame"
        for count, fps in speed.fps.items()
    ]
    lines.append(
        f"batch 1 x {CHAPTER_BATCH} frames: {speed.chapter_fps:7.1f} frames a second, "
        f"{1000 / speed.chapter_fps:6.2f} ms a frame; plain {speed.chapter_plain_fps:.1f}"
    )
    lines.append(f"times faster: {speed.times_faster:.2f}")
    lines.append(f"error of the pasted pixels, of 255: mean {speed.error_mean:.3f}, max {speed.error_max:.0f}")
    gpu = "" if speed.gpu_mb is None else f", on the GPU {speed.gpu_mb:.0f} MB"
    lines.append(f"memory: {speed.rss_mb:.0f} MB{gpu}")
    return "\n".join(lines)
