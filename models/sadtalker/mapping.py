"""The mapping network: from a window of face coefficients to the head pose the keypoints take."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import scaled
from models.sadtalker.keypoints import KEYPOINTS

ANGLE_BINS = 66
"""Classes of an angle, three degrees each."""
_TRIM = 3
"""Steps a dilated convolution takes off each end."""


@dataclass(frozen=True)
class HeadPose:
    """What a picture or a coefficient window says about pose and expression, for n faces."""

    yaw: Tensor
    """(n, 66) logits over angle classes."""
    pitch: Tensor
    """(n, 66)."""
    roll: Tensor
    """(n, 66)."""
    translation: Tensor
    """(n, 3)."""
    expression: Tensor
    """(n, 45): x, y, z of what each keypoint is moved by."""


class PoseHeads(nn.Module):
    """The five linear layers that end every network that tells a ``HeadPose``."""

    def __init__(self, features: int) -> None:
        super().__init__()
        self.fc_roll = nn.Linear(features, ANGLE_BINS)
        self.fc_pitch = nn.Linear(features, ANGLE_BINS)
        self.fc_yaw = nn.Linear(features, ANGLE_BINS)
        self.fc_t = nn.Linear(features, 3)
        self.fc_exp = nn.Linear(features, 3 * KEYPOINTS)

    def pose_of(self, features: Tensor) -> HeadPose:
        """(n, features) -> pose."""
        return HeadPose(
            yaw=self.fc_yaw(features),
            pitch=self.fc_pitch(features),
            roll=self.fc_roll(features),
            translation=self.fc_t(features),
            expression=self.fc_exp(features),
        )


class MappingNetwork(PoseHeads):
    """Coefficients of 27 frames about one frame -> that frame's pose.

    Layout at width 1::

        conv 7, 1024 | 3 x [leaky ReLU 0.1, conv 3 dilated by 3, + input without 3 steps at each end] | mean over time
        steps 27 -> 21 -> 15 -> 9 -> 3 -> 1
    """

    def __init__(self, coefficients: int = 70, width: float = 1.0) -> None:
        hidden = scaled(1024, width)
        super().__init__(hidden)
        self.coefficients = coefficients
        self.first = nn.Sequential(nn.Conv1d(coefficients, hidden, 7))
        self.encoder0, self.encoder1, self.encoder2 = (
            nn.Sequential(nn.LeakyReLU(0.1), nn.Conv1d(hidden, hidden, 3, dilation=3)) for _ in range(3)
        )

    def forward(self, window: Tensor) -> HeadPose:
        """(n, coefficients, 27) -> pose of n faces."""
        x: Tensor = self.first(window)
        for encoder in (self.encoder0, self.encoder1, self.encoder2):
            x = encoder(x) + x[:, :, _TRIM:-_TRIM]
        return self.pose_of(functional.adaptive_avg_pool1d(x, 1).flatten(1))


@torch.no_grad()
def degrees(logits: Tensor) -> Tensor:
    """(n, 66) angle logits -> (n,) expected degrees, in [-99, 96]."""
    bins = torch.arange(ANGLE_BINS, dtype=logits.dtype, device=logits.device)
    return functional.softmax(logits, dim=1) @ bins * 3 - 99
