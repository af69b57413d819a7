"""What the motion network is trained on: recordings with the mouth code of every frame, in pieces, varied."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio.mel import N_MELS, SILENCE
from models.motion.network import COLUMNS

PIECE_FRAMES = 100
_WARPED, _TILTED = 0.7, 0.5
"""Shares of the pieces that get another vocal tract, and another microphone."""
_STRETCH, _SHIFT_BANDS = 0.06, 2.5
_TILT_SPREAD = 0.25
_HEARD = SILENCE + 0.05
_LOUDEST = 4.0


@dataclass(frozen=True)
class Batch:
    """Pieces of recordings."""

    mel: Tensor
    """(n, 1, 80, t)."""
    moments: Tensor
    """(n, frames): which of the network's moments is each frame's."""
    code: Tensor
    """(n, frames, K)."""


class SpeechCorpus:
    """A file of ``models.studio.ear_corpus``, in memory."""

    def __init__(self, path: Path, lead_columns: int) -> None:
        """``lead_columns``: of the network's columns, how many lie before a frame's start."""
        with np.load(path) as data:
            mel, self.code = data["mel"], data["code"].astype(np.float32)
            starts = data["starts"]
        before = np.full((N_MELS, COLUMNS), SILENCE, dtype=np.float16)
        self.mel = np.concatenate([before, mel, before], axis=1)
        self.first = starts - lead_columns + COLUMNS
        """(frames,) the first column of each frame's window."""
        # Where clips meet there are a few columns more than frames.
        self._span = int((self.first[PIECE_FRAMES - 1 :] - self.first[: 1 - PIECE_FRAMES]).max()) + 1

    def __len__(self) -> int:
        return len(self.code)

    def batch(self, pieces: int, rng: np.random.Generator) -> Batch:
        """Random pieces of ``PIECE_FRAMES`` frames, warped and tilted."""
        frames = rng.integers(0, len(self) - PIECE_FRAMES + 1, pieces)[:, np.newaxis] + np.arange(PIECE_FRAMES)
        first = self.first[frames]
        mel = np.stack([self._piece(start, rng) for start in first[:, 0]])
        moments = torch.from_numpy(first - first[:, :1])
        return Batch(torch.from_numpy(mel)[:, np.newaxis], moments, torch.from_numpy(self.code[frames]))

    def whole(self, columns: int = 8000) -> Iterator[Tensor]:
        """The mel spectrogram in parts (1, 1, 80, t) whose moments follow each other without gap or overlap."""
        end = self.mel.shape[1] - COLUMNS + 1
        for start in range(0, end, columns):
            stop = min(start + columns, end) + COLUMNS - 1
            yield torch.from_numpy(self.mel[np.newaxis, np.newaxis, :, start:stop].astype(np.float32))

    def _piece(self, start: int, rng: np.random.Generator) -> NDArray[np.float32]:
        return varied(self.mel[:, start : start + self._span + COLUMNS - 1].astype(np.float32), rng)


def varied(mel: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """(80, t) as another speaker before another microphone, in a share of the calls."""
    if rng.random() < _WARPED:
        mel = warped(mel, rng.uniform(-_STRETCH, _STRETCH), rng.uniform(-_SHIFT_BANDS, _SHIFT_BANDS))
    if rng.random() < _TILTED:
        mel = tilted(mel, rng.normal(0, _TILT_SPREAD), rng.normal(0, _TILT_SPREAD))
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
