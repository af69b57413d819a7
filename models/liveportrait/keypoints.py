"""Head pose, expression and keypoints: x = scale (kp R + exp) + t (section 3.1 of the paper)."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch
from scipy.spatial import ConvexHull
from torch import Tensor

ANGLE_BINS = 66
_BIN_DEG = 3.0
_FIRST_BIN_DEG = -97.5


def bins_to_degrees(angle: Tensor) -> Tensor:
    """Logits of 66 bins of 3 degrees (n, 66) -> degrees (n, 1); what is no such logits is taken for degrees."""
    if angle.dim() != 2 or angle.shape[1] != ANGLE_BINS:
        return angle
    bins = torch.arange(ANGLE_BINS, dtype=torch.float32, device=angle.device)
    return _BIN_DEG * (angle.softmax(dim=1) * bins).sum(dim=1, keepdim=True) + _FIRST_BIN_DEG


def rotation_matrix(angles_deg: Tensor) -> Tensor:
    """Pitch, yaw and roll in degrees (n, 3) -> R (n, 3, 3), to be applied to row vectors: ``kp @ R``.

    R is the transpose of Rz(roll) Ry(yaw) Rx(pitch), each right-handed.
    """
    # Degrees over 180, times pi, in this order: half a step of float32 shows in a tolerance of 1e-5.
    x, y, z = (angles_deg / 180 * torch.pi).unbind(dim=1)
    one, zero = torch.ones_like(x), torch.zeros_like(x)

    def matrix(*entries: Tensor) -> Tensor:
        return torch.stack(entries, dim=1).view(-1, 3, 3)

    about_x = matrix(one, zero, zero, zero, x.cos(), -x.sin(), zero, x.sin(), x.cos())
    about_y = matrix(y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos())
    about_z = matrix(z.cos(), -z.sin(), zero, z.sin(), z.cos(), zero, zero, zero, one)
    return (about_z @ about_y @ about_x).transpose(1, 2)


def angles_of(rotation: Tensor) -> Tensor:
    """Inverse of ``rotation_matrix``: R (n, 3, 3) -> pitch, yaw and roll in degrees (n, 3), yaw within +-90."""
    a = rotation.transpose(1, 2)
    yaw = -torch.asin(a[:, 2, 0].clamp(-1, 1))
    pitch = torch.atan2(a[:, 2, 1], a[:, 2, 2])
    roll = torch.atan2(a[:, 1, 0], a[:, 0, 0])
    return torch.stack((pitch, yaw, roll), dim=1) * (180 / torch.pi)


@dataclass(frozen=True)
class Motion:
    """How n heads are held and what their faces do, all float32."""

    scale: Tensor
    """(n, 1)."""
    rotation: Tensor
    """(n, 3, 3), for row vectors."""
    exp: Tensor
    """(n, 21, 3): expression offsets."""
    t: Tensor
    """(n, 3): translation; its depth is not used."""

    def __len__(self) -> int:
        return len(self.scale)

    def __getitem__(self, index: int | slice) -> Self:
        """Some of the frames; one of them stays a batch of one."""
        if isinstance(index, int):
            index %= len(self)
            index = slice(index, index + 1)
        return type(self)(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @classmethod
    def cat(cls, parts: Sequence[Self]) -> Self:
        """One batch of several."""
        return cls(**{field.name: torch.cat([getattr(part, field.name) for part in parts]) for field in fields(cls)})


@dataclass(frozen=True)
class Head(Motion):
    """A motion, and whose it is."""

    kp: Tensor
    """(n, 21, 3): canonical keypoints."""

    def keypoints(self) -> Tensor:
        """Keypoints in the picture, x (n, 21, 3)."""
        return keypoints(self.kp, self)


def keypoints(kp: Tensor, motion: Motion) -> Tensor:
    """scale (kp R + exp) + (tx, ty, 0): canonical keypoints (n, 21, 3) placed in the picture."""
    x = motion.scale[:, None] * (kp @ motion.rotation + motion.exp)
    return x + torch.nn.functional.pad(motion.t[:, :2], (0, 1))[:, None]


def motion_multiplier(source: Tensor, driving_first: Tensor) -> float:
    """How much larger the source's head is than the driving one: sqrt of the ratio of hull volumes.

    Both are keypoints (1, 21, 3). Used by the expression-friendly option.
    """
    volumes = [ConvexHull(x[0].double().cpu().numpy()).volume for x in (source, driving_first)]
    return float((volumes[0] / volumes[1]) ** 0.5)
