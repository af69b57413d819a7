"""The speaking half: sound to coefficients."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.sadtalker.coefficients import CROP_SIZE, EXPRESSION_SIZE, POSE_SIZE
from models.sadtalker.pose import DrawsMotion, MotionStream, Noise
from models.sadtalker.speech import smoothed

_BATCH_FRAMES = 32

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Talk:
    """The two networks that hear."""

    expression: Callable[[Tensor, Tensor, Tensor], Tensor]
    """See ``ExpressionNetwork.forward``."""
    pose: DrawsMotion


def speak(
    talk: Talk,
    mels: Floats | Iterable[Floats],
    source: Floats,
    blinks: Floats,
    *,
    style: int,
    noise: Noise,
    eyes: Floats | None = None,
) -> Floats:
    """Expression and pose of every frame of a sound.

    Args:
        talk: the networks.
        mels: (t, 1, 80, 16), see ``speech.mel_windows``; or blocks of it, so that memory does not grow with it.
        source: (73,) coefficients of the picture, or their first 70.
        blinks: (t,) how far the eyes are shut.
        style: of the head's motion, 0 to 45.
        noise: latents of the head's motion.
        eyes: (k, 64) expressions to take the picture's place, over and over; whoever gives them has them blink.

    Returns:
        (t, 70).

    Raises:
        ValueError: no such style.
    """
    if isinstance(mels, np.ndarray):
        mels = [mels[first : first + _BATCH_FRAMES] for first in range(0, len(mels), _BATCH_FRAMES)]
    own, shut = torch.from_numpy(source[:CROP_SIZE].copy()), torch.from_numpy(blinks)[:, None]
    references = own[None, :EXPRESSION_SIZE] if eyes is None else torch.from_numpy(eyes)
    stream = MotionStream(talk.pose, own[-POSE_SIZE:], style, noise)
    expression: list[Tensor] = []
    motion: list[Tensor] = []
    done = 0
    with torch.inference_mode():
        for block in mels:
            heard = torch.from_numpy(block)
            frames = torch.arange(done, done + len(heard))
            expression.append(talk.expression(heard, references[frames % len(references)], shut[frames]))
            motion += stream.push(heard)
            done += len(heard)
        motion += stream.finish()
    pose = torch.cat(motion) + own[-POSE_SIZE:]
    return np.concatenate((torch.cat(expression).numpy(), smoothed(pose.numpy())), axis=1)
