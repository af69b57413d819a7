"""What each figure must reach, and the table that says whether it did."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bar:
    """A figure's name and what it must lie between; ``None`` leaves an end open."""

    key: str
    title: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    digits: int = 2

    @property
    def words(self) -> str:
        """The bar as the table prints it."""
        if self.low is None and self.high is None:
            return "for information"
        if self.low is None or self.high is None:
            end, sign = (self.high, "at most") if self.low is None else (self.low, "at least")
            return f"{sign} {end:g}{self.unit}"
        if self.low == -self.high:
            return f"0 ± {self.high:g}{self.unit}"
        return f"{self.low:g} to {self.high:g}{self.unit}"

    def verdict(self, value: float | None) -> str:
        """``pass``, ``FAIL``, or nothing where there is no bar."""
        if self.low is None and self.high is None:
            return ""
        if value is None:
            return "FAIL"
        passed = (self.low is None or value >= self.low) and (self.high is None or value <= self.high)
        return "pass" if passed else "FAIL"

    def text(self, value: float | None) -> str:
        """The value with its unit."""
        return "none found" if value is None else f"{value:.{self.digits}f}{self.unit}"


SPEECH_BARS = (
    Bar("mouth_correlation", "opening: correlation with the label", low=0.90),
    Bar("lag_ms", "opening: lag behind the label (+ late)", low=-20.0, high=20.0, unit=" ms", digits=1),
    Bar("amplitude_ratio", "opening: amplitude, drawn / render", low=0.85, high=1.15),
    Bar("closure_recall", "closures: M, B, P shut within 40 ms", low=0.9),
    Bar("false_closures", "closures: shut where the render is open", high=0.05),
    Bar("psnr_db", "mouth picture: PSNR", low=30.0, unit=" dB", digits=1),
    Bar("ssim", "mouth picture: SSIM", low=0.93, digits=3),
    Bar("sharpness_ratio", "mouth picture: sharpness, drawn / render", low=0.8, high=1.3),
    Bar("silence_opening", "stillness: opening in pauses, 95th pct", high=0.05),
)
"""Measured on clean speech and again through the network."""
CONTROL_BARS = (
    Bar("room_noise_opening", "stillness: in room noise at -50 dBFS", high=0.05),
    Bar("babble_opening", "stillness: in babble at -40 dBFS", high=0.05),
    Bar("leak_correlation", "leak: silence over talking frames", high=0.2),
    Bar("leak_amplitude_ratio", "leak: its amplitude"),
    Bar("label_lag_ms", "labels behind the sound, worst voice", low=-15.0, high=15.0, unit=" ms", digits=1),
    Bar("gauge_correlation", "gauge against the mesh, unseen renders", low=0.97, digits=3),
    Bar("render_closure_recall", "closures the gauge sees in the render", low=0.95),
    Bar("ms_per_frame_one_core", "time a frame, one core, batches of 4", high=5.0, unit=" ms", digits=1),
    Bar("weights_mb", "weights", high=12.0, unit=" MB", digits=1),
)
_TITLE, _VALUE, _BAR = 42, 12, 16


def table(report: Mapping[str, Any]) -> str:
    """Every figure, its bar and whether it passed, then a line a voice."""
    lossy = report["opus_loss"]
    header = f"{'figure':{_TITLE}}{'clean':>{_VALUE}}      {'Opus, 5 % lost':>{_VALUE + 3}}      {'bar':{_BAR}}"
    lines = [header.rstrip(), "-" * len(header)]
    for bar in SPEECH_BARS:
        value, other = report[bar.key], lossy[bar.key]
        lines.append(
            f"{bar.title:{_TITLE}}{bar.text(value):>{_VALUE}} {bar.verdict(value):4} "
            f"{bar.text(other):>{_VALUE + 3}} {bar.verdict(other):4} {bar.words}"
        )
    for bar in CONTROL_BARS:
        value = report[bar.key]
        lines.append(
            f"{bar.title:{_TITLE}}{bar.text(value):>{_VALUE}} {bar.verdict(value):4} {'':{_VALUE + 8}} {bar.words}"
        )
    return "\n".join([*lines, "", *_voice_lines(report)])


def _voice_lines(report: Mapping[str, Any]) -> list[str]:
    bars = {bar.key: bar for bar in (*SPEECH_BARS, *CONTROL_BARS)}
    keys = ("mouth_correlation", "lag_ms", "amplitude_ratio", "closure_recall", "label_lag_ms")
    heads = ("correlation", "lag", "amplitude", "M, B, P shut", "label lag")
    lines = [f"{'voice (clean)':26}" + "".join(f"{head:>15}" for head in heads) + "  labels"]
    for row in report["voices"]:
        cells = "".join(f"{bars[key].text(row[key]):>15}" for key in keys)
        lines.append(f"{row['voice']:26}{cells}  {bars['label_lag_ms'].verdict(row['label_lag_ms'])}")
    lines += [f"not spoken: {reason}" for reason in report["unspoken"]]
    lines.append(
        f"{report['speech_s']:.0f} s of speech and pauses, {report['frames']} talking frames, "
        f"{report['closures']} closures; seed {report['seed']}, {report['dtype']}, "
        f"load average {report['load_average'][0]:.1f}"
    )
    return lines
