"""The report's curves and bars, and a recording's curve, as PNG."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from models.errors import MediaError
from models.quality.measures import Curve
from models.quality.report import CLEAN, LOSSY
from models.quality.trial import Trial
from models.timebase import FRAMES_PER_SECOND

_SHOWN_S = 10.0


def plot_report(path: Path, report: Mapping[str, Any], trial: Trial) -> None:
    """Opening by label, render and engine over the first seconds, and each voice's figures as bars.

    Raises:
        MediaError: the file cannot be written.
    """
    figure = Figure(figsize=(13, 8), layout="constrained")
    curves, voices = figure.subplots(2, 1)
    shown = min(len(trial.label_mm), int(_SHOWN_S * FRAMES_PER_SECOND))
    times_s = (np.arange(shown) + 0.5) / FRAMES_PER_SECOND
    curves.plot(times_s, trial.label_mm[:shown], label="label (mesh)", color="0.6", linewidth=4)
    curves.plot(times_s, trial.render.opening_mm[:shown], label="render (picture)", color="tab:blue")
    curves.plot(times_s, trial.drawn[CLEAN].opening_mm[:shown], label="engine (picture)", color="tab:red")
    curves.plot(
        times_s, trial.drawn[LOSSY].opening_mm[:shown], label="engine, Opus and loss", color="tab:red", linestyle=":"
    )
    for time_s in trial.speech.closures_s:
        if time_s < _SHOWN_S:
            curves.axvline(time_s, color="tab:green", alpha=0.4, linewidth=1)
    curves.axhline(report["gauge_shut_below_mm"], color="tab:green", linestyle="--", linewidth=1, label="shut below")
    curves.set(xlabel="s (green: labelled M, B, P)", ylabel="opening, mm", title=f"Mouth of {report['avatar']}")
    curves.legend(loc="upper right", ncols=5)
    _voice_bars(voices, report)
    save(figure, path)


def _voice_bars(axes: Any, report: Mapping[str, Any]) -> None:
    rows = report["voices"]
    shown = (
        ("mouth_correlation", "correlation"),
        ("closure_recall", "M, B, P shut"),
        ("amplitude_ratio", "amplitude"),
        ("ssim", "SSIM"),
        ("sharpness_ratio", "sharpness"),
    )
    width = 0.8 / len(shown)
    for number, (key, label) in enumerate(shown):
        places = np.arange(len(rows)) + (number - (len(shown) - 1) / 2) * width
        axes.bar(places, [row[key] or 0.0 for row in rows], width, label=label)
    axes.set_xticks(np.arange(len(rows)), [row["voice"] for row in rows], rotation=15)
    axes.axhline(1.0, color="0.6", linewidth=1)
    axes.set_ylim(0.0, 1.35)
    axes.legend(loc="upper right", ncols=len(shown))


def plot_recording(path: Path, opening_mm: Curve, levels_dbfs: Curve, shut_below_mm: float) -> None:
    """Opening and loudness over time.

    Raises:
        MediaError: the file cannot be written.
    """
    figure = Figure(figsize=(max(10.0, min(40.0, len(opening_mm) / 40)), 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    times_s: NDArray[np.float64] = (np.arange(len(opening_mm)) + 0.5) / FRAMES_PER_SECOND
    above.plot(times_s, opening_mm, color="tab:red")
    above.axhline(shut_below_mm, color="tab:green", linestyle="--", linewidth=1)
    above.set(ylabel="opening, mm")
    below.plot(times_s, levels_dbfs, color="tab:blue")
    below.set(ylabel="level, dBFS", xlabel="s")
    save(figure, path)


def save(figure: Figure, path: Path) -> None:
    """Write a PNG.

    Raises:
        MediaError: the file cannot be written.
    """
    try:
        figure.savefig(path, format="png", dpi=100)
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error}; check the folder and the space left.") from error
