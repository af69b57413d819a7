"""The mel spectrogram the face networks hear, for a whole file and for a stream.

16 kHz sound -> pre-emphasis 0.97 -> STFT (800-sample periodic Hann window, hop 200, centred) -> magnitude
-> 80 Slaney mel bands of unit area, 55 to 7600 Hz -> decibels -> clipped to [-4, 4]. Column c is centred on
sample 200 c, so it needs samples [200 c - 400, 200 c + 400). Reckoned in float64, returned in float32.

The Slaney mel scale and area normalisation: M. Slaney, "Auditory Toolbox", Technical Report 1998-010,
Interval Research Corporation.
"""

from functools import cache
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.timebase import MEL_HOP, SPEECH_RATE_HZ

N_MELS = 80
N_FFT = 800
HALF_WINDOW = N_FFT // 2
PRE_EMPHASIS = 0.97
LOW_HZ = 55.0
HIGH_HZ = 7600.0
REFERENCE_DB = 20.0
FLOOR_DB = -100.0
LIMIT = 4.0
SILENCE = -LIMIT
"""What digital silence looks like in every band."""

_MAGNITUDE_FLOOR = 1e-5
_BLOCK_COLUMNS = 1024
"""Columns reckoned at once: bounds the memory of a long file to some ten megabytes."""

_SLANEY_HZ_PER_MEL = 200.0 / 3.0
_SLANEY_LOG_START_HZ = 1000.0
_SLANEY_LOG_STEP = np.log(6.4) / 27.0


def column_count(samples: int) -> int:
    """Columns of a whole file of ``samples`` samples."""
    return samples // MEL_HOP + 1


def hz_to_mel(hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slaney mel: linear below 1 kHz, logarithmic above."""
    linear = hz / _SLANEY_HZ_PER_MEL
    start = _SLANEY_LOG_START_HZ / _SLANEY_HZ_PER_MEL
    above = start + np.log(np.maximum(hz, _SLANEY_LOG_START_HZ) / _SLANEY_LOG_START_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_LOG_START_HZ, linear, above)


def mel_to_hz(mel: NDArray[np.float64]) -> NDArray[np.float64]:
    """The inverse of :func:`hz_to_mel`."""
    start = _SLANEY_LOG_START_HZ / _SLANEY_HZ_PER_MEL
    above = _SLANEY_LOG_START_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mel, start) - start))
    return np.where(mel < start, mel * _SLANEY_HZ_PER_MEL, above)


@cache
def filter_bank() -> NDArray[np.float64]:
    """(80, 401): triangular filters over the STFT's bins, each of unit area in Hz."""
    bins_hz = np.linspace(0.0, SPEECH_RATE_HZ / 2, N_FFT // 2 + 1)
    low, high = hz_to_mel(np.array([LOW_HZ, HIGH_HZ]))
    edges_hz = mel_to_hz(np.linspace(low, high, N_MELS + 2))
    left, centre, right = edges_hz[:-2, None], edges_hz[1:-1, None], edges_hz[2:, None]
    rising = (bins_hz - left) / (centre - left)
    falling = (right - bins_hz) / (right - centre)
    bank = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (right - left))
    bank.setflags(write=False)
    return bank


@cache
def _hann() -> NDArray[np.float64]:
    window = 0.5 - 0.5 * np.cos(2.0 * np.pi * np.arange(N_FFT) / N_FFT)
    window.setflags(write=False)
    return window


def pre_emphasis(samples: NDArray[np.float32], previous: float = 0.0) -> NDArray[np.float64]:
    """y[n] = x[n] - 0.97 x[n - 1] in float64; ``previous`` is the sample before the first."""
    emphasised = samples.astype(np.float64)
    emphasised[1:] -= PRE_EMPHASIS * samples[:-1].astype(np.float64)
    if len(emphasised):
        emphasised[0] -= PRE_EMPHASIS * previous
    return emphasised


def magnitudes(padded: NDArray[np.float64]) -> NDArray[np.float64]:
    """STFT magnitudes (401, columns) of an already padded signal; the first column begins at its start."""
    frames = sliding_window_view(padded, N_FFT)[::MEL_HOP]
    return np.abs(np.fft.rfft(frames * _hann(), axis=1)).T


def _columns(padded: NDArray[np.float64]) -> NDArray[np.float32]:
    """Mel columns (80, n) of an already padded, pre-emphasised signal."""
    mel = filter_bank() @ magnitudes(padded)
    decibels = 20.0 * np.log10(np.maximum(_MAGNITUDE_FLOOR, mel)) - REFERENCE_DB
    scaled = 2.0 * LIMIT * (decibels - FLOOR_DB) / -FLOOR_DB - LIMIT
    return np.clip(scaled, -LIMIT, LIMIT).astype(np.float32)


def _checked(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    if samples.ndim != 1:
        raise ValueError(f"The mel spectrogram needs mono sound of shape (n,), not {samples.shape}.")
    if not np.isfinite(samples).all():
        raise ValueError("The sound holds NaN or infinite samples; clean it before the mel spectrogram.")
    return samples


def mel_spectrogram(
    samples: NDArray[np.float32], padding: Literal["zeros", "reflect"] = "zeros"
) -> NDArray[np.float32]:
    """Mel spectrogram of a whole file.

    Args:
        samples: (n,) at 16 kHz, in [-1, 1].
        padding: how the half window before the first and after the last sample is filled. "reflect" is
            what the first published pipelines used; only the outer two columns at each end differ.

    Returns:
        (80, n // 200 + 1) float32 in [-4, 4].

    Raises:
        ValueError: not mono, not finite, or too short to reflect (under 401 samples).
    """
    emphasised = pre_emphasis(_checked(samples))
    if padding == "reflect":
        if len(emphasised) <= HALF_WINDOW:
            raise ValueError(f"Reflection needs more than {HALF_WINDOW} samples, not {len(emphasised)}.")
        padded = np.pad(emphasised, HALF_WINDOW, mode="reflect")
    else:
        padded = np.pad(emphasised, HALF_WINDOW)
    total = column_count(len(samples))
    mel = np.empty((N_MELS, total), dtype=np.float32)
    for first in range(0, total, _BLOCK_COLUMNS):
        last = min(first + _BLOCK_COLUMNS, total)
        mel[:, first:last] = _columns(padded[first * MEL_HOP : (last - 1) * MEL_HOP + N_FFT])
    return mel


class MelStream:
    """The same spectrogram, column by column, as the sound arrives.

    Columns are kept by absolute index in a ring of ``capacity`` columns; each is computed once, as soon as
    its last sample is there. Whatever the sizes of the pushes, the columns equal ``mel_spectrogram``'s.
    """

    def __init__(self, capacity: int = 512) -> None:
        if capacity < 1:
            raise ValueError(f"A mel stream needs a capacity of at least one column, not {capacity}.")
        self._ring = np.full((N_MELS, capacity), SILENCE, dtype=np.float32)
        self._pending = np.zeros(HALF_WINDOW)  # pre-emphasised sound from the next column's start on
        self._previous = 0.0
        self._samples = 0
        self._columns = 0
        self._flushed = False

    @property
    def columns(self) -> int:
        """Columns computed so far: the index of the next one."""
        return self._columns

    @property
    def samples(self) -> int:
        """Samples pushed so far."""
        return self._samples

    @property
    def first(self) -> int:
        """The oldest column still kept."""
        return max(0, self._columns - self._ring.shape[1])

    def push(self, samples: NDArray[np.float32]) -> int:
        """Take the next samples, (n,) at 16 kHz; returns how many columns became available.

        Raises:
            ValueError: not mono, not finite, or pushed after ``flush``.
        """
        if self._flushed:
            raise ValueError("This mel stream was flushed; start a new one for more sound.")
        if len(_checked(samples)) == 0:
            return 0
        emphasised = pre_emphasis(samples, self._previous)
        self._previous = float(samples[-1])
        self._samples += len(samples)
        self._pending = np.concatenate((self._pending, emphasised))
        return self._advance()

    def flush(self) -> int:
        """End the sound: compute the columns that reach past it, padded with zeros; returns how many."""
        if self._flushed:
            return 0
        self._flushed = True
        missing = column_count(self._samples) - self._columns
        length = (missing - 1) * MEL_HOP + N_FFT
        self._pending = np.pad(self._pending, (0, max(0, length - len(self._pending))))[:length]
        return self._advance()

    def window(self, start: int, columns: int) -> NDArray[np.float32]:
        """Columns [start, start + columns) as a fresh (80, columns) array; negative ones are silence.

        Raises:
            IndexError: some of them are not computed yet, or no longer kept.
        """
        end = start + columns
        if end > self._columns:
            raise IndexError(f"Mel columns up to {end} were asked for, but only {self._columns} are computed.")
        if max(0, start) < self.first and end > 0:
            raise IndexError(f"Mel column {start} is discarded; the oldest one kept is {self.first}.")
        window = np.full((N_MELS, columns), SILENCE, dtype=np.float32)
        kept = np.arange(max(0, start), end)
        if len(kept):
            window[:, -len(kept) :] = self._ring[:, kept % self._ring.shape[1]]
        return window

    def _advance(self) -> int:
        before = self._columns
        capacity = self._ring.shape[1]
        ready = max(0, (len(self._pending) - N_FFT) // MEL_HOP + 1)
        for first in range(0, ready, _BLOCK_COLUMNS):
            last = min(first + _BLOCK_COLUMNS, ready)
            block = _columns(self._pending[first * MEL_HOP : (last - 1) * MEL_HOP + N_FFT])[:, -capacity:]
            indices = np.arange(before + last - block.shape[1], before + last)
            self._ring[:, indices % capacity] = block
        self._pending = self._pending[ready * MEL_HOP :]
        self._columns = before + ready
        return ready
