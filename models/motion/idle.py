"""Head pose, blinks and gaze of somebody who speaks: random, seeded, and a pure function of frame and sound.

Nothing is remembered from frame to frame: drifts are read from a seeded curve at the frame's index, what speech adds
from the frame's own mel window. So frames may be dropped, drawn again or drawn in pieces, and stay the same.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from models.liveportrait.ranges import motion_ranges
from models.motion.hearing import activity, emphasis
from models.studio.arkit import weights
from models.timebase import FRAMES_PER_SECOND

Array = NDArray[np.float32]

BLINK_S = (2.0, 6.0)
"""Shortest and longest time from one blink to the next."""
_BLINK = (0.25, 0.75, 1.0, 0.85, 0.5, 0.22, 0.06)
"""Closure of the lids frame by frame: 100 ms down, 150 ms up."""
_DRIFT_FRAMES, _SWAY_FRAMES = 80, 22
"""From knot to knot of the slow and the quick curve, 3.2 s and 0.9 s."""
_DRIFT_SHARE, _SWAY_SHARE = 0.55, 0.35
"""Of the standard deviations of the published templates."""
_QUIET = 0.45
"""What of the movement is left where nobody speaks."""
_NOD_DEG = 2.5
"""How far the most stressed syllable lowers the chin."""
_GAZE_FRAMES = 45
"""Mean time of looking at one place, 1.8 s."""
_GLANCE_FRAMES = 3
"""Time the eyes take to go to the next, 120 ms."""
_GAZE_SHARE = 0.35
"""Largest gaze, of the ARKit shapes' whole way."""
_PITCH, _YAW, _ROLL, _X, _Y, _GAZE_X, _GAZE_Y, _BLINKS = range(8)


@dataclass(frozen=True)
class IdleMotion:
    """What of one frame is not the mouth's."""

    angles_deg: Array
    """(3,): pitch, yaw and roll, relative to the source's."""
    t: Array
    """(3,): translation, relative to the source's; no depth."""
    weights: Array
    """(52,): ARKit weights of lids, gaze and brows."""


class IdleProcess:
    """The random process of one person."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        ranges = motion_ranges()
        self._angle_std = ranges.pitch_yaw_roll_deg_std
        self._t_std = ranges.t_std
        self._blinks = [self._random(_BLINKS, 0).uniform(1.0, BLINK_S[1]) * FRAMES_PER_SECOND]
        """First frames of the blinks so far."""

    def at(self, frame: int, loud: Array) -> IdleMotion:
        """Frame ``frame``, whose mel window is as loud as ``loud`` (columns,), see ``hearing.loudness``."""
        gain = _QUIET + (1.0 - _QUIET) * activity(loud)
        angles = [
            float(self._angle_std[axis]) * (self._drift(axis, frame) + gain * self._sway(axis, frame))
            for axis in (_PITCH, _YAW, _ROLL)
        ]
        stress = emphasis(loud)
        angles[_PITCH] -= _NOD_DEG * stress
        x, y = (
            0.3 * float(self._t_std[axis - _X]) * (self._drift(axis, frame) + gain * self._sway(axis, frame))
            for axis in (_X, _Y)
        )
        face = self._gaze(frame) + weights(
            eyeBlink=self.blink(frame), browInnerUp=0.3 * stress, browOuterUp=0.2 * stress
        )
        return IdleMotion(np.array(angles, np.float32), np.array((x, y, 0), np.float32), face)

    def blink(self, frame: int) -> float:
        """How far the lids are closed, 0 to 1."""
        while self._blinks[-1] <= frame:
            pause_s = self._random(_BLINKS, len(self._blinks)).uniform(*BLINK_S)
            self._blinks.append(self._blinks[-1] + pause_s * FRAMES_PER_SECOND)
        index = int(np.searchsorted(self._blinks, frame, side="right")) - 1
        if index < 0:
            return 0.0
        since = frame - self._blinks[index]
        return float(np.interp(since, np.arange(-1, len(_BLINK) + 1), (0.0, *_BLINK, 0.0)))

    def _gaze(self, frame: int) -> Array:
        """Weights of where the eyes look: still, then quickly elsewhere, mostly straight ahead."""
        index, since = divmod(frame, _GAZE_FRAMES)
        share = np.clip(since / _GLANCE_FRAMES, 0.0, 1.0)
        share = share * share * (3.0 - 2.0 * share)
        x, y = (
            float((1 - share) * self._look_at(axis, index - 1) + share * self._look_at(axis, index))
            for axis in (_GAZE_X, _GAZE_Y)
        )
        return weights(
            eyeLookOutLeft=max(x, 0.0),
            eyeLookInRight=max(x, 0.0),
            eyeLookInLeft=max(-x, 0.0),
            eyeLookOutRight=max(-x, 0.0),
            eyeLookDown=max(y, 0.0),
            eyeLookUp=max(-y, 0.0),
        )

    def _look_at(self, axis: int, index: int) -> float:
        random = _normal(self.seed, axis, index)
        return _GAZE_SHARE * float(np.clip(0.4 * random, -1.0, 1.0)) if _normal(self.seed, 20, index) > -0.5 else 0.0

    def _drift(self, axis: int, frame: int) -> float:
        return _DRIFT_SHARE * _curve(self.seed, axis, frame / _DRIFT_FRAMES)

    def _sway(self, axis: int, frame: int) -> float:
        return _SWAY_SHARE * _curve(self.seed, 10 + axis, frame / _SWAY_FRAMES)

    def _random(self, axis: int, index: int) -> np.random.Generator:
        return _generator(self.seed, axis, index)


def _curve(seed: int, axis: int, position: float) -> float:
    """A smooth random curve of standard deviation near 1: a uniform cubic B-spline with normal knots."""
    index = int(np.floor(position))
    f = position - index
    basis = ((1 - f) ** 3, 3 * f**3 - 6 * f**2 + 4, -3 * f**3 + 3 * f**2 + 3 * f + 1, f**3)
    knots = (_normal(seed, axis, index + offset) for offset in (-1, 0, 1, 2))
    # The spline's mean square is 0.48 of its knots'.
    return sum(share * knot for share, knot in zip(basis, knots, strict=True)) / 6 / 0.69


@lru_cache(maxsize=4096)
def _normal(seed: int, axis: int, index: int) -> float:
    """A standard normal number, within 2.5."""
    return float(np.clip(_generator(seed, axis, index).standard_normal(), -2.5, 2.5))


def _generator(seed: int, axis: int, index: int) -> np.random.Generator:
    return np.random.default_rng((seed, axis, index + 10))
