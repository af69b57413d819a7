"""Forced alignment: where each phone of an utterance really is, for a synthesiser that knows it only roughly.

A phone is three states, each a Gaussian over cepstra and their slopes. Of all ways through an utterance's states,
the one that fits the sound best without straying far from the rough times gives the true ones (Viterbi). The
Gaussians come from the voice's own utterances: cut by the rough times at first, then by each better cut (B.-H. Juang
and L. Rabiner, "The segmental K-means algorithm for estimating parameters of hidden Markov models", 1990).
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.audio.mel import hz_to_mel, mel_to_hz
from models.studio.jit import compiled
from models.studio.visemes import Phone

HOP_S = 0.005
_WINDOW_S = 0.02
_FFT = 1024
_BANDS = 26
_BAND_HZ = (80.0, 7600.0)
_DEPTH = 11.0
"""Nepers below the loudest band at which a band counts as silent."""
_CEPSTRA = 13
_SLOPE_FRAMES = 3
_STATES = 3
_ROUNDS = 4
_PRIOR_FRAMES = 20
"""How many frames of the average sound a state is given beforehand: a rare phone must not fit its own few alone."""
_LEAST_VARIANCE = 0.05
_TRUST = 0.3
"""Neighbouring frames tell nearly the same: the share of each one's evidence that is new."""
_STRAY_S = 0.05
_MOST_STRAY_S = 0.2
_NEVER = -1e9
ASPIRATION = "ʰ"
"""The breath between a stop's burst and the vowel."""
_OPTIONAL = ("", ASPIRATION)

Features = NDArray[np.float64]


class Said(NamedTuple):
    """An utterance with the rough times of its phones; a pause is a phone without a symbol."""

    samples: NDArray[np.float32]
    rate_hz: int
    phones: Sequence[Phone]


class _State(NamedTuple):
    mean: Features
    variance: Features

    def fit(self, features: Features) -> Features:
        """Log-likelihood of every frame, (n,), but for a constant."""
        distance = ((features - self.mean) ** 2 / self.variance).sum(axis=1)
        return np.asarray(-0.5 * (distance + np.log(self.variance).sum()))


def cepstra(samples: NDArray[np.float32], rate_hz: int) -> Features:
    """(n, 26), a row every ``HOP_S`` centred on its time: mel cepstra and their slopes."""
    hop, window = round(rate_hz * HOP_S), round(rate_hz * _WINDOW_S)
    padded = np.pad(samples.astype(np.float64), window // 2)
    power = np.abs(np.fft.rfft(sliding_window_view(padded, window)[::hop] * np.hanning(window), _FFT)) ** 2
    lowest, highest = hz_to_mel(np.array(_BAND_HZ))
    edges_hz = mel_to_hz(np.linspace(lowest, highest, _BANDS + 2))
    bins_hz = np.fft.rfftfreq(_FFT, 1 / rate_hz)
    bank = np.stack([np.interp(bins_hz, edges_hz[i : i + 3], (0, 1, 0)) for i in range(_BANDS)])
    level = np.log(power @ bank.T + 1e-9)
    level = np.maximum(level, level.max() - _DEPTH)
    cepstrum = scipy.fft.dct(level, axis=1, norm="ortho")[:, :_CEPSTRA]
    reach = np.arange(-_SLOPE_FRAMES, _SLOPE_FRAMES + 1)
    around = np.pad(cepstrum, ((_SLOPE_FRAMES, _SLOPE_FRAMES), (0, 0)), "edge")
    slope = sliding_window_view(around, len(reach), axis=0) @ reach / (reach**2).sum()
    return np.concatenate((cepstrum, slope), axis=1)


class Aligner:
    """One voice's phones, and how they sound."""

    def __init__(self, states: dict[tuple[str, int], _State], centre: Features, spread: Features) -> None:
        self._states, self._centre, self._spread = states, centre, spread
        self._unknown = _State(np.zeros_like(centre), np.ones_like(spread))

    @classmethod
    def learnt(cls, utterances: Sequence[Said]) -> Self:
        """Learn how a voice's phones sound, from some minutes of it."""
        heard = [cepstra(said.samples, said.rate_hz) for said in utterances]
        everything = np.concatenate(heard)
        centre, spread = everything.mean(axis=0), everything.std(axis=0)
        heard = [(features - centre) / spread for features in heard]
        paths = [_evenly(said.phones, len(features)) for said, features in zip(utterances, heard, strict=True)]
        for _ in range(_ROUNDS):
            aligner = cls(_states(utterances, heard, paths), centre, spread)
            paths = [aligner._path(said.phones, features) for said, features in zip(utterances, heard, strict=True)]
        return aligner

    def align(self, said: Said) -> list[Phone]:
        """The phones where they sound, without gaps; pauses and aspirations that cannot be heard are left out."""
        features = (cepstra(said.samples, said.rate_hz) - self._centre) / self._spread
        path = self._path(said.phones, features) // _STATES
        kept, first = np.unique(path, return_index=True)
        starts_s = np.maximum((first - 0.5) * HOP_S, 0.0).tolist()  # between two frames' middles
        ends_s = [*starts_s[1:], len(said.samples) / said.rate_hz]
        return [
            Phone(said.phones[index].symbol, start_s, end_s)
            for index, start_s, end_s in zip(kept.tolist(), starts_s, ends_s, strict=True)
        ]

    def _path(self, phones: Sequence[Phone], features: Features) -> NDArray[np.int64]:
        """The state of every frame, (n,): ``_STATES`` times the phone's index, plus its own."""
        times_s = np.arange(len(features)) * HOP_S
        fit = np.zeros((len(phones) * _STATES, len(features)))
        entry = np.zeros_like(fit)
        back = np.ones(len(fit), np.int64)
        for index, phone in enumerate(phones):
            for state in range(_STATES):
                known = self._states.get((phone.symbol, state), self._unknown)
                fit[index * _STATES + state] = _TRUST * known.fit(features)
            stray_s = np.abs(times_s - phone.start_s)
            entry[index * _STATES] = np.where(stray_s > _MOST_STRAY_S, _NEVER, -0.5 * (stray_s / _STRAY_S) ** 2)
            if index > 1 and phones[index - 1].symbol in _OPTIONAL:
                back[index * _STATES] = 1 + _STATES
        return np.asarray(_best_path(fit, entry, back))


def _evenly(phones: Sequence[Phone], frames: int) -> NDArray[np.int64]:
    """The state of every frame if a phone's states share its rough time."""
    starts = np.array([np.linspace(p.start_s, p.end_s, _STATES, endpoint=False) for p in phones]).ravel() / HOP_S
    return np.clip(np.searchsorted(starts, np.arange(frames), "right") - 1, 0, len(starts) - 1)


def _states(
    utterances: Sequence[Said], heard: Sequence[Features], paths: Sequence[NDArray[np.int64]]
) -> dict[tuple[str, int], _State]:
    frames: dict[tuple[str, int], list[Features]] = defaultdict(list)
    for said, features, path in zip(utterances, heard, paths, strict=True):
        for at in np.unique(path).tolist():
            frames[said.phones[at // _STATES].symbol, at % _STATES].append(features[path == at])
    states = {}
    for key, parts in frames.items():
        own = np.concatenate(parts)
        share = len(own) / (len(own) + _PRIOR_FRAMES)
        states[key] = _State(share * own.mean(axis=0), share * own.var(axis=0) + (1 - share) + _LEAST_VARIANCE)
    return states


@compiled
def _best_path(fit: Features, entry: Features, back: NDArray[np.int64]) -> NDArray[np.int64]:
    """From the first state to the last: stay, step on, or step over what is optional (``back`` states)."""
    states, frames = fit.shape
    score = np.full(states, _NEVER)
    score[0] = fit[0, 0]
    came = np.zeros((states, frames), np.int64)
    for t in range(1, frames):
        for s in range(states - 1, -1, -1):  # downwards: what lies before is still the last frame's
            best, step = score[s], 0
            if s > 0 and score[s - 1] + entry[s, t] > best:
                best, step = score[s - 1] + entry[s, t], 1
            if back[s] > 1 and score[s - back[s]] + entry[s, t] > best:
                best, step = score[s - back[s]] + entry[s, t], back[s]
            score[s] = best + fit[s, t]
            came[s, t] = step
    path = np.zeros(frames, np.int64)
    s = states - 1
    for t in range(frames - 1, -1, -1):
        path[t] = s
        s -= came[s, t]
    return path
