"""Which voices speak the corpora, and which are held back to judge by."""

import numpy as np

from models.studio.speech import Prosody

HIBARI = "hibari:heart"
LANGUAGES: dict[str, str] = {
    "en-us": "en", "en-gb-x-rp": "en", "en-gb-scotland": "en", "de": "de", "fr": "fr", "es": "es", "it": "it",
    "pt": "pt", "pl": "pl", "nl": "nl", "cmn-latn-pinyin": "cmn", "ru": "ru", "ja": "ja",
}  # fmt: skip
"""espeak-ng voice -> language of its sentences."""
_WEIGHTS = (4, 3, 2, 5, 5, 2, 2, 1.5, 1.5, 2.5, 2, 1.5, 1)
"""Most to those whose rounded front vowels (German, French, Dutch) no other language teaches."""
VARIANTS = (
    "m1", "m3", "m4", "m5", "m6", "m8", "f1", "adam", "Alex", "Andy", "Andrea", "belinda", "anika", "shelby",
    "steph", "klatt4", "sandro", "zac",
)  # fmt: skip
"""Variants without echo: an echo blurs the moment of a closure. With ``rob`` espeak-ng 1.51 crashes at low tones."""
HELD_OUT = ("m7", "Annie")
"""Variants no training ever hears."""
FLITE = ("flite:awb", "flite:kal16", "flite:rms")
FLITE_SHARE, HIBARI_SHARE = 0.3, 0.2
"""Of the clips: few voices are made of people's recordings, but people are who will be heard."""
FLITE_HELD_OUT = "flite:slt"

PITCHES, HIGH_PITCHES = (15, 86), (15, 151)


def language_of(voice: str) -> str:
    """The language of ``espeak:de+f2`` is ``de``; flite and hibari speak English."""
    maker, _, name = voice.partition(":")
    return LANGUAGES.get(name.split("+")[0], "en") if maker == "espeak" else "en"


def random_voice(rng: np.random.Generator, held_out: bool = False) -> str:
    """A voice to train on; an espeak-ng one of ``HELD_OUT`` if asked."""
    maker = 1.0 if held_out else rng.random()
    if maker < FLITE_SHARE:
        return str(rng.choice(FLITE))
    if maker < FLITE_SHARE + HIBARI_SHARE:
        return HIBARI
    weights = np.array(_WEIGHTS) / sum(_WEIGHTS)
    name = str(rng.choice(list(LANGUAGES), p=weights))
    return f"espeak:{name}+{rng.choice(HELD_OUT if held_out else VARIANTS)}"


def random_prosody(rng: np.random.Generator, pitches: tuple[int, int] = PITCHES) -> Prosody:
    """Pace and pitch over the whole range that still sounds like speech."""
    pace = int(np.clip(rng.normal(165, 30), 105, 260))
    return Prosody(pace, int(rng.integers(*pitches)), int(rng.integers(20, 81)))


def pitches_of(voice: str) -> tuple[int, int]:
    """The range to train on. flite's speakers are men; two can be made to speak as high as women, at 220 Hz."""
    return HIGH_PITCHES if voice in FLITE else PITCHES
