"""The lip-sync expert: do these five pictures and this sound belong together?

After Chung and Zisserman, "Out of time: automated lip sync in the wild", ACCV workshops 2016, in the colour
form of Wav2Lip (ACM Multimedia 2020).
"""

from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import ConvBlock, audio_encoder, residuals, scaled

FRAMES = 5
"""Pictures in a row that the expert sees at once; its one mel window of 16 columns spans the same 0.2 s."""


class SyncNet(nn.Module):
    """Two encoders into one space. Keys at width 1 are the published expert's.

    Face encoder on (n, 15, 48, 96), five lower halves stacked frame by frame on the channels::

        C7 32 | C5/(1,2) 64, padding 1, +2 | C3/2 128 +3 | C3/2 256 +2 | C3/2 512 +2 | C3/2 512
        | C3 512, C1 512

    The second layer's padding of 1 trims the picture to 46x47. Audio encoder: ``models.audio.encoder``
    with two residual blocks at 256 channels.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c = {n: scaled(n, width) for n in (32, 64, 128, 256, 512)}
        self.face_encoder = nn.Sequential(
            ConvBlock(15, c[32], 7, 1, 3),
            ConvBlock(c[32], c[64], 5, (1, 2), 1),
            *residuals(c[64], 2),
            ConvBlock(c[64], c[128], 3, 2, 1),
            *residuals(c[128], 3),
            ConvBlock(c[128], c[256], 3, 2, 1),
            *residuals(c[256], 2),
            ConvBlock(c[256], c[512], 3, 2, 1),
            *residuals(c[512], 2),
            ConvBlock(c[512], c[512], 3, 2, 1),
            ConvBlock(c[512], c[512], 3, 1, 0),
            ConvBlock(c[512], c[512], 1, 1, 0),
        )
        self.audio_encoder = audio_encoder(width, residuals_at_256=2)

    def forward(self, mel: Tensor, faces: Tensor) -> tuple[Tensor, Tensor]:
        """Embed sound and pictures.

        Args:
            mel: (n, 1, 80, 16).
            faces: (n, 15, 48, 96) in [0, 1].

        Returns:
            Audio and face embeddings (n, 512 * width) of length 1 and without negative values, so their
            dot product lies in [0, 1].
        """
        audio = self.audio_encoder(mel).flatten(1)
        face = self.face_encoder(faces).flatten(1)
        return functional.normalize(audio, dim=1), functional.normalize(face, dim=1)
