"""How far a mouth is open, measured from its picture: a gauge that works for any engine.

A ridge regression (A. Hoerl and R. Kennard, "Ridge regression", 1970) from a coarse picture of the mouth, less the
same picture of the idle frame, to the gap between the lips that the studio's mesh has. It is fitted on renders of
the avatar only, never on what an engine draws. The idle picture itself measures 0 by construction.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.errors import MediaError
from models.quality.measures import Curve, correlation
from models.quality.region import MouthRegion
from models.quality.truth import Truth
from models.studio.speech import speak
from models.studio.texts import pick
from models.studio.visemes import curves
from models.studio.voices import language_of, random_prosody, random_voice

GRID_COLUMNS = 16
"""Coarse enough that blur or a pixel of shift hardly counts, fine enough to see lips part."""
RIDGE = 300.0
MIN_CORRELATION = 0.97
FIT_RENDERS = 240
SHUT_MM = 0.05
"""Lips closer than this by the mesh touch."""
OPEN_MM = 1.0
"""Lips further apart than this by the mesh are seen to be open."""
_FIT_SPEECH_S = 180.0
"""Some forty sentences: of few, what a mouth leaves of itself would depend on which they are."""


@dataclass(frozen=True)
class Renders:
    """Rendered frames with their labels."""

    frames: NDArray[np.int64]
    """(n,) indices into the idle loop."""
    pictures: list[NDArray[np.uint8]]
    """Whole pictures, I420."""
    openings_mm: Curve
    """(n,) by the mesh."""


class OpeningGauge:
    """Measures the opening of one avatar's mouth.

    Attributes:
        region: the part of a picture that is measured.
        range_mm: how far speech opens it: the 99th percentile of the labels it was fitted on.
        shut_below_mm: a mouth that measures less is shut.
    """

    def __init__(self, avatar: Avatar, renders: Renders) -> None:
        self._avatar, self.region = avatar, MouthRegion(avatar)
        height, width = self.region.inside.shape
        self._grid = (GRID_COLUMNS, max(2, round(GRID_COLUMNS * height / width)))
        self._idle: dict[int, NDArray[np.float32]] = {}
        features = np.stack([self._features(*pair) for pair in zip(renders.pictures, renders.frames, strict=True)])
        self._weights = ridge(features, renders.openings_mm, RIDGE)
        self.range_mm = float(np.quantile(renders.openings_mm, 0.99))
        self.shut_below_mm = shut_threshold(features @ self._weights, renders.openings_mm)

    def measure(self, i420: NDArray[np.uint8], frame: int) -> float:
        """Opening in mm of the mouth in a whole picture of frame ``frame`` of the loop; may be a little negative."""
        return float(self._features(i420, frame) @ self._weights)

    @property
    def grid_weights(self) -> NDArray[np.float64]:
        """(rows, ``GRID_COLUMNS``, 3): mm that 1 of 255 adds, in each of the region's fields and RGB."""
        columns, rows = self._grid
        return self._weights.reshape(rows, columns, -1)

    def agreement(self, renders: Renders) -> float:
        """Correlation with the labels of ``renders``, which should be others than those it was fitted on."""
        pairs = zip(renders.pictures, renders.frames, strict=True)
        measured = np.array([self.measure(picture, int(frame)) for picture, frame in pairs])
        return correlation(measured, renders.openings_mm)

    def _features(self, i420: NDArray[np.uint8], frame: int) -> NDArray[np.float64]:
        index = int(frame) % len(self._avatar)
        if index not in self._idle:
            self._idle[index] = self._coarse(self._avatar.frames_i420[index], index)
        return np.asarray((self._coarse(i420, index) - self._idle[index]).ravel(), dtype=np.float64)

    def _coarse(self, i420: NDArray[np.uint8], frame: int) -> NDArray[np.float32]:
        cut = self.region.cut(i420, frame).astype(np.float32)
        return np.asarray(cv2.resize(cut, self._grid, interpolation=cv2.INTER_AREA), dtype=np.float32)


def ridge(features: NDArray[np.float64], targets: Curve, penalty: float) -> NDArray[np.float64]:
    """Weights (p,) without an intercept that take ``features`` (n, p) to ``targets`` (n,), by the dual (n, n)."""
    kernel = features @ features.T + penalty * np.eye(len(features))
    return np.asarray(features.T @ np.linalg.solve(kernel, targets), dtype=np.float64)


def shut_threshold(measured: Curve, openings_mm: Curve) -> float:
    """The measure that parts shut mouths from open ones with the fewest errors, each kind weighing the same.

    Raises:
        MediaError: the renders hold no shut or no open mouth.
    """
    shut, is_open = measured[openings_mm < SHUT_MM], measured[openings_mm > OPEN_MM]
    if not len(shut) or not len(is_open):
        raise MediaError("The gauge's renders hold no shut or no open mouth; give it more of them.")
    places = np.linspace(np.min(shut), np.max(is_open), 400)
    errors = [float(np.mean(shut >= place) + np.mean(is_open < place)) for place in places]
    best = np.flatnonzero(np.asarray(errors) <= min(errors) + 1e-12)
    return float(places[best[len(best) // 2]])


def speech_renders(truth: Truth, loop_frames: int, count: int, seed: int) -> Renders:
    """``count`` frames of minutes of random speech over random idle frames; a fifth of them with lips that touch.

    The texts and voices are those of the training corpora, so that no held-out clip is drawn here.
    """
    rng = np.random.default_rng([seed, count])
    mouths = _mouths(rng)
    frames = rng.integers(0, loop_frames, count)
    labels = np.array([truth.opening_mm(0, mouth) for mouth in mouths])
    shut, moving = np.flatnonzero((labels < SHUT_MM) & mouths.any(axis=1)), np.flatnonzero(labels >= SHUT_MM)
    rows = np.concatenate([rng.choice(shut, count // 5), rng.choice(moving, count - count // 5)])
    pictures = [truth.picture(int(frame), mouths[row]) for frame, row in zip(frames, rows, strict=True)]
    openings = [truth.opening_mm(int(frame), mouths[row]) for frame, row in zip(frames, rows, strict=True)]
    return Renders(np.asarray(frames, dtype=np.int64), pictures, np.array(openings))


def _mouths(rng: np.random.Generator) -> NDArray[np.float32]:
    parts: list[NDArray[np.float32]] = []
    spoken_s = 0.0
    while spoken_s < _FIT_SPEECH_S:
        voice = random_voice(rng)
        if not voice.startswith("espeak:"):  # the labels alone are wanted here, and espeak-ng's need no second program
            continue
        utterance = speak(pick(language_of(voice), rng), voice, 0, random_prosody(rng))
        parts.append(curves(utterance.phones, utterance.duration_s))
        spoken_s += utterance.duration_s
    return np.concatenate(parts)
