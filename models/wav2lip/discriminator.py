"""The quality discriminator: is this lower half of a face a photograph or a drawing of the generator's?"""

from typing import cast

from torch import Tensor, nn

from models.audio.encoder import scaled
from models.wav2lip.layers import PlainConvBlock


class QualityDiscriminator(nn.Module):
    """Convolutions without normalisation on each frame's lower half; keys at width 1 are the published ones.

    On (n, 3, 48, 96)::

        C7 32 | C5/(1,2) 64, C5 64 | C5/2 128, C5 128 | C5/2 256, C5 256 | C3/2 512, C3 512 | C3/2 512, C3 512
        | C3 512, C1 512 | C1 1, sigmoid
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = {n: scaled(n, width) for n in (32, 64, 128, 256, 512)}
        blocks: list[nn.Module] = [nn.Sequential(PlainConvBlock(3, c[32], 7, 1, 3))]
        for inputs, outputs, kernel, stride in (
            (32, 64, 5, (1, 2)),
            (64, 128, 5, 2),
            (128, 256, 5, 2),
            (256, 512, 3, 2),
            (512, 512, 3, 2),
        ):
            pad = kernel // 2
            blocks.append(
                nn.Sequential(
                    PlainConvBlock(c[inputs], c[outputs], kernel, stride, pad),
                    PlainConvBlock(c[outputs], c[outputs], kernel, 1, pad),
                )
            )
        blocks.append(
            nn.Sequential(
                PlainConvBlock(c[512], c[512], 3, 1, 0),
                PlainConvBlock(c[512], c[512], 1, 1, 0),
            )
        )
        self.face_encoder_blocks = nn.ModuleList(blocks)
        self.binary_pred = nn.Sequential(nn.Conv2d(c[512], 1, 1), nn.Sigmoid())

    def features(self, clips: Tensor) -> Tensor:
        """Whole faces (b, 3, t, 96, 96) -> (t * b, 512 * width), time-major."""
        return self._encode(lower_frames(clips)).flatten(1)

    def forward(self, clips: Tensor) -> Tensor:
        """Whole faces (b, 3, t, 96, 96) in [0, 1] -> probability of being real, (t * b, 1), time-major."""
        return self.judge(lower_frames(clips))

    def judge(self, patches: Tensor) -> Tensor:
        """Any patches (n, 3, 48, 96) in [0, 1] -> probability of being real, (n, 1)."""
        return cast(Tensor, self.binary_pred(self._encode(patches))).flatten(1)

    def _encode(self, patches: Tensor) -> Tensor:
        for block in self.face_encoder_blocks:
            patches = block(patches)
        return patches


def lower_frames(clips: Tensor) -> Tensor:
    """Clips (b, 3, t, h, w) -> the lower half of each frame, (t * b, 3, h / 2, w), time-major."""
    return clips[:, :, :, clips.shape[3] // 2 :].permute(2, 0, 1, 3, 4).flatten(0, 1)
