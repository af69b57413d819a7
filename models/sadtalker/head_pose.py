"""The head pose estimator: pose and expression of a face, from its picture.

Published beside the renderer, and used to train it; a rendering takes its poses from the mapping network instead. A
residual network after He, Zhang, Ren and Sun, "Deep Residual Learning for Image Recognition", CVPR 2016.
"""

from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import scaled
from models.sadtalker.mapping import HeadPose, PoseHeads


class Bottleneck(nn.Module):
    """1x1 to a quarter of the channels, 3x3, 1x1 back; at stride 2 the shortcut is a convolution."""

    def __init__(self, channels: int, stride: int = 1) -> None:
        super().__init__()
        inner = channels // 4
        self.conv1, self.norm1 = nn.Conv2d(channels, inner, 1), nn.BatchNorm2d(inner)
        self.conv2, self.norm2 = nn.Conv2d(inner, inner, 3, stride, 1), nn.BatchNorm2d(inner)
        self.conv3, self.norm3 = nn.Conv2d(inner, channels, 1), nn.BatchNorm2d(channels)
        self.stride = stride
        if stride > 1:
            self.skip, self.norm4 = nn.Conv2d(channels, channels, 1, stride), nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, h, w) -> (n, channels, h / stride, w / stride)."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return functional.relu(y + (self.norm4(self.skip(x)) if self.stride > 1 else x))


def _bottlenecks(prefix: str, channels: int, count: int) -> nn.Sequential:
    blocks = nn.Sequential()
    for i in range(count):
        blocks.add_module(f"{prefix}_{i}", Bottleneck(channels))
    return blocks


class HeadPoseEstimator(PoseHeads):
    """Layout at width 1, n x = bottlenecks, /2 = one of stride 2::

    conv 7 /2, 64 | max pool 3 /2 | conv 1, 256, 3 x | conv 1, 512, /2, 3 x | conv 1, 1024, /2, 5 x
    conv 1, 2048, /2, 2 x | mean
    """

    def __init__(self, width: float = 1.0) -> None:
        c64, c256, c512, c1024, c2048 = (scaled(c, width, least=16) for c in (64, 256, 512, 1024, 2048))
        super().__init__(c2048)
        self.conv1, self.norm1 = nn.Conv2d(3, c64, 7, 2, 3), nn.BatchNorm2d(c64)
        self.conv2, self.norm2 = nn.Conv2d(c64, c256, 1), nn.BatchNorm2d(c256)
        self.conv3, self.norm3 = nn.Conv2d(c256, c512, 1), nn.BatchNorm2d(c512)
        self.conv4, self.norm4 = nn.Conv2d(c512, c1024, 1), nn.BatchNorm2d(c1024)
        self.conv5, self.norm5 = nn.Conv2d(c1024, c2048, 1), nn.BatchNorm2d(c2048)
        self.block1 = _bottlenecks("b1", c256, 3)
        self.block2, self.block3 = Bottleneck(c512, 2), _bottlenecks("b3", c512, 3)
        self.block4, self.block5 = Bottleneck(c1024, 2), _bottlenecks("b5", c1024, 5)
        self.block6, self.block7 = Bottleneck(c2048, 2), _bottlenecks("b7", c2048, 2)

    def forward(self, picture: Tensor) -> HeadPose:
        """(n, 3, h, w) RGB in [0, 1] -> pose of n faces."""
        x = functional.max_pool2d(functional.relu(self.norm1(self.conv1(picture))), 3, 2, 1)
        x = self.block1(functional.relu(self.norm2(self.conv2(x))))
        x = self.block3(self.block2(functional.relu(self.norm3(self.conv3(x)))))
        x = self.block5(self.block4(functional.relu(self.norm4(self.conv4(x)))))
        x = self.block7(self.block6(functional.relu(self.norm5(self.conv5(x)))))
        pose = self.pose_of(x.mean(dim=(2, 3)))
        # In the published weights the two layers answer for each other's angle.
        return HeadPose(pose.roll, pose.pitch, pose.yaw, pose.translation, pose.expression)
