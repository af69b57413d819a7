"""Keypoints in space: turned, moved and bent as a head pose says.

x points right, y down, z away from the viewer, all in [-1, 1] over the picture.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.sadtalker.keypoints import KEYPOINTS
from models.sadtalker.mapping import HeadPose, degrees

_PI = 3.14
"""As the published network was trained, and so its angles only fit this."""


@dataclass(frozen=True)
class Camera:
    """Angles in degrees, (n,) each, that replace the pose's own; None leaves it."""

    yaw_deg: Tensor | None = None
    pitch_deg: Tensor | None = None
    roll_deg: Tensor | None = None


def rotation(yaw_deg: Tensor, pitch_deg: Tensor, roll_deg: Tensor) -> Tensor:
    """(n,) angles -> (n, 3, 3) that turn columns: about z by roll, then y by yaw, then x by pitch."""
    yaw, pitch, roll = (angle / 180 * _PI for angle in (yaw_deg, pitch_deg, roll_deg))
    one, zero = torch.ones_like(yaw), torch.zeros_like(yaw)

    def matrix(*rows: list[Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)

    about_x = matrix([one, zero, zero], [zero, pitch.cos(), -pitch.sin()], [zero, pitch.sin(), pitch.cos()])
    about_y = matrix([yaw.cos(), zero, yaw.sin()], [zero, one, zero], [-yaw.sin(), zero, yaw.cos()])
    about_z = matrix([roll.cos(), -roll.sin(), zero], [roll.sin(), roll.cos(), zero], [zero, zero, one])
    return about_x @ about_y @ about_z


def posed_keypoints(
    canonical: Tensor, pose: HeadPose, camera: Camera | None = None, *, with_expression: bool = True
) -> Tensor:
    """Canonical keypoints (n, 15, 3) as ``pose`` shows them, (n, 15, 3).

    Of the translation only the vertical part acts: the published network does without the others.
    """
    camera = camera or Camera()
    angles = [
        degrees(logits) if given is None else given
        for given, logits in (
            (camera.yaw_deg, pose.yaw),
            (camera.pitch_deg, pose.pitch),
            (camera.roll_deg, pose.roll),
        )
    ]
    turned = canonical @ rotation(*angles).transpose(1, 2)
    turned = turned + pose.translation[:, None] * torch.tensor([0.0, 1.0, 0.0]).to(canonical)
    if not with_expression:
        return turned
    return turned + pose.expression.unflatten(1, (KEYPOINTS, 3))  # type: ignore[no-any-return, no-untyped-call]


def relative_keypoints(source: Tensor, driving: Tensor, first: Tensor) -> Tensor:
    """Source keypoints moved as the driving ones moved since their first frame; (n, 15, 3) each.

    For motion taken from another's video; speech gives absolute keypoints. A. Siarohin, S. Lathuilière, S. Tulyakov,
    E. Ricci and N. Sebe, "First Order Motion Model for Image Animation", NeurIPS 2019.
    """
    return source + driving - first
