"""The speaking half: sound to coefficients."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.sadtalker.coefficients import CROP_SIZE, EXPRESSION_SIZE, POSE_SIZE
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.pose import Noise, PoseNetwork
from models.sadtalker.speech import smoothed

_BATCH_FRAMES = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Talk:
    """The two networks that hear."""

    expression: ExpressionNetwork
    pose: PoseNetwork


@torch.inference_mode()
def speak(talk: Talk, mels: Floats, source: Floats, blinks: Floats, *, style: int, noise: Noise) -> Floats:
    """Expression and pose of every frame of a sound.

    Args:
        talk: the networks.
        mels: (t, 1, 80, 16), see ``speech.mel_windows``.
        source: (73,) coefficients of the picture, or their first 70.
        blinks: (t,) how far the eyes are shut.
        style: of the head's motion, 0 to 45.
        noise: latents of the head's motion.

    Returns:
        (t, 70).

    Raises:
        ValueError: no such style.
    """
    heard, own = torch.from_numpy(mels), torch.from_numpy(source[:CROP_SIZE])
    shut = torch.from_numpy(blinks)[:, None]
    expression = []
    for first in range(0, len(heard), _BATCH_FRAMES):
        batch = slice(first, first + _BATCH_FRAMES)
        reference = own[:EXPRESSION_SIZE].expand(len(heard[batch]), -1)
        expression.append(talk.expression(heard[batch], reference, shut[batch]))
    pose = talk.pose.motion(heard, own[-POSE_SIZE:], style, noise) + own[-POSE_SIZE:]
    return np.concatenate((torch.cat(expression).numpy(), smoothed(pose.numpy())), axis=1)
