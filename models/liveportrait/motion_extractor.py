"""M, the motion extractor: keypoints, head pose and expression of a face.

The trunk is the tiny ConvNeXt V2: Woo, Debnath, Hu, Chen, Liu, Kweon and Xie, "ConvNeXt V2: Co-designing and
Scaling ConvNets with Masked Autoencoders", CVPR 2023.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.liveportrait.keypoints import ANGLE_BINS, Head, bins_to_degrees, rotation_matrix
from models.liveportrait.layers import KEYPOINTS, scaled

_EPS = 1e-6
_DIMS = (96, 192, 384, 768)
_DEPTHS = (3, 3, 9, 3)
_HEADS = {
    "kp": 3 * KEYPOINTS,
    "scale": 1,
    "pitch": ANGLE_BINS,
    "yaw": ANGLE_BINS,
    "roll": ANGLE_BINS,
    "t": 3,
    "exp": 3 * KEYPOINTS,
}


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of (n, c, h, w)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=_EPS)

    def forward(self, input: Tensor) -> Tensor:
        """(n, c, h, w) -> the same shape."""
        return super().forward(input.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class GlobalResponseNorm(nn.Module):
    """Each channel against the mean strength of all (section 3 of the paper), on (n, h, w, c)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, 1, 1, channels))
        self.beta = nn.Parameter(torch.zeros(1, 1, 1, channels))

    def forward(self, x: Tensor) -> Tensor:
        """(n, h, w, c) -> the same shape."""
        strength = torch.linalg.vector_norm(x, dim=(1, 2), keepdim=True)
        share = strength / (strength.mean(dim=-1, keepdim=True) + _EPS)
        y: Tensor = self.gamma * (x * share) + self.beta + x
        return y


class Block(nn.Module):
    """Depthwise 7x7, then two linear layers with a fourfold middle, beside the identity."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=_EPS)
        self.pwconv1 = nn.Linear(channels, 4 * channels)
        self.grn = GlobalResponseNorm(4 * channels)
        self.pwconv2 = nn.Linear(4 * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) -> the same shape."""
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(functional.gelu(self.pwconv1(y))))
        return x + y.permute(0, 3, 1, 2)  # type: ignore[no-any-return]


class Detector(nn.Module):
    """The trunk and a linear head for each quantity."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        dims = [scaled(n, width) for n in _DIMS]
        stem: nn.Module = nn.Sequential(nn.Conv2d(3, dims[0], 4, stride=4), ChannelNorm(dims[0]))
        downs: list[nn.Module] = [
            nn.Sequential(ChannelNorm(inputs), nn.Conv2d(inputs, outputs, 2, stride=2))
            for inputs, outputs in zip(dims, dims[1:], strict=False)
        ]
        self.downsample_layers = nn.ModuleList([stem, *downs])
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(dim) for _ in range(depth))) for dim, depth in zip(dims, _DEPTHS, strict=True)
        )
        self.norm = nn.LayerNorm(dims[-1], eps=_EPS)
        for name, outputs in _HEADS.items():
            setattr(self, f"fc_{name}", nn.Linear(dims[-1], outputs))

    def forward(self, picture: Tensor) -> dict[str, Tensor]:
        """RGB (n, 3, h, w) in [0, 1], sides a multiple of 32 -> raw heads (n, outputs) by name."""
        x = picture
        for down, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(down(x))
        pooled = self.norm(x.mean(dim=(2, 3)))
        return {name: getattr(self, f"fc_{name}")(pooled) for name in _HEADS}


class MotionExtractor(nn.Module):
    """The detector, with its heads read as a :class:`Head`."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.detector = Detector(width)

    def heads(self, picture: Tensor) -> dict[str, Tensor]:
        """Raw outputs: kp 63, scale 1, pitch, yaw and roll 66 each, t 3, exp 63."""
        return self.detector(picture)  # type: ignore[no-any-return]

    def forward(self, picture: Tensor) -> Head:
        """RGB (n, 3, h, w) in [0, 1], sides a multiple of 32 -> n heads, float32."""
        heads = {name: head.float() for name, head in self.heads(picture).items()}
        angles_deg = torch.cat([bins_to_degrees(heads[name]) for name in ("pitch", "yaw", "roll")], dim=1)
        return Head(
            scale=heads["scale"],
            rotation=rotation_matrix(angles_deg),
            exp=heads["exp"].view(-1, KEYPOINTS, 3),
            t=heads["t"],
            kp=heads["kp"].view(-1, KEYPOINTS, 3),
        )
