"""Phones with times -> ARKit mouth curves.

Each phone is a viseme: a target for the mouth's shapes, and a dominance over each group of them that falls off
exponentially before and after it. A curve is the dominance-weighted mean of the targets, so that neighbours
melt into each other (M. Cohen and D. Massaro, "Modeling coarticulation in synthetic visual speech", 1993).
Contacts are not a matter of means: where lips or lip and teeth must touch, a gate overrules the blend.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.studio.arkit import ARKIT_NAMES, columns
from models.timebase import FRAMES_PER_SECOND

MOUTH_NAMES: tuple[str, ...] = (
    "jawOpen",
    "mouthClose",
    "mouthFunnel",
    "mouthPucker",
    "mouthLowerDown",
    "mouthUpperUp",
    "mouthStretch",
    "mouthSmile",
    "mouthPress",
    "mouthRollLower",
    "mouthRollUpper",
    "tongueOut",
)
"""The mouth code: what speech drives, left and right merged, each in [0, 1]."""

_GROUPS: Final = {
    "open": (0, 4, 5),
    "round": (2, 3),
    "spread": (6, 7),
    "contact": (1, 8, 9, 10),
    "tongue": (11,),
}


@dataclass(frozen=True)
class Phone:
    """A speech sound and when it sounds."""

    symbol: str
    """IPA; empty for a pause."""
    start_s: float
    end_s: float


@dataclass(frozen=True)
class _Viseme:
    target: dict[str, float]
    reach_s: float = 0.05
    """Time in which the dominance falls by a factor e."""
    open: float = 1.0
    round: float = 1.0
    spread: float = 1.0


_REST = _Viseme({}, 0.05, 1.0, 0.8, 0.8)
_VISEMES: Final[dict[str, _Viseme]] = {
    "rest": _REST,
    "a": _Viseme({"jawOpen": 0.56, "mouthLowerDown": 0.38, "mouthUpperUp": 0.22, "mouthStretch": 0.05}),
    "ae": _Viseme({"jawOpen": 0.48, "mouthLowerDown": 0.42, "mouthUpperUp": 0.28, "mouthStretch": 0.25, "mouthSmile": 0.15}),
    "e": _Viseme({"jawOpen": 0.33, "mouthLowerDown": 0.42, "mouthUpperUp": 0.30, "mouthStretch": 0.35, "mouthSmile": 0.28}),
    "i": _Viseme({"jawOpen": 0.16, "mouthLowerDown": 0.42, "mouthUpperUp": 0.28, "mouthStretch": 0.42, "mouthSmile": 0.45}),
    "schwa": _Viseme({"jawOpen": 0.26, "mouthLowerDown": 0.28, "mouthUpperUp": 0.15}, 0.045, 0.8, 0.6, 0.6),
    "oa": _Viseme({"jawOpen": 0.46, "mouthFunnel": 0.48, "mouthPucker": 0.12, "mouthLowerDown": 0.20}, 0.06, 1.0, 1.4),
    "o": _Viseme({"jawOpen": 0.34, "mouthFunnel": 0.66, "mouthPucker": 0.34, "mouthLowerDown": 0.10}, 0.06, 1.0, 1.7, 1.5),
    "u": _Viseme({"jawOpen": 0.16, "mouthPucker": 0.85, "mouthFunnel": 0.38}, 0.06, 1.1, 2.0, 2.0),
    "y": _Viseme({"jawOpen": 0.16, "mouthPucker": 0.72, "mouthFunnel": 0.40, "mouthLowerDown": 0.10}, 0.06, 1.0, 1.8, 1.8),
    "oe": _Viseme({"jawOpen": 0.28, "mouthPucker": 0.45, "mouthFunnel": 0.55, "mouthLowerDown": 0.18}, 0.06, 1.0, 1.6, 1.5),
    "w": _Viseme({"jawOpen": 0.08, "mouthPucker": 0.95, "mouthFunnel": 0.25}, 0.05, 1.8, 2.6, 2.4),
    "r": _Viseme({"jawOpen": 0.17, "mouthFunnel": 0.46, "mouthPucker": 0.26, "mouthLowerDown": 0.15}, 0.045, 0.9, 0.9, 0.9),
    "t": _Viseme({"jawOpen": 0.12, "mouthLowerDown": 0.36, "mouthUpperUp": 0.20, "mouthStretch": 0.12}, 0.035, 0.9, 0.15, 0.25),
    "s": _Viseme({"jawOpen": 0.06, "mouthLowerDown": 0.48, "mouthUpperUp": 0.28, "mouthStretch": 0.25, "mouthSmile": 0.12}, 0.04, 1.7, 0.3, 0.5),
    "sh": _Viseme({"jawOpen": 0.08, "mouthFunnel": 0.72, "mouthPucker": 0.26, "mouthLowerDown": 0.24, "mouthUpperUp": 0.18}, 0.05, 1.7, 1.9, 1.9),
    "l": _Viseme({"jawOpen": 0.22, "mouthLowerDown": 0.36, "mouthUpperUp": 0.18, "tongueOut": 0.04}, 0.04, 0.8, 0.15, 0.25),
    "k": _Viseme({"jawOpen": 0.20, "mouthLowerDown": 0.26, "mouthUpperUp": 0.14}, 0.035, 0.6, 0.12, 0.15),
    "h": _Viseme({"jawOpen": 0.26, "mouthLowerDown": 0.24, "mouthUpperUp": 0.12}, 0.03, 0.25, 0.08, 0.08),
    "th": _Viseme({"jawOpen": 0.15, "mouthLowerDown": 0.42, "mouthUpperUp": 0.24, "tongueOut": 0.16}, 0.04, 1.4, 0.3, 0.4),
    "m": _Viseme({"jawOpen": 0.02, "mouthClose": 0.05, "mouthPress": 0.55, "mouthRollLower": 0.26, "mouthRollUpper": 0.22}, 0.03, 0.6, 0.12, 0.15),
    "f": _Viseme({"jawOpen": 0.05, "mouthRollLower": 0.62, "mouthUpperUp": 0.30, "mouthClose": 0.03}, 0.035, 1.2, 0.25, 0.3),
}  # fmt: skip

_OF_LETTER: Final = {
    letter: viseme
    for viseme, letters in {
        "a": "aɑɐäᴀ",
        "ae": "æ",
        "e": "eɛ",
        "i": "iɪjɲɟcʎ",
        "schwa": "əʌɜᵊɚɝɨᵻɘɤɯɵ",
        "oa": "ɒ",
        "o": "ɔo",
        "u": "uʊʉ",
        "y": "yʏɥ",
        "oe": "øœɶ",
        "w": "wʍ",
        "r": "ɹɻ",
        "t": "tdnrɾɽʈɖɳ",
        "s": "szçɕʑʝʦʣ",
        "sh": "ʃʒʧʤʂʐ",
        "l": "lɫɭɬɮ",
        "k": "kɡgŋxɣχʁʀqɢɴɰ",
        "h": "hɦħʔʕ",
        "th": "θð",
        "m": "mbpɓʙ",
        "f": "fvʋɱɸβ",
    }.items()
    for letter in letters
}
_VOWELS: Final = frozenset(("a", "ae", "e", "i", "schwa", "oa", "o", "u", "y", "oe"))
_GATED: Final = {"m": 1.0, "f": 0.95}
_MIN_CONTACT_S = 1.0 / FRAMES_PER_SECOND
"""A contact shorter than a frame would fall between two frames' centres, so none is."""
_CONTACT_TRIM_S = 0.008
_APPROACH_S, _RELEASE_S = 0.060, 0.050
_FULL_VOWEL_S = 0.09
"""A vowel shorter than this undershoots its opening."""
_CHUNK_PHONES = 64


def visemes_of(symbol: str) -> tuple[str, ...]:
    """The visemes of an IPA symbol in order: one, two for a diphthong or an affricate; ``rest`` for a pause.

    Length marks, stress, tones and diacritics do not shape the lips and are ignored.
    """
    found: list[str] = []
    for letter in symbol:
        viseme = _OF_LETTER.get(letter)
        if viseme is not None and (not found or found[-1] != viseme):
            found.append(viseme)
    if found == ["t", "sh"] or found == ["t", "s"]:
        found = found[1:]
    return tuple(found) or ("rest",)


def segments(phones: Sequence[Phone]) -> list[tuple[str, float, float]]:
    """(viseme, start_s, end_s) of every part of every phone, neighbouring rests joined."""
    parts: list[tuple[str, float, float]] = []
    for phone in phones:
        names = visemes_of(phone.symbol)
        length = (phone.end_s - phone.start_s) / len(names)
        if length <= 0:
            continue
        for index, name in enumerate(names):
            start = phone.start_s + index * length
            if name == "rest" and parts and parts[-1][0] == "rest":
                parts[-1] = ("rest", parts[-1][1], start + length)
            else:
                parts.append((name, start, start + length))
    return parts


@cache
def _table() -> tuple[dict[str, int], NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Row of each viseme; targets (v, K), dominances (v, K), reaches (v, 1)."""
    rows = {name: row for row, name in enumerate(_VISEMES)}
    targets = np.zeros((len(rows), len(MOUTH_NAMES)))
    dominances = np.ones((len(rows), len(MOUTH_NAMES)))
    reaches = np.zeros((len(rows), 1))
    for name, viseme in _VISEMES.items():
        row = rows[name]
        for control, value in viseme.target.items():
            targets[row, MOUTH_NAMES.index(control)] = value
        for group in ("open", "round", "spread"):
            dominances[row, list(_GROUPS[group])] = getattr(viseme, group)
        reaches[row] = viseme.reach_s
    return rows, targets, dominances, reaches


def _blend(parts: list[tuple[str, float, float]], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The dominance-weighted mean of the targets, (n, K); contacts are left to the gates."""
    rows, targets, dominances, reaches = _table()
    upper = np.zeros((len(times_s), len(MOUTH_NAMES)))
    lower = np.full((len(times_s), len(MOUTH_NAMES)), 1e-6)
    for first in range(0, len(parts), _CHUNK_PHONES):
        chunk = parts[first : first + _CHUNK_PHONES]
        row = np.array([rows[name] for name, _, _ in chunk])
        start = np.array([start for _, start, _ in chunk])
        end = np.array([end for _, _, end in chunk])
        vowel = np.array([name in _VOWELS for name, _, _ in chunk])
        target = targets[row].copy()
        target[:, list(_GROUPS["contact"])] = 0.0
        reached = np.where(vowel, np.clip((end - start) / _FULL_VOWEL_S, 0.6, 1.1), 1.0)
        target[:, 0] *= reached
        away = np.maximum(np.maximum(start - times_s[:, None], times_s[:, None] - end), 0.0)
        weight = np.exp(-away / reaches[row, 0]) * np.minimum(1.0, (end - start) / 0.05 + 0.3)
        upper += weight @ (dominances[row] * target)
        lower += weight @ dominances[row]
    return np.asarray(upper / lower, dtype=np.float64)


def _gate(start: float, end: float, times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 during a contact, and at least at one frame's centre; straight ramps before and after."""
    middle = (start + end) / 2
    first = min(start + _CONTACT_TRIM_S, middle - _MIN_CONTACT_S / 2)
    last = max(end - _CONTACT_TRIM_S, middle + _MIN_CONTACT_S / 2)
    before = 1.0 - (first - times_s) / _APPROACH_S
    after = 1.0 - (times_s - last) / _RELEASE_S
    return np.clip(np.minimum(before, after), 0.0, 1.0)


def code_curves(phones: Sequence[Phone], duration_s: float, fps: float = FRAMES_PER_SECOND) -> NDArray[np.float32]:
    """The mouth code of every frame, (n, K) in [0, 1] in the order of ``MOUTH_NAMES``.

    Frame n is sampled at its centre, (n + 0.5) / fps; there are ``ceil(duration_s * fps)`` frames.
    """
    count = int(np.ceil(duration_s * fps - 1e-9))
    times_s: NDArray[np.float64] = np.asarray((np.arange(count) + 0.5) / fps, dtype=np.float64)
    parts = segments(phones)
    if not parts:
        return np.zeros((count, len(MOUTH_NAMES)), dtype=np.float32)
    edges = [("rest", min(0.0, parts[0][1]) - 1.0, parts[0][1]), *parts]
    edges.append(("rest", parts[-1][2], max(duration_s, parts[-1][2]) + 1.0))
    code = _blend(edges, times_s)
    rows, targets, _, _ = _table()
    for kind in ("f", "m"):  # lips last: nothing opens a closure
        for name, start, end in parts:
            if name != kind:
                continue
            window = slice(max(0, int((start - 0.2) * fps)), max(0, int((end + 0.2) * fps) + 1))
            gate = _GATED[kind] * _gate(start, end, times_s[window])[:, None]
            target = targets[rows[kind]].copy()
            local = code[window]
            target = np.where(np.isin(np.arange(len(target)), _GROUPS["round"]), 0.3 * local, target)
            code[window] = (1 - gate) * local + gate * target
    return np.clip(code, 0.0, 1.0).astype(np.float32)


def curves(phones: Sequence[Phone], duration_s: float, fps: float = FRAMES_PER_SECOND) -> NDArray[np.float32]:
    """ARKit weights of every frame, (n, 52) in [0, 1], columns in the order of ``ARKIT_NAMES``.

    Only mouth, jaw and tongue move; frame n is sampled at its centre, (n + 0.5) / fps.
    """
    return curves_from_code(code_curves(phones, duration_s, fps))


def curves_from_code(code: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mouth code (n, K) -> ARKit weights (n, 52): merged controls drive left and right alike."""
    weights = np.zeros((len(code), len(ARKIT_NAMES)), dtype=np.float32)
    for index, control in enumerate(MOUTH_NAMES):
        for column in columns(control):
            weights[:, column] = code[:, index]
    return weights


def mouth_code(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """ARKit weights (n, 52) -> mouth code (n, K): the mean of left and right, exact on speech curves."""
    code = [weights[:, list(columns(control))].mean(axis=1, dtype=np.float32) for control in MOUTH_NAMES]
    return np.stack(code, axis=1)
