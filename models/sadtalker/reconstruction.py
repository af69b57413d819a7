"""The 3D reconstruction network: the 257 coefficients of a parametric face, from its aligned picture.

After Deng, Yang, Xu, Chen, Jia and Tong, "Accurate 3D Face Reconstruction with Weakly-Supervised Learning: From
Single Image to Image Set", CVPR Workshops 2019. The backbone is the ResNet-50 whose stride sits in the 3x3
convolutions ("v1.5").
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import scaled
from models.sadtalker.coefficients import HEAD_SIZES

PICTURE_PX = 224
_EXPANSION = 4
_STAGES = ((64, 3), (128, 4), (256, 6), (512, 3))
"""Inner channels and blocks."""


class _Block(nn.Module):
    def __init__(self, inputs: int, inner: int, stride: int) -> None:
        super().__init__()
        outputs = _EXPANSION * inner
        self.conv1, self.bn1 = nn.Conv2d(inputs, inner, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv2, self.bn2 = nn.Conv2d(inner, inner, 3, stride, 1, bias=False), nn.BatchNorm2d(inner)
        self.conv3, self.bn3 = nn.Conv2d(inner, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.downsample = nn.Sequential()
        if stride > 1 or inputs != outputs:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + self.downsample(x))


class _Backbone(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        channels = scaled(64, width)
        self.conv1, self.bn1 = nn.Conv2d(3, channels, 7, 2, 3, bias=False), nn.BatchNorm2d(channels)
        for number, (inner, count) in enumerate(_STAGES, start=1):
            inner = scaled(inner, width)
            blocks = []
            for i in range(count):
                blocks.append(_Block(channels, inner, 2 if number > 1 and i == 0 else 1))
                channels = _EXPANSION * inner
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.outputs = channels

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) -> (n, outputs, 1, 1)."""
        x = functional.max_pool2d(functional.relu(self.bn1(self.conv1(x))), 3, 2, 1)
        for number in range(1, len(_STAGES) + 1):
            x = self.get_submodule(f"layer{number}")(x)
        return self.avgpool(x)  # type: ignore[no-any-return]


class ReconstructionNetwork(nn.Module):
    """One 1x1 convolution for each group of coefficients, on a ResNet-50's mean features."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.backbone = _Backbone(width)
        self.final_layers = nn.ModuleList(nn.Conv2d(self.backbone.outputs, size, 1) for size in HEAD_SIZES)

    def forward(self, picture: Tensor) -> Tensor:
        """(n, 3, 224, 224) RGB in [0, 1], aligned -> (n, 257), see ``coefficients.FaceCoefficients``."""
        features = self.backbone(picture)
        return torch.cat([layer(features) for layer in self.final_layers], dim=1).flatten(1)
