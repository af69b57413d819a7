"""Speech with the exact time of every phone, from one of three synthesisers.

A voice is a name: ``espeak:en-us``, ``espeak:de+m3`` (espeak-ng's languages and variants), ``flite:rms``,
``hibari:heart``.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio import espeak, flite, hibari
from models.studio.visemes import Phone

__all__ = ["Phone", "Prosody", "Utterance", "speak"]

_STOPS = frozenset("pbtdkɡgqcɟʈɖ")
_ASCII_RETROFLEX = {"s.": "ʂ", "ts.": "tʂ", "z.": "ʐ", "i.": "ɨ"}
"""espeak-ng's Mandarin writes some phones in its own ASCII even when asked for IPA."""
_SILENT = 2e-3
_MAX_CLOSURE_S = 0.14
_FIRST_CLOSURE_S = 0.06
_BURST_S = 0.010
_PREVOICED_RELEASE_S = 0.015


@dataclass(frozen=True)
class Prosody:
    """How something is said."""

    words_per_minute: int = 175
    pitch: int = 50
    """0..100, espeak-ng's scale, which some of flite's voices leave upwards; hibari's pitch is its own."""
    pitch_range: int = 50
    """0..100, espeak-ng's scale."""


@dataclass(frozen=True)
class Utterance:
    """Something said."""

    samples: NDArray[np.float32]
    """(n,) mono in [-1, 1]."""
    sample_rate_hz: int
    phones: list[Phone]
    """In order, without gaps or overlaps; a pause is a phone with an empty symbol."""

    @property
    def duration_s(self) -> float:
        """Length of the sound."""
        return len(self.samples) / self.sample_rate_hz


def speak(text: str, voice: str, seed: int, prosody: Prosody | None = None) -> Utterance:
    """Say ``text``.

    Args:
        text: a sentence in the voice's language.
        voice: ``espeak:<voice>[+<variant>]``, ``flite:<voice>`` or ``hibari:<voice>``.
        seed: picks the prosody where none is given, and hibari's breath noise.
        prosody: pace and pitch.

    Raises:
        MediaError: unknown voice, or a library that is not installed; says what to do.
    """
    maker, _, name = voice.partition(":")
    if prosody is None:
        rng = np.random.default_rng(seed)
        prosody = Prosody(int(rng.integers(140, 200)), int(rng.integers(30, 70)), int(rng.integers(35, 65)))
    if maker == "hibari":
        samples, rate_hz, phones = hibari.render(text, name, seed, prosody.words_per_minute / 175)
        return Utterance(samples, rate_hz, phones)
    if maker == "flite":
        pitch_hz = flite_pitch_hz(name, prosody.pitch)
        return Utterance(*flite.render(text, name, 175 / prosody.words_per_minute, pitch_hz))
    if maker != "espeak":
        raise MediaError(f"There is no voice '{voice}'; name one like 'espeak:en-us+f2' or 'hibari:heart'.")
    rendering = espeak.render(text, name, prosody.words_per_minute, prosody.pitch, prosody.pitch_range)
    return Utterance(rendering.samples, rendering.sample_rate_hz, _phones(rendering))


def flite_pitch_hz(voice: str, pitch: int) -> float:
    """espeak-ng's scale of pitch as a mean pitch that suits the speaker: 50 is its own, half an octave each way."""
    own_hz = 170.0 if voice == "slt" else 110.0
    return float(own_hz * 2.0 ** ((pitch - 50) / 100))


def _phones(rendering: espeak.Rendering) -> list[Phone]:
    """espeak-ng's marks as phones.

    It marks a voiceless stop at its burst and counts the closure's silence to the phone before, and keeps a
    voiced stop until the vowel is reached; here a stop is the time its articulators touch.
    """
    rate = rendering.sample_rate_hz
    marks = [(text, start / rate) for text, start in rendering.marks if not text.startswith("(")]
    ends = [start for _, start in marks[1:]] + [len(rendering.samples) / rate]
    phones: list[Phone] = []
    for (text, start), end in zip(marks, ends, strict=True):
        if end - start <= 0:
            continue
        symbol = _ASCII_RETROFLEX.get(text, text.replace("_", ""))
        if phones and symbol[:1] and symbol[0] in "ʲʰːˑ":  # a diacritic marked on its own
            phones[-1] = Phone(phones[-1].symbol + symbol, phones[-1].start_s, end)
            continue
        if phones and phones[-1].symbol == "" and symbol == "":
            phones[-1] = Phone("", phones[-1].start_s, end)
            continue
        phones.append(Phone(symbol, start, end))
    return _touching(phones, rendering)


def _touching(phones: list[Phone], rendering: espeak.Rendering) -> list[Phone]:
    settled: list[Phone] = []
    if phones and phones[0].start_s > 0:
        settled.append(Phone("", 0.0, phones[0].start_s))
    for phone in phones:
        start, end = phone.start_s, phone.end_s
        if phone.symbol[:1] in _STOPS and phone.symbol:
            silence = _silence_before(rendering, start)
            affricate = len(phone.symbol.rstrip("ːʲʰ")) > 1
            if silence > 0.012 and settled:
                before = settled[-1]
                own = _FIRST_CLOSURE_S if before.symbol == "" else silence
                begin = max(start - min(own, silence), before.start_s + 0.005)
                settled[-1] = Phone(before.symbol, before.start_s, begin)
                if not affricate:
                    end = min(end, start + _BURST_S)
                start = begin
            elif not affricate and end - start > 2 * _PREVOICED_RELEASE_S:
                end -= _PREVOICED_RELEASE_S
        elif settled and settled[-1].end_s < start:  # the stop's release belongs to what follows it
            start = settled[-1].end_s
        if settled and settled[-1].end_s < start:
            settled.append(Phone("h", settled[-1].end_s, start))
        settled.append(Phone(phone.symbol, start, end))
    length = len(rendering.samples) / rendering.sample_rate_hz
    if settled and settled[-1].end_s < length:
        settled.append(Phone("", settled[-1].end_s, length))
    return settled


def _silence_before(rendering: espeak.Rendering, time_s: float) -> float:
    """Seconds of silence that end at ``time_s`` (to 3 ms), at most ``_MAX_CLOSURE_S``."""
    rate = rendering.sample_rate_hz
    slack = int(0.003 * rate)
    stop = max(0, int(time_s * rate) - slack)
    first = max(0, stop - int(_MAX_CLOSURE_S * rate))
    loud = np.flatnonzero(np.abs(rendering.samples[first:stop]) > _SILENT)
    quiet = stop - first if len(loud) == 0 else stop - first - 1 - int(loud[-1])
    return (quiet + slack) / rate if quiet > slack else 0.0
