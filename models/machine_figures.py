"""How fast each engine draws on this machine, measured once and kept: what recommendations are made of."""

import json
import os
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from models.aside import written_aside
from models.checkpoints import CHECKPOINTS
from models.errors import MediaError
from models.store import Store

_FORMAT = 3
_HIGH_LOAD = 0.25
"""Load average a core from which other programs take a part of it that tells."""


@dataclass(frozen=True)
class Figure:
    """What was measured of one engine."""

    engine: str
    title: str
    moves_head: bool
    """False where it redraws the mouth alone."""
    random_weights: bool
    """Random ones of the published size, for the published ones are not here."""
    side_px: int
    """Of the square it draws."""
    ms_per_frame: float
    """One frame, one session, on all cores (or on the GPU, where the engine uses one)."""
    load_average: float = 0.0
    """Of the machine, over a minute, before anything was measured."""

    @property
    def fps(self) -> float:
        """Frames a second."""
        return 1000 / self.ms_per_frame


Figures = tuple[Figure, ...]


def loaded(figures: Figures) -> float | None:
    """The load average at which figures were measured, if so high that they are too slow; else None."""
    load = max((figure.load_average for figure in figures), default=0.0)
    return load if load > _HIGH_LOAD * (os.cpu_count() or 1) else None


_MEASURES: tuple[tuple[str, str], ...] = (
    ("models.wav2lip.figure", "measure"),
    ("models.liveportrait.figure", "measure"),
    ("models.sadtalker.figure", "measure"),
)
"""Module and function: what says of its engine how fast it draws here, as the keyword arguments of ``Figure``."""


def machine() -> dict[str, Any]:
    """What the figures hold for: processor, cores, GPU, the versions that drew, and the weights there were."""
    store = Store()
    return {
        "format": _FORMAT,
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "visavis": version("visavis"),
        "torch": str(torch.__version__),
        "pulled": [checkpoint.name for checkpoint in CHECKPOINTS.values() if store.holds(checkpoint)],
    }


def measure(say: Callable[[str], None]) -> Figures:
    """Measure every engine, some seconds each. PyTorch's number of threads is as before afterwards."""
    threads, load_average = torch.get_num_threads(), os.getloadavg()[0]
    torch.set_num_threads(os.cpu_count() or 1)
    try:
        figures = []
        for module, function in _MEASURES:
            say(f"Measuring {module.split('.')[1]} ...")
            call: Callable[[], Mapping[str, Any]] = getattr(import_module(module), function)
            figures.append(Figure(**call(), load_average=load_average))
        return tuple(figures)
    finally:
        torch.set_num_threads(threads)


def best_ms(call: Callable[[], object], seconds: float, least: int = 1) -> float:
    """The quickest call, ms, of those that fit into ``seconds``, and of ``least`` at least."""
    best_s, begin_s, calls = float("inf"), time.perf_counter(), 0
    while calls < least or time.perf_counter() - begin_s < seconds:
        start_s = time.perf_counter()
        call()
        best_s = min(best_s, time.perf_counter() - start_s)
        calls += 1
    return 1000 * best_s


def save(path: Path, figures: Figures) -> None:
    """Keep figures.

    Raises:
        MediaError: the file cannot be written.
    """
    content = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(path) as aside:
            aside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error.strerror}; check the folder and the space left.") from error


def load(path: Path) -> Figures | None:
    """Figures kept of this machine and these versions; None where there are none, or the file is damaged."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["machine"] != machine():
            return None
        return tuple(Figure(**entry) for entry in content["figures"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _processor() -> str:
    """The processor's name, as Linux tells it, or what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())
