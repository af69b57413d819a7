"""Held-out speech: sentences and voices that no training hears, one after another on one line of frames."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio import degrade
from models.studio.speech import Phone, Utterance, speak
from models.studio.visemes import curves, segments
from models.studio.voices import FLITE_HELD_OUT, HELD_OUT, language_of, random_prosody
from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ

Sound = NDArray[np.float32]

SPEECH_DBFS = -22.0
"""Level of the speech, pauses not counted: a close microphone."""
BABBLE_DBFS = -40.0
ROOM_DBFS = -50.0
"""A quiet room as a headset hears it: over the level below which no network runs."""
BABBLE_VOICES = 6
_TEXTS = Path(__file__).parent / "texts"
_BEFORE_FRAMES, _AFTER_FRAMES = 10, 20
_FRAME_SAMPLES = WIRE_RATE_HZ // FRAMES_PER_SECOND
_TONGUES = ("en-us", "de", "fr", "es", "it", "pl", "en-gb-x-rp")
"""espeak-ng voices that speak the set, each with one of the held-out variants."""


@dataclass(frozen=True)
class Clip:
    """One sentence's place in the set."""

    voice: str
    text: str
    frames: slice
    """Its frames, pauses included."""


@dataclass(frozen=True)
class SpeechSet:
    """What is said, and what the mouth should do."""

    sound: Sound
    """(n,) at 48 kHz mono; a whole number of frames."""
    mouths: NDArray[np.float32]
    """(frames, 52): the label of every frame."""
    closures_s: list[float]
    """Middles of the labelled M, B and P, those beside a pause left out: the mouth is shut there anyway."""
    clips: list[Clip]
    unspoken: list[str]
    """Voices that could not be had, each with the reason in a sentence."""

    def __len__(self) -> int:
        return len(self.mouths)


def held_out_voices() -> tuple[str, ...]:
    """The voices of the report: several languages, two synthesisers."""
    spoken = [f"espeak:{tongue}+{HELD_OUT[index % len(HELD_OUT)]}" for index, tongue in enumerate(_TONGUES)]
    return (spoken[0], FLITE_HELD_OUT, *spoken[1:])


def held_out_sentences(language: str) -> tuple[str, ...]:
    """Sentences that no corpus holds.

    Raises:
        MediaError: there are none in that language.
    """
    try:
        lines = (_TEXTS / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        known = ", ".join(sorted(path.stem for path in _TEXTS.glob("*.txt")))
        raise MediaError(f"There are no held-out sentences in '{language}'; choose a voice of {known}.") from error
    return tuple(line for line in lines if line.strip())


def speak_set(voices: Sequence[str], seconds: float, seed: int) -> SpeechSet:
    """About ``seconds`` of speech, pauses included, shared out among ``voices``; at least a sentence each.

    Raises:
        MediaError: none of the voices can be had, or one of them has no held-out sentences.
    """
    parts: list[tuple[Sound, NDArray[np.float32]]] = []
    clips: list[Clip] = []
    closures: list[float] = []
    unspoken: list[str] = []
    first = 0
    for number, voice in enumerate(voices):
        rng = np.random.default_rng([seed, number])
        texts = held_out_sentences(language_of(voice))
        wanted = (number + 1) * seconds / len(voices) * FRAMES_PER_SECOND
        for index in rng.permutation(len(texts)):
            try:
                utterance = speak(texts[index], voice, seed, random_prosody(rng))
            except MediaError as error:
                unspoken.append(f"{voice}: {error}")
                break
            sound, mouths = _framed(utterance)
            start_s = (first + _BEFORE_FRAMES) / FRAMES_PER_SECOND
            closures += [start_s + middle_s for middle_s in closure_middles_s(utterance.phones)]
            clips.append(Clip(voice, texts[index], slice(first, first + len(mouths))))
            parts.append((sound, mouths))
            first += len(mouths)
            if first >= wanted:
                break
    if not parts:
        raise MediaError(f"No voice can be had. {' '.join(unspoken)}")
    sound = np.concatenate([sound for sound, _ in parts])
    return SpeechSet(sound, np.concatenate([mouths for _, mouths in parts]), closures, clips, unspoken)


def _framed(utterance: Utterance) -> tuple[Sound, NDArray[np.float32]]:
    """The utterance between two pauses, at the set's level, with its mouths; whole frames."""
    wire = np.asarray(soxr.resample(utterance.samples, utterance.sample_rate_hz, WIRE_RATE_HZ), dtype=np.float32)
    mouths = curves(utterance.phones, utterance.duration_s)
    gain = degrade.decibels(SPEECH_DBFS) / max(degrade.active_rms(wire), 1e-6)
    sound = np.zeros((_BEFORE_FRAMES + len(mouths) + _AFTER_FRAMES) * _FRAME_SAMPLES, dtype=np.float32)
    spoken = np.clip(wire * np.float32(gain), -1.0, 1.0)[: len(mouths) * _FRAME_SAMPLES]
    sound[_BEFORE_FRAMES * _FRAME_SAMPLES :][: len(spoken)] = spoken
    return sound, np.pad(mouths, ((_BEFORE_FRAMES, _AFTER_FRAMES), (0, 0)))


def closure_middles_s(phones: Sequence[Phone]) -> list[float]:
    """Middle of every closure of the lips that has a sound before and after it, in seconds."""
    parts = [("rest", 0.0, 0.0), *segments(phones), ("rest", 0.0, 0.0)]
    middles = []
    for before, (name, start_s, end_s), after in zip(parts[:-2], parts[1:-1], parts[2:], strict=True):
        if name == "m" and "rest" not in (before[0], after[0]):
            middles.append((start_s + end_s) / 2)
    return middles


def babble(speech: SpeechSet, seconds: float) -> Sound:
    """Several held-out voices at once at ``BABBLE_DBFS``, (n,) at 48 kHz; nobody in it is the speaker."""
    length = round(seconds * FRAMES_PER_SECOND) * _FRAME_SAMPLES
    mixed = np.zeros(length, dtype=np.float64)
    for number in range(BABBLE_VOICES):
        clip = speech.clips[number * len(speech.clips) // BABBLE_VOICES]
        voice = _voiced(speech.sound[clip.frames.start * _FRAME_SAMPLES : clip.frames.stop * _FRAME_SAMPLES])
        looped = np.resize(np.roll(voice, number * len(voice) // BABBLE_VOICES), length)
        mixed += looped / max(degrade.rms(looped), 1e-6)
    return at_level(np.asarray(mixed, dtype=np.float32), BABBLE_DBFS)


def room_noise(seconds: float, seed: int) -> Sound:
    """Soft noise with a falling spectrum at ``ROOM_DBFS``, (n,) at 48 kHz."""
    length = round(seconds * FRAMES_PER_SECOND) * _FRAME_SAMPLES
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(0.0, 1.0, length))
    hertz = np.maximum(np.fft.rfftfreq(length, 1.0 / WIRE_RATE_HZ), 40.0)
    return at_level(np.fft.irfft(spectrum * hertz**-0.5, length).astype(np.float32), ROOM_DBFS)


def at_level(sound: Sound, level_dbfs: float) -> Sound:
    """``sound`` with this RMS, clipped to [-1, 1]."""
    gain = degrade.decibels(level_dbfs) / max(degrade.rms(sound), 1e-9)
    return np.asarray(np.clip(sound * np.float32(gain), -1.0, 1.0), dtype=np.float32)


def _voiced(sound: Sound) -> Sound:
    """Without the pauses at both ends."""
    return np.asarray(sound[_BEFORE_FRAMES * _FRAME_SAMPLES : -_AFTER_FRAMES * _FRAME_SAMPLES], dtype=np.float32)
