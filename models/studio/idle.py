"""The idle loop: 10 s of a person who waits and listens. Every curve is periodic over the loop."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.studio.arkit import INDEX, MOUTH, weights
from models.timebase import FRAMES_PER_SECOND

LOOP_FRAMES = 10 * FRAMES_PER_SECOND
REST = weights(mouthSmile=0.36, cheekSquint=0.14, eyeSquint=0.08, browInnerUp=0.08, browOuterUp=0.06)
"""A friendly face that does nothing: lips closed, a hint of a smile."""

_BLINK_FRAMES = (34, 103, 171, 178, 236)
_GLANCES: tuple[tuple[int, float, float], ...] = (
    (58, 0.0, 0.0),
    (60, -0.10, 0.02),
    (101, -0.10, 0.02),
    (104, 0.02, -0.01),
    (140, 0.02, -0.01),
    (142, 0.09, 0.03),
    (170, 0.09, 0.03),
    (173, 0.0, 0.0),
)
"""Frame, gaze to the subject's left and up in radians; straight lines between."""


_BROW_RAISES: tuple[tuple[int, float], ...] = ((62, 0.30), (146, 0.55), (206, 0.22))
"""Middle frame and height of short raises, with the glances."""
_RAISE_FRAMES = 20


class IdlePose(NamedTuple):
    """What ``Head.pose`` and ``Renderer.render`` need for one frame of the loop."""

    weights: NDArray[np.float32]
    gaze: tuple[float, float]
    head_rotation: tuple[float, float, float]
    breath: float
    """Rise of the shoulders in decimetres."""


def _wave(frame: int, cycles: int, shift: float) -> float:
    return float(np.sin(2 * np.pi * (cycles * frame / LOOP_FRAMES + shift)))


def _glance(frame: float) -> tuple[float, float]:
    """Where the eyes look: to the left and up, in radians."""
    times, left, up = zip(*_GLANCES, strict=True)
    where = frame % LOOP_FRAMES
    return float(np.interp(where, times, left)), float(np.interp(where, times, up))


def _follow(frame: int) -> float:
    """How far the head has turned after the eyes: a quarter of the glance, eased over 0.6 s."""
    steps = np.arange(-10, 7)
    share = np.hanning(len(steps) + 2)[1:-1]
    return 0.25 * float(np.average([_glance(frame + int(step))[0] for step in steps], weights=share))


def _blink(frame: int) -> float:
    """Lids closed in 2 frames, open again in 4."""
    closed = 0.0
    for start in _BLINK_FRAMES:
        since = (frame - start + LOOP_FRAMES // 2) % LOOP_FRAMES - LOOP_FRAMES // 2
        closed = max(closed, float(np.interp(since, [-3, -1, 0, 1, 5], [0, 0.75, 1, 0.8, 0])))
    return closed


def _brows(frame: int) -> float:
    """Raise of the brows: a slow wave and, at times, a flash of interest."""
    raised = 0.06 * (1 + _wave(frame, 2, 0.6))
    for middle, height in _BROW_RAISES:
        since = (frame - middle + LOOP_FRAMES // 2) % LOOP_FRAMES - LOOP_FRAMES // 2
        if abs(since) < _RAISE_FRAMES:
            raised += height * 0.5 * (1 + np.cos(np.pi * since / _RAISE_FRAMES))
    return float(raised)


def idle_pose(frame: int) -> IdlePose:
    """Frame ``frame`` (modulo ``LOOP_FRAMES``) of the loop; the mouth is exactly at rest."""
    frame %= LOOP_FRAMES
    (gaze_left, gaze_up), follow = _glance(frame), _follow(frame)
    sway = 0.034 * _wave(frame, 1, 0.1) + 0.012 * _wave(frame, 3, 0.55)
    yaw = sway + follow
    pitch = 0.012 * _wave(frame, 2, 0.3) + 0.007 * _wave(frame, 3, 0.0) + 0.01
    roll = 0.014 * _wave(frame, 1, 0.7) + 0.006 * _wave(frame, 2, 0.15)
    vector = REST.copy()
    brows = _brows(frame)
    vector[INDEX["browInnerUp"]] += brows
    for side in ("Left", "Right"):
        vector[INDEX["browOuterUp" + side]] += 0.75 * brows
        vector[INDEX["eyeBlink" + side]] = _blink(frame)
    gaze = (gaze_left - follow - 0.8 * sway, gaze_up + 0.6 * (pitch - 0.01))
    return IdlePose(vector, gaze, (pitch, yaw, roll), 0.014 * _wave(frame, 3, 0.0))


def talking_weights(idle: NDArray[np.float32], mouth: NDArray[np.float32]) -> NDArray[np.float32]:
    """The idle pose's weights with the mouth saying ``mouth``; zeros give the idle pose itself.

    Only the mouth's entries (``arkit.MOUTH``) of ``mouth`` count. The smile of rest stays underneath and
    gives way to rounding.
    """
    rounding = float(np.clip(mouth[INDEX["mouthPucker"]] + mouth[INDEX["mouthFunnel"]], 0.0, 1.0))
    result = np.array(idle, np.float32)
    for index in MOUTH:
        result[index] = idle[index] * (1 - rounding) + mouth[index]
    return result
