"""From a sound to what the networks hear of it, and to the blinks and smooth poses they cannot tell from it."""

import itertools
import random
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import MelStream, column_count, mel_spectrogram
from models.timebase import SAMPLES_PER_FRAME, first_column

WINDOW_COLUMNS = 16
LEAD_FRAMES = 2
"""A window begins this many frames before its own."""
_BLINK = (0.5, 0.9, 1.0, 0.9, 0.5)
_SLOW_BLINK = (0.5, 0.6, 0.7, 0.9, 1.0, 0.9, 0.7, 0.6, 0.5)
_SLOW_GAP_FRAMES = 80
_LEAST_FRAMES = 22
"""Shorter sounds have no blink."""
_BLOCK_FRAMES = 32
_PIECE_SAMPLES = 6400
_SMOOTHING_FRAMES = 13
_SMOOTHING_ORDER = 2

Floats = NDArray[np.float32]


def frame_count(samples: int) -> int:
    """Whole video frames in ``samples`` of sound at 16 kHz."""
    return samples // SAMPLES_PER_FRAME


def window_starts(frames: int) -> NDArray[np.int64]:
    """First mel column of each frame's window; the first two are negative."""
    # Truncated towards zero, as trained: a negative start is one column later than flooring would have it.
    late = np.array([-first_column(LEAD_FRAMES - i, 0) for i in range(min(frames, LEAD_FRAMES))], dtype=np.int64)
    rest = [first_column(i - LEAD_FRAMES, 0) for i in range(len(late), frames)]
    return np.concatenate((late, np.array(rest, dtype=np.int64)))


def mel_windows(samples: Floats) -> Floats:
    """Sound (n,) at 16 kHz in [-1, 1] -> (frames, 1, 80, 16); columns beyond the ends repeat the outermost.

    Raises:
        ValueError: shorter than a frame, or not finite.
    """
    frames = frame_count(len(samples))
    if not frames:
        raise ValueError(f"A sound needs at least {SAMPLES_PER_FRAME} samples, one frame, not {len(samples)}.")
    mel = mel_spectrogram(samples[: frames * SAMPLES_PER_FRAME])
    columns = window_starts(frames)[:, None] + np.arange(WINDOW_COLUMNS)
    return mel[:, np.clip(columns, 0, mel.shape[1] - 1)].transpose(1, 0, 2)[:, None]


def mel_blocks(sound: Iterable[Floats], frames: int) -> Iterator[Floats]:
    """``mel_windows`` of a sound that comes in chunks, in blocks that do not grow with it.

    Args:
        sound: (n,) chunks at 16 kHz in [-1, 1]; what is missing to ``frames`` is silence, what is beyond is not heard.
        frames: how many there are.

    Yields:
        (at most 32, 1, 80, 16).
    """
    starts, last = window_starts(frames), column_count(frames * SAMPLES_PER_FRAME) - 1
    stream, done = MelStream(), 0
    for samples in _of_length(sound, frames * SAMPLES_PER_FRAME):
        stream.push(samples)
        while done + _BLOCK_FRAMES < frames and starts[done + _BLOCK_FRAMES] + WINDOW_COLUMNS <= stream.columns:
            yield _windows_of(stream, starts[done : done + _BLOCK_FRAMES], last)
            done += _BLOCK_FRAMES
    stream.flush()
    for first in range(done, frames, _BLOCK_FRAMES):
        yield _windows_of(stream, starts[first : first + _BLOCK_FRAMES], last)


def _of_length(sound: Iterable[Floats], samples: int) -> Iterator[Floats]:
    """``sound``, cut or filled up to ``samples``, in pieces that a mel stream keeps whole."""
    silence = np.zeros(_PIECE_SAMPLES, np.float32)
    for chunk in itertools.chain(sound, itertools.repeat(silence)):
        for first in range(0, min(len(chunk), samples), _PIECE_SAMPLES):
            yield chunk[first : min(first + _PIECE_SAMPLES, samples)]
        samples -= len(chunk)
        if samples <= 0:
            return


def _windows_of(stream: MelStream, starts: NDArray[np.int64], last: int) -> Floats:
    columns = np.clip(starts[:, None] + np.arange(WINDOW_COLUMNS), 0, last)
    first = int(columns[0, 0])
    mel = stream.window(first, int(columns[-1, -1]) + 1 - first)
    return mel[:, columns - first].transpose(1, 0, 2)[:, None]


def random_blinks(frames: int, rng: random.Random) -> Floats:
    """How far the eyes are shut in each frame, (frames,): blinks of five frames, 10 to 70 frames apart."""
    blinks = np.zeros(frames, dtype=np.float32)
    if frames < _LEAST_FRAMES:
        return blinks
    begin = 0
    while True:
        begin += rng.choice(range(min(10, frames), min(frames // 2, 70)))
        if begin + len(_BLINK) > frames - 1:
            return blinks
        blinks[begin : begin + len(_BLINK)] = _BLINK
        begin += len(_BLINK)


def steady_blinks(frames: int) -> Floats:
    """Blinks of nine frames, 80 frames apart, (frames,)."""
    blinks = np.zeros(frames, dtype=np.float32)
    period = _SLOW_GAP_FRAMES + len(_SLOW_BLINK)
    for end in range(period, frames, period):
        blinks[end - len(_SLOW_BLINK) : end] = _SLOW_BLINK
    return blinks


def smoothed(poses: Floats) -> Floats:
    """Poses (t, 6) without jitter: each by a parabola through the 13 about it, the ends by the outermost's.

    A. Savitzky and M. J. E. Golay, "Smoothing and Differentiation of Data by Simplified Least Squares Procedures",
    Analytical Chemistry 36, 1964. Fewer than 13 poses take the largest odd window that fits into t - 1 or t.
    """
    frames = len(poses)
    window = _SMOOTHING_FRAMES if frames >= _SMOOTHING_FRAMES else (frames - 1) // 2 * 2 + 1
    if window <= _SMOOTHING_ORDER:
        return poses.astype(np.float32)
    half = window // 2
    powers = np.vander(np.arange(-half, half + 1), _SMOOTHING_ORDER + 1).astype(np.float64)
    fitted = powers @ np.linalg.pinv(powers)
    # (window, window): row r is the parabola's value at place r of the window
    values = poses.astype(np.float64)
    smooth = np.empty_like(values)
    for frame in range(frames):
        first = min(max(frame - half, 0), frames - window)
        smooth[frame] = fitted[frame - first] @ values[first : first + window]
    return smooth.astype(np.float32)
