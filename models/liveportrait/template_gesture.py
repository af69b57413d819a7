"""A motion template as a gesture: its motion since its first frame, blended in and out. M is not needed for it."""

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.liveportrait.driving import LIP_KEYPOINTS
from models.liveportrait.gesture import Gesture, smoothstep
from models.liveportrait.keypoints import angles_of
from models.liveportrait.template import MotionTemplate
from models.timebase import FRAMES_PER_SECOND

MAX_S = 30.0
"""What is longer ends there."""
_ATTACK_S, _RELEASE_S = 0.3, 0.5


def template_gesture(template: MotionTemplate, name: str) -> Gesture:
    """The template's motion at 25 frames a second. Its lips show as far as nobody speaks.

    Raises:
        MediaError: it has a single frame, so nothing moves.
    """
    if len(template) == 1:
        raise MediaError(f"The motion template {name} is a single frame, so nothing moves; choose one of a clip.")
    motion = template.motion[: int(MAX_S * template.fps) + 1]
    first = motion[0]
    turned = angles_of(motion.rotation @ first.rotation.transpose(1, 2))
    moved = motion.t - first.t
    moved[:, 2] = 0.0
    columns = turned, moved, (motion.scale / first.scale).log(), (motion.exp - first.exp).flatten(1)
    count = round(len(motion) / template.fps * FRAMES_PER_SECOND)
    at = np.linspace(0, len(motion) - 1, max(count, 2))
    frames = np.arange(len(at))
    shares = np.minimum(
        smoothstep(frames / (_ATTACK_S * FRAMES_PER_SECOND)),
        smoothstep(frames[::-1] / (_RELEASE_S * FRAMES_PER_SECOND)),
    )
    angles, t, log_scale, exp = (shares[:, None] * _read(values.double().numpy(), at) for values in columns)
    offsets = exp.reshape(len(at), -1, 3)
    lips = np.zeros_like(offsets)
    lips[:, list(LIP_KEYPOINTS)] = offsets[:, list(LIP_KEYPOINTS)]
    return Gesture.of(name, angles, t, log_scale, offsets - lips, lips)


def _read(values: NDArray[np.float64], at: NDArray[np.float64]) -> NDArray[np.float64]:
    """Columns (n, k) at positions between the rows, linearly: (positions, k)."""
    return np.stack([np.interp(at, np.arange(len(values)), column) for column in values.T], axis=1)
