"""S, three small networks that correct driving keypoints: stitching, eyes, lips (section 3.3 of the paper)."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.liveportrait.layers import KEYPOINTS

STITCHING = (126, 128, 128, 64, 65)
EYES = (66, 256, 256, 128, 128, 64, 63)
LIPS = (65, 128, 128, 64, 63)


class Mlp(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(inputs, outputs), nn.ReLU()]
        self.mlp = nn.Sequential(*layers[:-1])

    def forward(self, x: Tensor) -> Tensor:
        """(n, first width) -> (n, last width)."""
        return self.mlp(x)  # type: ignore[no-any-return]


class Retargeting(nn.Module):
    """The three networks. Keypoints are (n, 21, 3), float32."""

    def __init__(self) -> None:
        super().__init__()
        self.stitching = Mlp(STITCHING)
        self.eyes = Mlp(EYES)
        self.lips = Mlp(LIPS)

    def stitch(self, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """Driving keypoints moved so that shoulders stay where the source has them: (n, 21, 3)."""
        moved = self.stitching(torch.cat((kp_source.flatten(1), kp_driving.flatten(1)), dim=1))
        offset = moved[:, : 3 * KEYPOINTS].view(-1, KEYPOINTS, 3)
        shift = torch.nn.functional.pad(moved[:, 3 * KEYPOINTS :], (0, 1))  # in x and y
        stitched: Tensor = kp_driving + offset + shift[:, None]
        return stitched

    def eye_offset(self, kp_source: Tensor, ratios: Tensor) -> Tensor:
        """Keypoint offsets that open the source's eyes as far as told.

        Args:
            kp_source: (n, 21, 3).
            ratios: (n, 3): the source's left and right eye, and the eye to come (see ``landmarks``).
        """
        return self.eyes(torch.cat((kp_source.flatten(1), ratios), dim=1)).view(-1, KEYPOINTS, 3)  # type: ignore[no-any-return]

    def lip_offset(self, kp_source: Tensor, ratios: Tensor) -> Tensor:
        """Keypoint offsets that open the source's lips as far as told; ratios (n, 2): the source's, and the lips'."""
        return self.lips(torch.cat((kp_source.flatten(1), ratios), dim=1)).view(-1, KEYPOINTS, 3)  # type: ignore[no-any-return]
