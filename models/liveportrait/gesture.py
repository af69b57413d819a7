"""Short motions laid over whatever a live face does: a smile, a nod, surprise, or one of the user's own.

A gesture is a curve of offsets, 25 a second, that begins and ends at nothing. The built-in ones are an envelope, which
rises, holds and falls (smoothstep: without a jump, and without a kink at its ends), times one pose:

- ``smile``: corners of the mouth, cheeks and a little of the lids. The jaw is left to the sound. The corners go up;
  how far apart they are is not for keypoints to say, of which both share one.
- ``nod``: the chin goes down by 8 degrees and back, then by 5.
- ``surprise``: brows and lids go up, the chin by 3 degrees. The mouth is left to the sound.

Poses are ARKit weights and head angles, as all live motion is (``expression``, ``idle``), so what a gesture does to a
mouth that speaks is known: it adds to it, within the ranges of real faces.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.liveportrait.live_driver import FIELDS, STEPS
from models.motion.expression import KEYPOINTS, expression
from models.studio.arkit import weights
from models.timebase import FRAMES_PER_SECOND

Array = NDArray[np.float64]

GIVE_WAY_S = 0.4
"""Time in which what a gesture's predecessor had come to is let go."""
_WIDTH = 3 * KEYPOINTS
_BOUNDS = np.concatenate((STEPS, STEPS[-_WIDTH:]))


@dataclass(frozen=True)
class Offsets:
    """What a gesture adds in one frame."""

    angles_deg: Array
    """(3,): pitch, yaw, roll."""
    t: Array
    """(3,): translation; no depth."""
    scale: float
    """A factor."""
    exp: Array
    """(21, 3), to be added always."""
    silent_exp: Array
    """(21, 3), to be added as far as nobody speaks: lips that would get in the way of words."""


@dataclass(frozen=True)
class Gesture:
    """A curve of offsets."""

    name: str
    curve: Array
    """(frames, 133): angles, translation, logarithm of the scale, ``exp``, ``silent_exp``; first and last are zero."""

    @property
    def seconds(self) -> float:
        """How long it takes."""
        return len(self.curve) / FRAMES_PER_SECOND

    @classmethod
    def of(
        cls, name: str, angles_deg: Array, t: Array, log_scale: Array, exp: Array, silent_exp: Array | None = None
    ) -> "Gesture":
        """Of offsets frame by frame: (n, 3), (n, 3), (n, 1), (n, 21, 3) and (n, 21, 3)."""
        count = len(exp)
        silent = np.zeros_like(exp) if silent_exp is None else silent_exp
        parts = (angles_deg, t, log_scale, exp.reshape(count, _WIDTH), silent.reshape(count, _WIDTH))
        return cls(name, np.concatenate(parts, axis=1, dtype=np.float64))


def envelope(attack_s: float, hold_s: float, release_s: float) -> Array:
    """(frames,): from 0 to 1, there for a while, and back to 0."""
    rise, fall = (smoothstep(np.linspace(0, 1, round(s * FRAMES_PER_SECOND) + 1)) for s in (attack_s, release_s))
    return np.concatenate((rise, np.ones(round(hold_s * FRAMES_PER_SECOND)), fall[::-1]))


def smoothstep(x: Array) -> Array:
    """0 at 0 and before, 1 at 1 and after, level at both."""
    x = np.clip(x, 0.0, 1.0)
    return np.asarray(x * x * (3 - 2 * x))


def _posed(name: str, shares: Array, pitch_deg: float = 0.0, **shapes: float) -> Gesture:
    """An envelope (n,) times a pose: how far the chin goes up, and ARKit weights."""
    angles = shares[:, None] * np.array((pitch_deg, 0.0, 0.0))
    still = np.zeros((len(shares), 4))
    exp = shares[:, None, None] * expression(weights(**shapes)[None]).astype(np.float64)
    return Gesture.of(name, angles, still[:, :3], still[:, 3:], exp)


GESTURES: dict[str, Gesture] = {
    gesture.name: gesture
    for gesture in (
        _posed(
            "smile",
            envelope(0.4, 1.0, 0.8),
            mouthSmile=0.9,
            mouthDimple=0.4,
            cheekSquint=0.6,
            eyeSquint=0.2,
        ),
        _posed("nod", np.concatenate((envelope(0.24, 0.0, 0.28), 0.6 * envelope(0.24, 0.0, 0.32))), pitch_deg=-8.0),
        _posed("surprise", envelope(0.24, 0.8, 0.6), pitch_deg=3.0, browInnerUp=1.0, browOuterUp=1.0, eyeWide=0.9),
    )
}
"""The built-in ones by name."""


class GesturePlayer:
    """One session's running gesture, at most one. Pure; ``at`` is called with frames that do not go back.

    A new gesture begins from where the old one stands. No number changes by more than a camera's face may
    (``live_driver``), whatever the curve.
    """

    def __init__(self) -> None:
        self._gesture: Gesture | None = None
        self._begin: int | None = None
        self._left = np.zeros(len(_BOUNDS))
        """What was shown when the running gesture began."""
        self._value = np.zeros(len(_BOUNDS))
        self._now: int | None = None

    def play(self, gesture: Gesture) -> None:
        """Begin with the next frame; what runs is replaced."""
        self._gesture, self._begin = gesture, None

    def at(self, frame: int) -> Offsets:
        """What to add in ``frame``; a frame asked for again, or an earlier one, gets what was shown last."""
        passed = 0 if self._now is None else max(0, frame - self._now)
        self._now = frame if self._now is None else max(frame, self._now)
        if passed:
            change = self._target(self._now) - self._value
            self._value = self._value + np.clip(change, -_BOUNDS * passed, _BOUNDS * passed)
        angles, t, log_scale, exp, silent = np.split(self._value, np.cumsum((*FIELDS, _WIDTH))[:-1])
        scale = float(np.exp(log_scale[0]))
        return Offsets(angles, t, scale, exp.reshape(KEYPOINTS, 3), silent.reshape(KEYPOINTS, 3))

    def _target(self, frame: int) -> Array:
        if self._gesture is None:
            return np.zeros_like(self._value)
        if self._begin is None:
            self._begin, self._left = frame, self._value
        since = frame - self._begin
        let_go = float(smoothstep(np.array(since / (GIVE_WAY_S * FRAMES_PER_SECOND))))
        curve = self._gesture.curve
        if since < len(curve):
            return np.asarray(curve[since] + (1 - let_go) * self._left)
        if let_go == 1:
            self._gesture = None
        return np.asarray((1 - let_go) * self._left)
