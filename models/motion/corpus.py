"""What an ear is trained on: mel windows of recordings with the mouth code of every frame, varied."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import N_MELS, SILENCE
from models.motion.ear import EarShape

_WARPED, _TILTED, _MASKED = 0.8, 0.5, 0.4
"""Shares of the windows that get another vocal tract, another microphone, and less of the spectrum."""
_STRETCH, _SHIFT_BANDS = 0.06, (-6.0, 3.0)
"""The voices made of real speakers' recordings are men's; six bands higher they are women's and children's."""
_TILT_SPREAD = 0.25
_MOST_MASKS, _MASKED_BANDS = 2, (2, 12)
_HEARD = SILENCE + 0.05
_LOUDEST = 4.0


class SpeechCorpus:
    """A file of ``models.studio.ear_corpus``, in memory."""

    def __init__(self, path: Path, shape: EarShape) -> None:
        """``shape``: of the ear that it is for."""
        with np.load(path) as data:
            mel, self.code = data["mel"], torch.from_numpy(data["code"].astype(np.float32))
            starts = data["starts"]
        self._columns = shape.columns
        margin = np.full((len(mel), 2 * self._columns), SILENCE, dtype=np.float16)
        self._mel = np.concatenate([margin, mel, margin], axis=1)
        self._first = starts - shape.lead_columns + WINDOW_COLUMNS + self._columns

    def __len__(self) -> int:
        return len(self.code)

    def windows(self, frames: NDArray[np.int64]) -> Tensor:
        """(n, 1, 80, columns) of these frames."""
        return torch.from_numpy(self._cut(frames)[:, np.newaxis])

    def varied(self, frames: NDArray[np.int64], rng: np.random.Generator) -> Tensor:
        """``windows``, some of them as other speakers before other microphones."""
        return torch.from_numpy(np.stack([varied(window, rng) for window in self._cut(frames)])[:, np.newaxis])

    def _cut(self, frames: NDArray[np.int64]) -> NDArray[np.float32]:
        columns = self._first[frames][:, np.newaxis] + np.arange(self._columns)
        return np.ascontiguousarray(self._mel[:, columns].transpose(1, 0, 2), dtype=np.float32)


def varied(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(80, t) as another speaker before another microphone, in a share of the calls."""
    if rng.random() < _WARPED:
        mel = warped(mel, rng.uniform(-_STRETCH, _STRETCH), rng.uniform(*_SHIFT_BANDS))
    if rng.random() < _TILTED:
        mel = tilted(mel, rng.normal(0, _TILT_SPREAD), rng.normal(0, _TILT_SPREAD))
    if rng.random() < _MASKED:
        for _ in range(rng.integers(1, _MOST_MASKS, endpoint=True)):
            mel = masked(mel, int(rng.integers(*_MASKED_BANDS, endpoint=True)), rng)
    return mel


def warped(mel: NDArray[np.float32], stretch: float, shift_bands: float) -> NDArray[np.float32]:
    """(80, t) with its bands stretched about the middle one, and moved: a shorter or longer vocal tract."""
    middle = N_MELS / 2
    source = np.clip((np.arange(N_MELS) - middle) * (1 + stretch) + middle + shift_bands, 0, N_MELS - 1)
    below = np.floor(source).astype(np.int64)
    share = (source - below).astype(np.float32)[:, np.newaxis]
    return np.asarray(mel[below] * (1 - share) + mel[np.minimum(below + 1, N_MELS - 1)] * share)


def tilted(mel: NDArray[np.float32], tilt: float, gain: float) -> NDArray[np.float32]:
    """(80, t) through a microphone that lifts the upper bands by ``tilt`` and all by ``gain``; silence stays so."""
    change = (np.linspace(-1, 1, N_MELS) * tilt + gain).astype(np.float32)[:, np.newaxis]
    return np.where(mel > _HEARD, np.clip(mel + change, SILENCE, _LOUDEST), mel)


def masked(mel: NDArray[np.float32], bands: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """(80, t) without so many bands side by side: what an ear learns from must not hang on a few of them.

    Park et al., "SpecAugment", Interspeech 2019. They become silent, or what they are on average.
    """
    first = int(rng.integers(0, N_MELS - bands, endpoint=True))
    there = slice(first, first + bands)
    mel = mel.copy()
    mel[there] = mel[there].mean() if rng.random() < 0.5 else SILENCE
    return mel
