"""Recordings of any kind through the real engine: a defined mouth, never a crash or a frozen frame."""

import csv
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import soxr

from models.avatar import Avatar
from models.engine import Engine
from models.errors import MediaError
from models.quality import recording
from models.quality.opening import OpeningGauge
from models.quality.recording import Watched
from models.quality.threads import one_thread
from models.registry import load_engine
from models.studio.speech import speak
from server.render import draw, read_sound


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def short_ada(ada: Avatar) -> Avatar:
    """The first seconds of the loop: every film prepares it anew."""
    return dataclasses.replace(ada, frames_i420=ada.frames_i420[:75], boxes=ada.boxes[:75])


@pytest.fixture(scope="module")
def engine() -> Engine:
    return load_engine("wav2lip")


@pytest.fixture(scope="module")
def said(spoken: None) -> np.ndarray:
    """A little over a second at 48 kHz, peak 1."""
    utterance = speak("Bob bought a map.", "espeak:en-us+m7", 1)
    sound = soxr.resample(utterance.samples, utterance.sample_rate_hz, 48_000).astype(np.float32)
    return sound / np.abs(sound).max()


def write_float_wav(path: Path, samples: np.ndarray, rate_hz: int) -> Path:
    """(n,) or (n, 2) as 32-bit float, so that NaN and what clips survive."""
    layout = "stereo" if samples.ndim == 2 else "mono"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_f32le", rate=rate_hz, layout=layout)
        packed = np.ascontiguousarray(samples.reshape(1, -1), dtype=np.float32)
        frame = av.AudioFrame.from_ndarray(packed, format="flt", layout=layout)
        frame.sample_rate = rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def with_nans(sound: np.ndarray) -> np.ndarray:
    sound = 0.5 * sound
    sound[::5000] = np.nan
    sound[20_000:25_000] = np.nan
    return sound


TALKS = {
    "clipped": (lambda sound: np.clip(30 * sound, -1, 1), 48_000),
    "over full scale": (lambda sound: 1000 * sound, 48_000),
    "8 kHz": (lambda sound: 0.5 * soxr.resample(sound, 48_000, 8000), 8000),
    "one dead channel": (lambda sound: np.stack([0.5 * sound, 0 * sound], axis=1), 48_000),
    "some NaN": (with_nans, 48_000),
}


@pytest.mark.parametrize("kind", TALKS)
def test_a_bad_recording_still_talks(
    kind: str, said: np.ndarray, tmp_path: Path, engine: Engine, short_ada: Avatar, gauge: OpeningGauge
) -> None:
    spoil, rate_hz = TALKS[kind]
    path = write_float_wav(tmp_path / "in.wav", spoil(said), rate_hz)
    watched = recording.watch(draw, engine, short_ada, gauge, read_sound(path), 200)
    assert abs(len(watched.opening_mm) - len(said) / 1920) <= 2
    assert np.isfinite(watched.opening_mm).all()
    assert np.quantile(watched.opening_mm, 0.9) > 0.2 * gauge.range_mm
    assert watched.opening_mm.std() > 0.1 * gauge.range_mm


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_silence_and_nan_shut_the_mouth_while_the_loop_runs_on(
    value: float, tmp_path: Path, engine: Engine, short_ada: Avatar, gauge: OpeningGauge
) -> None:
    path = write_float_wav(tmp_path / "in.wav", np.full(48_000, value), 48_000)
    pictures = list(draw(engine, short_ada, read_sound(path)))
    assert all(np.array_equal(picture, short_ada.frames_i420[frame]) for frame, picture in enumerate(pictures))
    assert not np.array_equal(pictures[0], pictures[-1])
    watched = recording.watch(draw, engine, short_ada, gauge, read_sound(path), 200)
    figures = recording.recording_figures(watched, gauge)
    assert figures["pause_shut"] == 1.0
    assert figures["pause_opening_p95"] == 0.0
    assert figures["loud_opening_mean"] is None
    assert "no such part" in recording.recording_table(figures)


def watched(step: int = 5, frames: int = 100) -> Watched:
    """A second of pause and a second of tone, twice; the mouth follows."""
    loud = (np.arange(frames) // 25) % 2 == 1
    sound = 0.3 * np.sin(np.arange(frames * 1920) * 0.05) * np.repeat(loud, 1920)
    tiles = [np.full((144, 144, 3), 40, np.uint8) for _ in range(0, frames, step)]
    levels = recording.frame_levels_dbfs(sound.astype(np.float32))
    return Watched(sound.astype(np.float32), np.where(loud, 6.0, 0.0), levels, step, tiles)


def test_pauses_and_loud_parts_are_told_apart(gauge: OpeningGauge) -> None:
    seen = watched()
    assert seen.levels_dbfs[30] == pytest.approx(-13.5, abs=0.1)
    assert seen.levels_dbfs[0] == -100
    assert np.flatnonzero(seen.loud).tolist() == [*range(25, 50), *range(75, 100)]
    assert np.flatnonzero(seen.pauses).tolist() == [*range(24), *range(51, 74)]
    figures = recording.recording_figures(seen, gauge)
    assert figures["loud_opening_mean"] == pytest.approx(6.0 / gauge.range_mm)
    assert figures["pause_opening_p95"] == 0
    assert figures["loudness_correlation"] == pytest.approx(1.0)


def test_the_sheet_holds_faces_and_waves_and_the_curve_every_frame(tmp_path: Path, gauge: OpeningGauge) -> None:
    seen = watched()
    recording.write_sheet(tmp_path / "sheet.png", seen)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (2 * (144 + 18 + 40), 1440, 3)
    assert (sheet[:144] == 40).all()
    silent, loud = sheet[162:202, :700], sheet[162:202, 725:]
    assert (silent < 250).any(axis=2).sum() <= 700
    assert (loud < 250).any(axis=2).mean() > 0.5
    recording.write_curve(tmp_path / "curve.csv", seen, gauge)
    rows = list(csv.reader((tmp_path / "curve.csv").read_text().splitlines()))
    assert len(rows) == 101
    assert rows[1][:2] == ["0.020", "0.000"]
    with pytest.raises(MediaError, match="cannot be written"):
        recording.write_sheet(tmp_path / "no folder" / "sheet.png", seen)


def test_a_recording_without_sound_is_a_sentence(short_ada: Avatar, gauge: OpeningGauge, engine: Engine) -> None:
    nothing: Iterator[np.ndarray] = iter([])
    with pytest.raises(MediaError, match="holds no sound"):
        recording.watch(draw, engine, short_ada, gauge, nothing, 200)
