"""How fast the live engine draws, against the plain network run as published: eager, float32, batches of eight."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray

from models.audio.mel import N_MELS
from models.avatar import Avatar
from models.engine import RenderRequest
from models.timebase import SAMPLES_PER_FRAME
from models.wav2lip.engine import Wav2LipEngine
from models.wav2lip.network import Generator
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.region import Rect
from models.wav2lip.weights import GeneratorInfo
from models.wav2lip.windows import WINDOW_COLUMNS

BATCHES = (1, 4, 8)
_PLAIN_BATCH = 8
_WARM_UPS = 3
_ROUNDS = 5


@dataclass(frozen=True)
class Speed:
    """What one run measured; every figure with the same threads and in the same minute."""

    threads: int
    dtype: str
    plain_fps: float
    """The plain network: eager, float32, batches of eight."""
    fps: dict[int, float]
    """The engine, by batch size."""
    error_mean: float
    """Of the pasted pixels against the plain network's, in steps of 255."""
    error_max: float

    @property
    def times_faster(self) -> float:
        """The engine's best rate over the plain network's."""
        return max(self.fps.values()) / self.plain_fps


def synthetic(info: GeneratorInfo, seed: int = 1) -> Generator:
    """A generator of random weights whose norms have seen random faces, so that its activations are alive."""
    torch.manual_seed(seed)
    generator = info.build().train()
    with torch.no_grad():
        for _ in range(8):
            generator(torch.rand(4, 1, N_MELS, WINDOW_COLUMNS) * 8 - 4, torch.rand(4, 6, info.size, info.size))
    return generator.eval()


def measure(
    generator: Generator, info: GeneratorInfo, avatar: Avatar, threads: int = 1, seconds: float = 20.0
) -> Speed:
    """Time both networks in turn for about ``seconds``. PyTorch stays set to ``threads``."""
    torch.set_num_threads(threads)
    engine = Wav2LipEngine(generator, info)
    prepared = engine.prepare(avatar)
    rng = np.random.default_rng(0)
    mels = rng.uniform(-4, 4, (max(BATCHES), N_MELS, WINDOW_COLUMNS)).astype(np.float32)
    sound = np.zeros(SAMPLES_PER_FRAME, np.float32)
    requests = [RenderRequest(prepared, None, 7 * i % len(avatar), mel, sound) for i, mel in enumerate(mels)]
    faces = _faces(avatar, [request.avatar_frame for request in requests], info)

    def plain() -> torch.Tensor:
        with torch.inference_mode():
            return cast(torch.Tensor, generator(torch.from_numpy(mels[:_PLAIN_BATCH, None]), faces[:_PLAIN_BATCH]))

    runs: dict[int, Callable[[], object]] = {0: plain}
    runs |= {count: lambda count=count: engine.render(requests[:count]) for count in BATCHES}  # type: ignore[misc]
    times = _best_times(runs, seconds)
    error = _error(engine.render(requests[:_PLAIN_BATCH]), plain(), prepared.cutout.drawn, info)
    return Speed(
        threads=torch.get_num_threads(),
        dtype=str(engine.dtype).removeprefix("torch."),
        plain_fps=_PLAIN_BATCH / times[0],
        fps={count: count / times[count] for count in BATCHES},
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
    lines = [f"threads {speed.threads}, {speed.dtype}"]
    lines.append(f"plain network, eager float32, batches of {_PLAIN_BATCH}: {speed.plain_fps:7.1f} frames a second")
    lines += [
        f"engine, batches of {count}: {fps:7.1f} frames a second, {1000 / fps:6.2f} ms a frame"
        for count, fps in speed.fps.items()
    ]
    lines.append(f"times faster: {speed.times_faster:.2f}")
    lines.append(f"error of the pasted pixels, of 255: mean {speed.error_mean:.3f}, max {speed.error_max:.0f}")
    return "\n".join(lines)
