"""Goldens on disk, and the report of how near our numbers come to them."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from tests.parity.fill import fill

Array = np.ndarray | torch.Tensor


@dataclass
class Report:
    """One line an array; ``failures`` counts those over their tolerance, missing or not compared."""

    failures: int = 0
    checks: int = 0
    lines: list[str] = field(default_factory=list)

    def line(self, name: str, error: float, tolerance: float, note: str = "") -> None:
        passed = bool(error <= tolerance)  # False for NaN
        self.checks += 1
        self.failures += not passed
        verdict = "ok  " if passed else "FAIL"
        self._say(f"{verdict} {name:64s} error {error:9.3g}  tolerance {tolerance:9.3g}{note}")

    def fail(self, name: str, reason: str) -> None:
        self.checks += 1
        self.failures += 1
        self._say(f"FAIL {name:64s} {reason}")

    def _say(self, text: str) -> None:
        self.lines.append(text)
        print(text, flush=True)


def _numpy(array: Array) -> np.ndarray:
    return array.detach().numpy() if isinstance(array, torch.Tensor) else np.asarray(array)


def _stats(array: np.ndarray) -> np.ndarray:
    x = array.astype(np.float64)
    return np.array([x.mean(), x.std(), np.sqrt((x * x).sum()), x.min(), x.max()])


class GoldenFile:
    """One npz. Every array in it must be compared (or read as an input): ``close`` fails for the rest."""

    def __init__(self, path: Path, report: Report) -> None:
        self._path, self._report = path, report
        with np.load(path) as arrays:
            self._arrays = {name: arrays[name] for name in arrays.files}
        self._unread = set(self._arrays)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def names(self, prefix: str = "") -> list[str]:
        """Names of the arrays, without the stats and shapes that go with them."""
        return [n for n in self._arrays if n.startswith(prefix) and not n.endswith(("__stats", "__shape"))]

    def input(self, name: str) -> np.ndarray:
        """An array that is an input, not a result."""
        self._unread -= {name, f"{name}__stats", f"{name}__shape"}
        return self._arrays[name]

    def check(self, name: str, actual: Array, relative: float = 0.0, absolute: float = 0.0, step: Any = (...,)) -> None:
        """Compare ``actual[step]`` with the array, and all of ``actual`` with its statistics.

        ``relative`` is a share of the golden's peak.
        """
        label = f"{self._path.stem}/{name}"
        value = _numpy(actual)
        if name not in self._arrays:
            self._report.fail(label, "is not in the goldens")
            return
        expected = np.atleast_1d(self.input(name))
        shown = np.atleast_1d(value[step])
        if shown.shape != expected.shape:
            self._report.fail(label, f"has shape {shown.shape}, expected {expected.shape}")
            return
        difference = np.abs(shown.astype(np.float64) - expected.astype(np.float64))
        tolerance = max(absolute, relative * float(np.abs(expected).max(initial=0)))
        self._report.line(label, float(difference.max(initial=0)), tolerance)
        if f"{name}__shape" in self._arrays and tuple(self._arrays[f"{name}__shape"]) != value.shape:
            self._report.fail(label, f"is of shape {value.shape}, not {tuple(self._arrays[f'{name}__shape'])}")
        if f"{name}__stats" in self._arrays:
            self.check_stats(name, value, relative, absolute)

    def check_stats(self, name: str, actual: Array, relative: float = 0.0, absolute: float = 0.0) -> None:
        """Compare mean, deviation, norm, least and largest value with ``name__stats``.

        The norm's error is taken relative to the norm, the others' relative to the peak.
        """
        key = f"{name}__stats"
        if key not in self._arrays:
            self._report.fail(f"{self._path.stem}/{key}", "is not in the goldens")
            return
        self._unread.discard(key)
        expected, value = self._arrays[key], _stats(_numpy(actual))
        peak = max(abs(expected[3]), abs(expected[4]))
        scale = np.array([peak, peak, max(abs(expected[2]), peak), peak, peak])
        floor = absolute * np.array([1, 1, np.sqrt(_numpy(actual).size), 1, 1])
        excess = np.abs(value - expected) / np.maximum(np.maximum(relative * scale, floor), 1e-300)
        self._report.line(f"{self._path.stem}/{key}", float(excess.max()), 1.0, "  (in tolerances)")

    def check_strided(self, name: str, actual: Array, absolute: float) -> None:
        """Compare with ``name``, or ``name@2,4`` (every second, every fourth), and with ``name#stat``.

        The statistics are mean, standard deviation, norm and largest magnitude; of pictures, the first two.
        """
        value = _numpy(actual)
        goldens = [golden for golden in self._arrays if re.split("[@#]", golden)[0] == name]
        if not goldens:
            self._report.fail(f"{self._path.stem}/{name}", "is not in the goldens")
        for golden in goldens:
            if golden.endswith("#stat"):
                self._check_statistics(golden, value, absolute)
                continue
            strides = [int(stride) for stride in golden.partition("@")[2].split(",") if stride]
            self.check(golden, value, absolute=absolute, step=tuple(slice(None, None, n) for n in strides) or (...,))

    def _check_statistics(self, golden: str, value: np.ndarray, absolute: float) -> None:
        x = value.astype(np.float64)
        statistics = np.array([x.mean(), x.std(), np.sqrt((x * x).sum() / x.size), np.abs(x).max()])
        expected = self.input(golden).copy()
        if len(expected) > 2:
            expected[2] /= np.sqrt(x.size)  # a norm grows with the size, and its error too
        label = f"{self._path.stem}/{golden}"
        self._report.line(label, float(np.abs(statistics[: len(expected)] - expected).max()), absolute)

    def check_steps(self, name: str, actual: np.ndarray, steps: int) -> None:
        """uint8 pictures, strided by name: at most so many steps off."""
        if actual.dtype != np.uint8:
            self._report.fail(f"{self._path.stem}/{name}", f"is {actual.dtype}, expected uint8")
        else:
            self.check_strided(name, actual, steps)

    def check_picture(self, name: str, actual: np.ndarray) -> None:
        """uint8 pictures: at most one step off, on under 1 % of the values."""
        label = f"{self._path.stem}/{name}"
        expected = self.input(name)
        if actual.dtype != np.uint8 or actual.shape != expected.shape:
            self._report.fail(label, f"is {actual.dtype} {actual.shape}, expected uint8 {expected.shape}")
            return
        difference = np.abs(actual.astype(int) - expected.astype(int))
        self._report.line(label, float(difference.max()), 1.0, "  (steps)")
        self._report.line(label, float((difference > 0).mean()), 0.01, "  (share of values)")

    def check_exact(self, name: str, actual: Array) -> None:
        """Equal in every value and in shape."""
        expected, value = self.input(name), _numpy(actual)
        if value.shape != expected.shape:
            self._report.fail(f"{self._path.stem}/{name}", f"has shape {value.shape}, not {expected.shape}")
        else:
            self._report.line(f"{self._path.stem}/{name}", float(np.abs(value - expected).max(initial=0)), 0.0)

    def note(self, name: str, error: float, tolerance: float) -> None:
        """A line of the caller's own reckoning."""
        self._report.line(f"{self._path.stem}/{name}", error, tolerance)

    def close(self) -> None:
        for name in sorted(self._unread):
            self._report.fail(f"{self._path.stem}/{name}", "was not compared")


class GoldenFolder:
    """A kit's folder: seed, manifest, and its npz files."""

    def __init__(self, folder: Path, report: Report) -> None:
        self.folder, self.report = folder, report
        self.seed = int(json.loads((folder / "seed.json").read_text())["seed"])
        self.manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())

    def load(self, module: torch.nn.Module, entries: list[list[Any]]) -> torch.nn.Module:
        """Fill ``module`` by the manifest's entries, strictly, and put it in eval mode."""
        module.load_state_dict(fill(entries, self.seed), strict=True)
        return module.eval()

    def files(self) -> list[str]:
        return sorted(path.stem for path in self.folder.glob("*.npz"))

    def open(self, stem: str) -> GoldenFile:
        return GoldenFile(self.folder / f"{stem}.npz", self.report)
