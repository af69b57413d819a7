"""Any recording, without labels: what the mouth does in its pauses and in its loud parts, and a sheet to look at."""

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.engine import Engine
from models.errors import MediaError
from models.quality import measures
from models.quality.measures import Curve, Inside
from models.quality.opening import OpeningGauge
from models.quality.region import MouthRegion
from models.quality.speech_set import Sound
from models.quality.trial import Draw
from models.talker import SILENCE_DBFS
from models.timebase import FRAME_MS, FRAMES_PER_SECOND, WIRE_RATE_HZ

Picture = NDArray[np.uint8]

MAX_PICTURES = 200
"""A sheet of more is not looked at; the step between them grows instead."""
_CHUNK_SAMPLES = WIRE_RATE_HZ // FRAMES_PER_SECOND
_FLOOR_DBFS = -100.0
_PAUSE_BELOW_DB = 25.0
_LOUD_BELOW_DB = 6.0
_AROUND_FRAMES = 1
_TILE_PX, _STAMP_PX, _WAVE_PX, _COLUMNS = 144, 18, 40, 10
_INK, _PAPER, _WAVE_INK = (40, 40, 40), 255, (170, 90, 30)


@dataclass(frozen=True)
class Watched:
    """A recording and the mouth it gave."""

    sound: Sound
    """(n,) at 48 kHz."""
    opening_mm: Curve
    levels_dbfs: Curve
    """(frames,) RMS of each frame's own 40 ms."""
    step: int
    """Frames from one of ``tiles`` to the next."""
    tiles: list[Picture]
    """Face boxes, RGB."""

    @property
    def loud_dbfs(self) -> float:
        """Level of the louder half of the frames."""
        powers = np.sort(10.0 ** (self.levels_dbfs / 10.0))
        return float(10.0 * np.log10(powers[len(powers) // 2 :].mean()))

    @property
    def pauses(self) -> Inside:
        """Frames that are quiet, as are the ones before and after them."""
        below_dbfs = max(self.loud_dbfs - _PAUSE_BELOW_DB, SILENCE_DBFS)
        return ~measures.dilated(self.levels_dbfs >= below_dbfs, _AROUND_FRAMES)

    @property
    def loud(self) -> Inside:
        """Frames near or over the level of the louder half."""
        return np.asarray(self.levels_dbfs > max(self.loud_dbfs - _LOUD_BELOW_DB, SILENCE_DBFS), dtype=np.bool_)


def watch(
    draw: Draw, engine: Engine, avatar: Avatar, gauge: OpeningGauge, chunks: Iterator[Sound], every_ms: int
) -> Watched:
    """Speak a recording's 48 kHz ``chunks`` and keep a face every ``every_ms``.

    Raises:
        MediaError: it holds no sound.
    """
    parts = list(chunks)
    if not sum(len(part) for part in parts):
        raise MediaError("The recording holds no sound; give a file with an audio track that is not empty.")
    sound = np.nan_to_num(np.concatenate(parts), nan=0.0, posinf=0.0, neginf=0.0)
    frames = -(-len(sound) // _CHUNK_SAMPLES)
    step = max(1, round(every_ms / FRAME_MS), -(-frames // MAX_PICTURES))
    region = MouthRegion(avatar)
    opening, tiles = [], []
    for frame, picture in enumerate(draw(engine, avatar, iter(parts))):
        opening.append(gauge.measure(picture, frame))
        if frame % step == 0:
            tiles.append(_tile(region.box(picture, frame)))
    return Watched(sound, np.array(opening), frame_levels_dbfs(sound), step, tiles)


def frame_levels_dbfs(sound: Sound) -> Curve:
    """RMS of every begun 40 ms, at least -100 dBFS."""
    padded = np.pad(sound.astype(np.float64), (0, -len(sound) % _CHUNK_SAMPLES)).reshape(-1, _CHUNK_SAMPLES)
    return np.asarray(np.maximum(10 * np.log10(np.mean(padded**2, axis=1) + 1e-12), _FLOOR_DBFS))


def recording_figures(watched: Watched, gauge: OpeningGauge) -> dict[str, Any]:
    """Opening in pauses and loud parts as shares of the range; None where there is no such part."""
    share = watched.opening_mm / gauge.range_mm
    pauses, loud = watched.pauses, watched.loud
    shut = watched.opening_mm < gauge.shut_below_mm
    return {
        "seconds": len(watched.sound) / WIRE_RATE_HZ,
        "pause_frames": int(pauses.sum()),
        "pause_opening_p95": float(np.quantile(share[pauses], 0.95)) if pauses.any() else None,
        "pause_shut": float(np.mean(shut[pauses])) if pauses.any() else None,
        "loud_frames": int(loud.sum()),
        "loud_opening_mean": float(np.mean(share[loud])) if loud.any() else None,
        "loud_opening_p95": float(np.quantile(share[loud], 0.95)) if loud.any() else None,
        "loudness_correlation": measures.correlation(watched.levels_dbfs, watched.opening_mm),
        "every_ms": watched.step * FRAME_MS,
    }


def recording_table(figures: dict[str, Any]) -> str:
    """The figures in lines."""

    def cell(key: str) -> str:
        return "no such part" if figures[key] is None else f"{figures[key]:.2f}"

    return "\n".join(
        [
            f"pauses ({figures['pause_frames']} frames): opening, 95th percentile {cell('pause_opening_p95')} "
            f"of the range; shut in {cell('pause_shut')} of them",
            f"loud parts ({figures['loud_frames']} frames): opening {cell('loud_opening_mean')} on average, "
            f"95th percentile {cell('loud_opening_p95')}",
            f"opening against loudness in dB: correlation {cell('loudness_correlation')}",
        ]
    )


def write_curve(path: Path, watched: Watched, gauge: OpeningGauge) -> None:
    """The opening of every frame as CSV; OSError if it cannot be written."""
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["time_s", "opening_mm", "opening_share", "level_dbfs"])
        for frame, (opening, level) in enumerate(zip(watched.opening_mm, watched.levels_dbfs, strict=True)):
            time_s = (frame + 0.5) / FRAMES_PER_SECOND
            rows.writerow([f"{time_s:.3f}", f"{opening:.3f}", f"{opening / gauge.range_mm:.4f}", f"{level:.1f}"])


def write_sheet(path: Path, watched: Watched) -> None:
    """Faces with their times, the waveform of each row's time beneath it, as PNG.

    Raises:
        MediaError: the file cannot be written.
    """
    tiles, height = watched.tiles, watched.tiles[0].shape[0]
    row_px = height + _STAMP_PX + _WAVE_PX
    rows = -(-len(tiles) // _COLUMNS)
    sheet = np.full((rows * row_px, _COLUMNS * _TILE_PX, 3), _PAPER, dtype=np.uint8)
    for number, tile in enumerate(tiles):
        y, x = number // _COLUMNS * row_px, number % _COLUMNS * _TILE_PX
        sheet[y : y + height, x : x + _TILE_PX] = tile[..., ::-1]
        stamp = f"{number * watched.step / FRAMES_PER_SECOND:.2f} s"
        place = (x + 4, y + height + 13)
        cv2.putText(sheet, stamp, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    samples = watched.step * _COLUMNS * _CHUNK_SAMPLES
    peak = max(float(np.abs(watched.sound).max()), 1e-6)
    for row in range(rows):
        top = row * row_px + height + _STAMP_PX
        _draw_wave(sheet[top : top + _WAVE_PX], watched.sound[row * samples : (row + 1) * samples] / peak, samples)
    if not _imwrite(path, sheet):
        raise MediaError(f"{path} cannot be written; check the folder and the space left.")


def _imwrite(path: Path, picture: Picture) -> bool:
    try:
        return bool(cv2.imwrite(str(path), picture))
    except cv2.error:
        return False


def _draw_wave(strip: Picture, sound: Sound, samples: int) -> None:
    """The extent of the sound in each pixel column; the strip lasts ``samples``."""
    middle, width = strip.shape[0] // 2, strip.shape[1]
    edges = np.linspace(0, samples, width + 1).astype(int)
    for column, (start, stop) in enumerate(zip(edges[:-1], edges[1:], strict=True)):
        part = sound[start:stop]
        if len(part):
            low, high = (round(middle - (middle - 1) * float(value)) for value in (part.max(), part.min()))
            strip[low : high + 1, column] = _WAVE_INK


def _tile(box: Picture) -> Picture:
    height = round(_TILE_PX * box.shape[0] / box.shape[1])
    return np.asarray(cv2.resize(box, (_TILE_PX, height), interpolation=cv2.INTER_AREA), dtype=np.uint8)
