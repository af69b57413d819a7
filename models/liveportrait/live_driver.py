"""A face seen by a camera, as motion of the frames to be drawn. Time is the index of the frame drawn, 25 a second.

What is seen is taken relative to a neutral face: the first one, or the next after ``neutral``; or to the portrait's own
head, which makes the motion absolute. It is smoothed by the one-euro filter (Casiez, Roussel and Vogel, CHI 2012), and
no number changes by more than a bound from one frame to the next, so that a wrong look, a hand or a face that comes
back never makes the head jump. Without a face the last motion is held for 0.5 s, then given up with a time constant of
0.6 s.
"""

from dataclasses import dataclass
from math import exp, pi
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from models.liveportrait.keypoints import Head, Motion, angles_of
from models.liveportrait.layers import KEYPOINTS
from models.timebase import FRAMES_PER_SECOND

Array = NDArray[np.float64]
Watched = Literal["waiting", "following", "holding", "idle"]

HOLD_FRAMES = round(0.5 * FRAMES_PER_SECOND)
EASE_FRAMES = 0.6 * FRAMES_PER_SECOND
"""Time constant: the share of the motion that is left falls by a factor e."""
IDLE_SHARE = 0.05
"""Less than this share counts as idle."""
_SHARE_STEP = 0.08
"""Largest change of the share a frame: half a second from idle to following."""
ANGLE_STEP_DEG, T_STEP, LOG_SCALE_STEP, EXP_STEP = 4.0, 0.02, 0.02, 0.012
"""Largest changes a frame: 100 degrees a second; a jaw opens in five frames."""
_MAX_ANGLE_DEG = 35.0
MIN_CUTOFF_HZ, BETA = 1.5, 0.15
"""Of the one-euro filter: the cut-off at rest, and its rise with speed, Hz for a unit a second."""
FIELDS = (3, 3, 1, 3 * KEYPOINTS)
"""Numbers of angles, translation, scale and expression."""
STEPS = np.repeat((ANGLE_STEP_DEG, T_STEP, LOG_SCALE_STEP, EXP_STEP), FIELDS)
_UNITS = np.repeat((1.0, 0.01, 0.01, 0.003), FIELDS)
"""Comparable amounts of each number, so that one filter serves all."""


@dataclass(frozen=True)
class LivePose:
    """What the camera's face does in one frame, relative to its neutral one."""

    angles_deg: Array
    """(3,)."""
    t: Array
    """(3,)."""
    scale: float
    exp: Array
    """(21, 3)."""
    share: float
    """How much it counts: 1 following, 0 idle."""


class OneEuro:
    """The one-euro filter on a vector: smooth when slow, quick when fast; the cut-off follows the speed."""

    def __init__(
        self, units: Array, min_cutoff_hz: float = MIN_CUTOFF_HZ, beta: float = BETA, speed_cutoff_hz: float = 1.0
    ) -> None:
        """``units``: an amount of each number that counts alike; speeds are in units a second."""
        self._units, self._min, self._beta, self._speed_cutoff = units, min_cutoff_hz, beta, speed_cutoff_hz
        self._value: Array | None = None
        self._speed = np.zeros_like(units)

    def step(self, value: Array, dt_s: float) -> Array:
        """The estimate after ``dt_s`` more seconds."""
        if self._value is None:
            self._value = value
            return value
        speed = (value - self._value) / self._units / dt_s
        self._speed = self._speed + _gain(self._speed_cutoff, dt_s) * (speed - self._speed)
        gain = _gain(self._min + self._beta * np.abs(self._speed), dt_s)
        self._value = self._value + gain * (value - self._value)
        return self._value


def _gain(cutoff_hz: "float | Array", dt_s: float) -> "float | Array":
    r = 2 * pi * cutoff_hz * dt_s
    return r / (r + 1)


class LiveDriver:
    """One session's. Pure and clock-free; ``at`` is called with frames that do not go back."""

    def __init__(self, min_cutoff_hz: float = MIN_CUTOFF_HZ, beta: float = BETA) -> None:
        """The one-euro filter's."""
        self._neutral: Head | None = None
        self._wants_neutral = True
        self._seen: Head | None = None
        """Since the last frame."""
        self._target = np.zeros(sum(FIELDS))
        self._value = np.zeros(sum(FIELDS))
        self._filter = OneEuro(_UNITS, min_cutoff_hz, beta)
        self._seen_at: int | None = None
        self._now: int | None = None
        self._share = 0.0

    @property
    def watched(self) -> Watched:
        """What becomes of the face, for people to read."""
        if self._seen_at is None or self._now is None:
            return "waiting"
        if self._now - self._seen_at <= 1 + HOLD_FRAMES // 4:
            return "following"
        return "holding" if self._wanted_share(self._now) > IDLE_SHARE else "idle"

    def neutral(self) -> None:
        """The next face seen counts as at rest."""
        self._wants_neutral = True

    def observe(self, head: Head | None) -> None:
        """A look at the camera: the head seen (a batch of one), or no face. Only the latest counts."""
        if head is None or not _is_sound(head):
            return
        if self._wants_neutral or self._neutral is None:
            self._neutral, self._wants_neutral = head, False
        self._seen = head

    def at(self, frame: int, portrait: Head | None = None) -> LivePose:
        """What to show in ``frame``; a frame asked for again, or an earlier one, shows what was shown last.

        ``portrait``: the head that moves, for motion that is absolute; None takes the motion since the neutral face.
        """
        passed = 0 if self._now is None else max(0, frame - self._now)
        self._now = frame if self._now is None else max(frame, self._now)
        neutral = self._neutral if portrait is None else portrait
        if self._seen is not None and neutral is not None:
            self._target = _relative(self._seen, neutral)
            self._seen_at, self._seen = self._now, None
        if passed:
            filtered = self._filter.step(self._target, passed / FRAMES_PER_SECOND)
            most = STEPS * passed
            self._value = self._value + np.clip(filtered - self._value, -most, most)
            change = self._wanted_share(self._now) - self._share
            self._share += float(np.clip(change, -_SHARE_STEP * passed, _SHARE_STEP * passed))
        angles, t, log_scale, expression = np.split(self._value, np.cumsum(FIELDS)[:-1])
        return LivePose(angles, t, float(np.exp(log_scale[0])), expression.reshape(KEYPOINTS, 3), self._share)

    def _wanted_share(self, frame: int) -> float:
        if self._seen_at is None:
            return 0.0
        return exp(-max(0, frame - self._seen_at - HOLD_FRAMES) / EASE_FRAMES)


def _is_sound(head: Head) -> bool:
    """Whether the numbers can be a face's: a network shown anything else gives anything."""
    finite = all(bool(torch.isfinite(value).all()) for value in vars(head).values())
    return finite and bool((head.scale > 0).all())


def _relative(head: Motion, neutral: Motion) -> Array:
    """Angles, translation, logarithm of the scale and expression since the neutral head, (70,)."""
    rotation = head.rotation @ neutral.rotation.transpose(1, 2)
    angles = angles_of(rotation)[0].double().cpu().numpy()
    t = (head.t - neutral.t)[0].double().cpu().numpy()
    t[2] = 0.0
    log_scale = (head.scale / neutral.scale).log()[0].double().cpu().numpy()
    expression = (head.exp - neutral.exp)[0].flatten().double().cpu().numpy()
    clipped = np.clip(angles, -_MAX_ANGLE_DEG, _MAX_ANGLE_DEG)
    return np.concatenate((clipped, t, np.clip(log_scale, -0.5, 0.5), expression))
