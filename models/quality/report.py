"""The whole report: how good an engine's talking face is, as deployed."""

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from models.avatar import Avatar
from models.engine import Engine
from models.quality import controls
from models.quality.measures import correlation
from models.quality.opening import FIT_RENDERS, OpeningGauge, Renders, speech_renders
from models.quality.prepared import PreparedOnce
from models.quality.speech_set import Sound, babble, held_out_voices, room_noise, speak_set
from models.quality.trial import Draw, Figures, Trial, figures, pause_opening, render_recall, run_trial
from models.quality.truth import Truth
from models.studio.check_labels import check
from models.timebase import FRAMES_PER_SECOND

CLEAN, LOSSY = "clean", "opus_loss"
NOISE_S = 6.0

Network = Callable[[Sound, int], Sound]
"""(n,) at 48 kHz and a seed -> the same speech, in its place in time, as it comes off a bad network."""


@dataclass(frozen=True)
class Options:
    """What to measure, and how much of it."""

    seconds: float = 60.0
    seed: int = 1
    voices: Sequence[str] = held_out_voices()
    fit_renders: int = FIT_RENDERS
    label_sentences: int = 10
    quiet: bool = False


@dataclass(frozen=True)
class Measured:
    """The report and what its plot needs."""

    report: dict[str, Any]
    trial: Trial


def measure(
    draw: Draw,
    network: Network,
    engine: Engine,
    avatar: Avatar,
    weights: Path | None,
    options: Options,
    truth: Truth | None = None,
) -> Measured:
    """Everything, on the threads the caller has set.

    Args:
        draw: the offline twin of a session.
        network: what a bad network does to speech.
        engine: what draws.
        avatar: whom; one of the studio's.
        weights: the engine's file, for its size.
        options: how much to measure.
        truth: the avatar's truth if the caller has it.

    Raises:
        AvatarError: the studio cannot draw this avatar.
        MediaError: none of the voices can be had.
    """
    load, once = os.getloadavg(), PreparedOnce(engine)
    speech = speak_set(options.voices, options.seconds, options.seed)
    truth = truth or Truth(avatar)
    renders = speech_renders(truth, len(avatar), options.fit_renders, options.seed)
    gauge = OpeningGauge(avatar, renders)
    sounds = {CLEAN: speech.sound, LOSSY: network(speech.sound, options.seed)}
    with tqdm(total=len(speech), unit="frame", disable=options.quiet or None) as bar:
        trial = run_trial(draw, once, avatar, truth, gauge, speech, sounds, bar.update)
    rows = _voice_rows(trial, gauge, options)
    report: dict[str, Any] = {
        "avatar": avatar.name,
        "engine": engine.name,
        "seed": options.seed,
        "speech_s": len(speech) / FRAMES_PER_SECOND,
        **_speech_figures(trial, CLEAN, gauge),
        LOSSY: _speech_figures(trial, LOSSY, gauge),
        **_controls(draw, once, avatar, gauge, renders, trial, options.seed),
        "label_lag_ms": max((row["label_lag_ms"] for row in rows), key=abs),
        "weights_mb": None if weights is None else weights.stat().st_size / 1e6,
        "dtype": str(getattr(engine, "dtype", "unknown dtype")).removeprefix("torch."),
        "voices": rows,
        "unspoken": speech.unspoken,
        "load_average": list(load),
    }
    return Measured(_finite(report), trial)


def _speech_figures(trial: Trial, name: str, gauge: OpeningGauge) -> dict[str, Any]:
    whole: Figures = figures(trial, name, gauge)
    return {**asdict(whole), "silence_opening": pause_opening(trial, name, gauge)}


def _controls(
    draw: Draw, engine: Engine, avatar: Avatar, gauge: OpeningGauge, renders: Renders, trial: Trial, seed: int
) -> dict[str, Any]:
    # The trial's renders are none of those the gauge was fitted on.
    agreement = correlation(trial.label_mm[trial.talking], np.array(trial.render.opening_mm)[trial.talking])
    noises = (room_noise(NOISE_S, seed), babble(trial.speech, NOISE_S))
    room, babbled = (controls.stillness(draw, engine, avatar, gauge, noise) for noise in noises)
    frame_ms = controls.ms_per_frame(engine, avatar)
    leak = controls.leak(engine, avatar, gauge, renders)
    return {
        "room_noise_opening": room,
        "babble_opening": babbled,
        "leak_correlation": leak.correlation,
        "leak_amplitude_ratio": leak.amplitude_ratio,
        "gauge_correlation": agreement,
        "gauge_range_mm": gauge.range_mm,
        "gauge_shut_below_mm": gauge.shut_below_mm,
        "render_closure_recall": render_recall(trial, gauge),
        "ms_per_frame_one_core": frame_ms,
    }


def _voice_rows(trial: Trial, gauge: OpeningGauge, options: Options) -> list[dict[str, Any]]:
    rows = []
    for voice in dict.fromkeys(clip.voice for clip in trial.speech.clips):
        lag_s, label_correlation = check(voice, options.label_sentences, options.seed)
        row = {"voice": voice, **asdict(figures(trial, CLEAN, gauge, voice))}
        lossy = asdict(figures(trial, LOSSY, gauge, voice))
        rows.append(row | {"label_lag_ms": 1000 * lag_s, "label_correlation": label_correlation, LOSSY: lossy})
    return rows


def _finite(value: Any) -> Any:
    """JSON knows no infinity and no NaN: they become null."""
    if isinstance(value, dict):
        return {key: _finite(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
