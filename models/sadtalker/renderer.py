"""The face renderer: a source picture, warped as a volume to where the keypoints go, and drawn anew.

After Wang, Mallya and Liu, "One-Shot Free-View Neural Talking-Head Synthesis for Video Conferencing", CVPR 2021,
with a SPADE decoder. The same network draws 256 and 512 pixels; the published files hold weights for each.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from models.audio.encoder import scaled
from models.sadtalker.dense_motion import DenseMotion, DenseMotionNetwork, warp
from models.sadtalker.keypoints import DEPTH
from models.sadtalker.layers import ConvBlock2d, DownBlock2d, ResBlock3d
from models.spade.network import SpadeDecoder

SIZES_PX = (256, 512)
"""Picture sides there are published weights for."""
_VOLUME_CHANNELS = 32
_RESBLOCKS = 6


@dataclass(frozen=True)
class SourceFeatures:
    """What of a source picture every frame needs, computed once."""

    volume: Tensor
    """(n, 32, 16, h / 4, w / 4)."""
    squeezed: Tensor
    """(n, 4, 16, h / 4, w / 4), see ``DenseMotionNetwork.squeeze``."""

    def repeated(self, count: int) -> "SourceFeatures":
        """The one source for ``count`` frames, without a copy."""
        return SourceFeatures(self.volume.expand(count, -1, -1, -1, -1), self.squeezed.expand(count, -1, -1, -1, -1))


@dataclass(frozen=True)
class Drawn:
    """Frames and how they came about."""

    picture: Tensor
    """(n, 3, h, w) RGB in [0, 1]."""
    motion: DenseMotion


class Renderer(nn.Module):
    """Encode a source once, then draw it with any keypoints.

    Layout at width 1, sizes for 256 pixels::

        encode   3x256x256 conv 64 | down 128, 256 (64x64) | conv 1x1 512 = 32x16x64x64 | 6 residual 3D blocks
        warp     by the dense motion, 32x16x64x64 = 512x64x64 | conv 256, conv 1x1 256, times the occlusion
        decode   see ``SpadeDecoder``: from 256 to 512, 256, 64 channels and colours
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c64, c128, c256, c512, volume = (scaled(c, width) for c in (64, 128, 256, 512, _VOLUME_CHANNELS))
        self.first = ConvBlock2d(3, c64)
        self.down_blocks = nn.ModuleList((DownBlock2d(c64, c128), DownBlock2d(c128, c256)))
        self.second = nn.Conv2d(c256, volume * DEPTH, 1)
        self.resblocks_3d = nn.Sequential()
        for i in range(_RESBLOCKS):
            self.resblocks_3d.add_module(f"3dr{i}", ResBlock3d(volume))
        self.dense_motion_network = DenseMotionNetwork(volume, width)
        self.third = ConvBlock2d(volume * DEPTH, c256, slope=0.01)
        self.fourth = nn.Conv2d(c256, c256, 1)
        conv_img = nn.Conv2d(c64, 3, 3, padding=1)
        self.decoder = SpadeDecoder(c256, (c512, c256, c64), c128, conv_img)

    def encode(self, picture: Tensor) -> SourceFeatures:
        """(n, 3, h, w) RGB in [0, 1], sides multiples of 128."""
        x = self.first(picture)
        for block in self.down_blocks:
            x = block(x)
        volume = self.resblocks_3d(self.second(x).unflatten(1, (-1, DEPTH)))
        return SourceFeatures(volume, self.dense_motion_network.squeeze(volume))

    def draw(self, source: SourceFeatures, kp_source: Tensor, kp_driving: Tensor) -> Drawn:
        """Draw n frames; keypoints are (n, 15, 3), a source repeated is ``SourceFeatures.repeated``."""
        motion = self.dense_motion_network(source.squeezed, kp_source, kp_driving)
        x = warp(source.volume, motion.deformation).flatten(1, 2)
        x = self.fourth(self.third(x))
        return Drawn(self.decoder(x * motion.occlusion), motion)

    def picture(self, source: SourceFeatures, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """The frames alone, (n, 3, h, w) RGB in [0, 1]."""
        return self.draw(source, kp_source, kp_driving).picture

    def forward(self, picture: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Drawn:
        """``encode`` and ``draw`` in one."""
        return self.draw(self.encode(picture), kp_source, kp_driving)
