"""What the ear learns from: speech of many voices, as microphones bring it, with the mouth code of every frame.

    visavis train speech --minutes 60 --seed 1 --out ear.npz [--held-out] [--curves curves.npz]

Sound only: nothing is rendered, so an hour takes a minute or two. ``--curves`` also writes
the mouths as ARKit weights, for ``models.studio.corpus`` to draw.
"""

import argparse
import os
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray
from tqdm import tqdm

from models.audio.mel import mel_spectrogram
from models.studio import degrade
from models.studio.arkit import ARKIT_NAMES
from models.studio.speech import speak
from models.studio.texts import pick
from models.studio.visemes import MOUTH_NAMES, code_curves, curves_from_code
from models.studio.voices import language_of, pitches_of, random_prosody, random_voice
from models.timebase import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, SPEECH_RATE_HZ

_PAUSE_S = (0.1, 0.9)
_STRETCH = (0.85, 1.25)
"""From a longer vocal tract than the voice's own to a child's."""
_PURE_NOISE_SHARE = 0.05
_BABBLE_SHARE = 0.06
"""Share of the clips in which others talk: softly by themselves, or behind the one who is heard."""
_BABBLERS = 5
_OPUS_SHARE, _LOSSY_SHARE = 0.4, 0.65
_LOST = (0.01, 0.1)
"""Share of the packets that a bad network loses."""
_OVERDRIVEN_SHARE = 0.1
"""Share of the clips recorded too loud: every microphone has somebody who shouts into it."""

Sound = NDArray[np.float32]


def clip(rng: np.random.Generator, held_out: bool) -> tuple[Sound, NDArray[np.float32]]:
    """One sentence between pauses: sound at 16 kHz and its mouth code, (n, K) at 25 a second."""
    voice = random_voice(rng, held_out)
    utterance = speak(
        pick(language_of(voice), rng, held_out),
        voice,
        int(rng.integers(1 << 31)),
        random_prosody(rng, pitches_of(voice)),
    )
    stretch = float(rng.uniform(*_STRETCH))  # read at another rate: pitch, formants and pace move together
    sound = soxr.resample(utterance.samples, utterance.sample_rate_hz, SPEECH_RATE_HZ / stretch)
    duration_s = len(sound) / SPEECH_RATE_HZ
    scale = duration_s / utterance.duration_s
    phones = [type(p)(p.symbol, p.start_s * scale, p.end_s * scale) for p in utterance.phones]
    code = code_curves(phones, duration_s)
    before, after = (round(rng.uniform(*_PAUSE_S) * FRAMES_PER_SECOND) for _ in range(2))
    frames = before + len(code) + after
    whole = np.zeros(frames * SAMPLES_PER_FRAME, dtype=np.float32)
    whole[before * SAMPLES_PER_FRAME :][: len(sound)] = sound
    return whole, np.pad(code, ((before, after), (0, 0)))


def as_heard(sound: Sound, rng: np.random.Generator) -> Sound:
    """A room, a microphone, a level, noise, a codec: each in a share of the clips."""
    if rng.random() < 0.4:
        sound = degrade.in_room(sound, rng)
    if rng.random() < 0.6:
        sound = degrade.coloured(sound, rng)
    if rng.random() < 0.2:
        sound = degrade.band_limited(sound, rng)
    level = degrade.decibels(rng.uniform(-34.0, -10.0)) / max(degrade.active_rms(sound), 1e-4)
    sound = sound * np.float32(level)
    if rng.random() < 0.6:
        below_db = rng.uniform(8.0, 45.0)
        sound = sound + degrade.noise(len(sound), rng) * np.float32(
            degrade.active_rms(sound) * degrade.decibels(-below_db)
        )
    if rng.random() < _OPUS_SHARE:
        lost = rng.uniform(*_LOST) if rng.random() < _LOSSY_SHARE else 0.0
        sound = degrade.through_opus(np.asarray(sound, np.float32), int(rng.choice((16, 24, 32, 64))), lost, rng)
    if rng.random() < _OVERDRIVEN_SHARE:
        sound = sound / max(degrade.active_rms(sound), 1e-4) * degrade.decibels(rng.uniform(-12.0, 30.0))
    return np.clip(sound, -1.0, 1.0).astype(np.float32)


def babble(spoken: Sequence[Sound], samples: int, rng: np.random.Generator) -> Sound:
    """Several voices at once, (samples,) of unit power."""
    mixed = np.zeros(samples, np.float32)
    for index in rng.integers(0, len(spoken), _BABBLERS):
        voice = np.roll(spoken[int(index)], int(rng.integers(0, SPEECH_RATE_HZ)))
        mixed += np.resize(voice, samples) / np.float32(max(degrade.rms(voice), 1e-4))
    return (mixed / np.float32(max(degrade.rms(mixed), 1e-4))).astype(np.float32)


def build(
    minutes: float, seed: int, held_out: bool
) -> tuple[NDArray[np.float16], NDArray[np.float16], NDArray[np.int64]]:
    """Clips one after another.

    Returns:
        mel (80, T), code (n, K), and for every frame the mel column at which it starts within ``mel``.
    """
    rng = np.random.default_rng([seed, int(held_out)])
    mels, codes, starts = [], [], []
    spoken: deque[Sound] = deque(maxlen=4 * _BABBLERS)
    column = 0
    wanted = int(minutes * 60 * FRAMES_PER_SECOND)
    with tqdm(total=wanted, unit="frame") as progress:
        while progress.n < wanted:
            sound, code = clip(rng, held_out)
            spoken.append(sound)
            chance = rng.random()
            if chance < _PURE_NOISE_SHARE:  # nobody speaks: the mouth stays shut whatever the noise
                code = np.zeros_like(code)
                sound = degrade.noise(len(sound), rng) * np.float32(degrade.decibels(rng.uniform(-75, -32)))
                sound = np.clip(sound, -1.0, 1.0).astype(np.float32)
            elif chance < _PURE_NOISE_SHARE + _BABBLE_SHARE:  # others speak, from afar
                code = np.zeros_like(code)
                sound = babble(spoken, len(sound), rng) * np.float32(degrade.decibels(rng.uniform(-55, -34)))
            else:
                sound = as_heard(sound, rng)
                if rng.random() < _BABBLE_SHARE:
                    level = degrade.active_rms(sound) * degrade.decibels(-rng.uniform(12, 30))
                    sound = np.clip(sound + babble(spoken, len(sound), rng) * np.float32(level), -1.0, 1.0)
            mel = mel_spectrogram(sound)
            mels.append(mel.astype(np.float16))
            codes.append(code.astype(np.float16))
            starts.append(column + np.arange(len(code)) * 80 // FRAMES_PER_SECOND)
            column += mel.shape[1]
            progress.update(len(code))
    return np.concatenate(mels, axis=1), np.concatenate(codes), np.concatenate(starts)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="visavis train speech", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--held-out", action="store_true", help="the voices no training hears")
    parser.add_argument("--curves", type=Path, help="also write the mouths as (n, 52) ARKit weights")
    arguments = parser.parse_args(argv)
    mel, code, starts = build(arguments.minutes, arguments.seed, arguments.held_out)
    aside = arguments.out.with_suffix(".part.npz")
    np.savez(aside, mel=mel, code=code, starts=starts, names=np.array(MOUTH_NAMES))
    os.replace(aside, arguments.out)
    if arguments.curves is not None:
        aside = arguments.curves.with_suffix(".part.npz")
        np.savez(aside, curves=curves_from_code(code.astype(np.float32)), names=np.array(ARKIT_NAMES))
        os.replace(aside, arguments.curves)
