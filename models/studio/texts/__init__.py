"""Short everyday sentences for speech corpora, one file a language, written for this project (Apache-2.0)."""

import functools
from pathlib import Path

import numpy as np

from models.errors import MediaError

_FOLDER = Path(__file__).parent
_ONSETS = [
    "p",
    "b",
    "m",
    "m",
    "f",
    "v",
    "t",
    "d",
    "n",
    "s",
    "z",
    "l",
    "r",
    "k",
    "g",
    "w",
    "y",
    "h",
    "sh",
    "ch",
    "j",
    "th",
    "st",
    "pr",
    "bl",
    "fl",
    "sp",
    "tr",
    "kl",
    "b",
    "p",
    "f",
    "w",
    "sh",
]
_NUCLEI = ["a", "e", "i", "o", "u", "oo", "ee", "ai", "ow", "oy", "ar", "er", "or", "a", "o", "u"]
_CODAS = [" ", " ", " ", " ", "m", "p", "b", "n", "t", "s", "l", "f", "v", "sh", "k", "ng", "st", "mp"]


HELD_OUT_EVERY = 6
"""Every so manieth sentence of a language is kept from training, to judge by."""


def training_sentences(language: str, held_out: bool) -> tuple[str, ...]:
    """The sentences of a language that training may hear, or the others."""
    return tuple(text for n, text in enumerate(sentences(language)) if (n % HELD_OUT_EVERY == 0) == held_out)


@functools.cache
def sentences(language: str) -> tuple[str, ...]:
    """The sentences of a language (``en``, ``de`` ...).

    Raises:
        MediaError: there are none in that language.
    """
    try:
        lines = (_FOLDER / f"{language}.txt").read_text(encoding="utf-8").splitlines()
    except OSError as error:
        known = ", ".join(sorted(path.stem for path in _FOLDER.glob("*.txt")))
        raise MediaError(f"There are no sentences in '{language}'; choose one of {known}.") from error
    return tuple(line for line in lines if line.strip())


def pick(language: str, rng: np.random.Generator, held_out: bool = False) -> str:
    """A sentence to train on, or as often words shuffled from several, or invented words in Latin script.

    ``held_out`` gives a whole sentence that no training hears.
    """
    kind = 0.0 if held_out else rng.random()
    known = training_sentences(language, held_out)
    if kind < 0.45:
        return known[int(rng.integers(len(known)))]
    if kind < 0.75 or language in ("ru", "ja", "cmn"):
        words = " ".join(known[int(rng.integers(len(known)))] for _ in range(4)).split()
        chosen = rng.choice(len(words), size=min(len(words), int(rng.integers(4, 13))), replace=False)
        return " ".join(words[int(i)] for i in chosen)
    return " ".join(_invented(rng) for _ in range(int(rng.integers(3, 9)))) + "."


def _invented(rng: np.random.Generator) -> str:
    parts = []
    for _ in range(int(rng.integers(1, 4))):
        parts += [str(rng.choice(_ONSETS)), str(rng.choice(_NUCLEI)), str(rng.choice(_CODAS)).strip()]
    return "".join(parts)
