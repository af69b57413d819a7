"""Are the phone times true? The lag between the sound's loudness and the labels, voice by voice.

A network learns whatever lateness its labels have. Each phone says how loud it should be (a vowel loud, a
closure silent); the cross-correlation of that series with the measured loudness peaks at the labels' lag.
"""

import argparse
import sys
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.studio.speech import Utterance, speak
from models.studio.texts import sentences
from models.studio.voices import FLITE, FLITE_HELD_OUT, HELD_OUT, HIBARI, LANGUAGES, VARIANTS, language_of

STEP_S = 0.0025
BAR_S = 0.015
_WINDOW_S = 0.02
_SPAN_S = 0.2
_LOUD_VISEMES = {
    **dict.fromkeys(("a", "ae", "e", "i", "schwa", "oa", "o", "u", "y", "oe"), 1.0),
    **dict.fromkeys(("w", "r", "l"), 0.75),
    **dict.fromkeys(("s", "sh", "f", "th", "h"), 0.35),
}
_LOUD_LETTERS = {**dict.fromkeys("mnŋɲɱɳɴ", 0.6), **dict.fromkeys("zʒvð", 0.45), **dict.fromkeys("bdɡg", 0.2)}


def _expected(symbol: str) -> float:
    from models.studio.visemes import visemes_of

    if not symbol:
        return 0.0
    if symbol[0] in _LOUD_LETTERS:
        return _LOUD_LETTERS[symbol[0]]
    return _LOUD_VISEMES.get(visemes_of(symbol)[0], 0.05)


def series(utterance: Utterance) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Loudness of the sound and loudness by the labels, both every ``STEP_S``, both in [0, 1]."""
    rate = utterance.sample_rate_hz
    count = int(utterance.duration_s / STEP_S)
    times_s = np.asarray(np.arange(count) * STEP_S, dtype=np.float64)
    power = np.concatenate(([0.0], np.cumsum(utterance.samples.astype(np.float64) ** 2)))
    half = _WINDOW_S / 2

    def index(at_s: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.asarray(np.clip((at_s * rate).astype(np.int64), 0, len(power) - 1), dtype=np.int64)

    energy = (power[index(times_s + half)] - power[index(times_s - half)]) / (_WINDOW_S * rate)
    level_db = 10 * np.log10(energy + 1e-10)
    loud = np.clip((level_db - level_db.max() + 40) / 40, 0.0, 1.0)
    expected = np.zeros(count)
    for phone in utterance.phones:
        expected[int(phone.start_s / STEP_S) : int(phone.end_s / STEP_S)] = _expected(phone.symbol)
    width = round(_WINDOW_S / STEP_S)
    return loud, np.convolve(expected, np.ones(width) / width, "same")


def lag_s(utterances: Sequence[Utterance]) -> tuple[float, float]:
    """(lag of the labels behind the sound in seconds, positive = late; correlation at that lag)."""
    pairs = [series(utterance) for utterance in utterances]
    reach = round(_SPAN_S / STEP_S)
    scores = []
    for shift in range(-reach, reach + 1):
        loud = np.concatenate([a[reach : len(a) - reach] for a, _ in pairs])
        label = np.concatenate([b[reach + shift : len(b) - reach + shift] for _, b in pairs])
        scores.append(float(np.corrcoef(loud, label)[0, 1]))
    best = int(np.argmax(scores))
    offset = 0.0
    if 0 < best < len(scores) - 1:
        left, middle, right = scores[best - 1 : best + 2]
        offset = 0.5 * (left - right) / (left - 2 * middle + right)
    return (best + offset - reach) * STEP_S, scores[best]


def check(voice: str, count: int, seed: int = 0) -> tuple[float, float]:
    """Lag and correlation of ``count`` sentences of a voice."""
    texts = [text for text in sentences(language_of(voice)) if len(text) > 12]
    return lag_s([speak(texts[i % len(texts)], voice, seed + i) for i in range(count)])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the lag of every voice; 1 if one is outside the bar."""
    parser = argparse.ArgumentParser(prog="python -m models.studio.check_labels", description=__doc__)
    parser.add_argument("--sentences", type=int, default=12, help="sentences a voice (default 12)")
    parser.add_argument("voices", nargs="*", help="voices such as espeak:de+f2 (default: every one used)")
    options = parser.parse_args(arguments)
    variants = [f"espeak:en-us+{variant}" for variant in (*VARIANTS, *HELD_OUT)]
    voices = options.voices or [
        *(f"espeak:{name}" for name in LANGUAGES),
        *variants,
        *FLITE,
        FLITE_HELD_OUT,
        HIBARI,
    ]
    worst = 0.0
    for voice in voices:
        lag, correlation = check(voice, options.sentences)
        worst = max(worst, abs(lag))
        print(f"{voice:28s} lag {1000 * lag:+6.1f} ms   correlation {correlation:.2f}")
    print(f"worst {1000 * worst:.1f} ms, bar {1000 * BAR_S:.0f} ms")
    return int(worst > BAR_S)


if __name__ == "__main__":
    sys.exit(main())
