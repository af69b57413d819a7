"""The generator: what a mouth looks like, given a mel window and a face with the mouth hidden.

After Prajwal, Mukhopadhyay, Namboodiri and Jawahar, "A Lip Sync Expert Is All You Need for Speech to Lip
Generation In the Wild", ACM Multimedia 2020: two encoders, and a decoder that takes the face encoder's
features back in at every size. ``Generator()`` is the published size; its keys are the published
checkpoint's keys. A width multiplier and an outer block at each end give smaller or sharper networks in the
same manner.
"""

from typing import cast

import torch
from torch import Tensor, nn

from models.wav2lip.layers import ConvBlock, UpBlock, audio_encoder, residuals, scaled

SIZES = (96, 192)


class Generator(nn.Module):
    """Audio encoder, face encoder, decoder.

    Layout at size 96, channels at width 1 (C = convolution, T = transposed, +n = n residual blocks)::

        face encoder    6x96x96   C7 16 | C3/2 32 +2 | C3/2 64 +3 | C3/2 128 +2 | C3/2 256 +2 | C3/2 512 +1
                                  | C3 512, C1 512            sizes 96 48 24 12 6 3 1
        audio encoder   1x80x16   -> 512x1x1, see ``layers.audio_encoder``
        decoder         C1 512 | T3 512 +1 | T3x2 512 +2 | T3x2 384 +2 | T3x2 256 +2 | T3x2 128 +2
                        | T3x2 64 +2
                        after each block the face feature of its size is appended on the channels
        output          C3 32, C1 3, sigmoid

    Size 192 adds one block at each end, at half the channels of its neighbour: the face encoder begins
    with C7 8 at 192x192 and takes the stride C3/2 16 +2 to 96x96, where the former first block stood; the
    decoder ends in T3x2 32 +2 at 192x192, and the output block's hidden layer has 16 channels. Hence the
    blocks of the face encoder behind the new one are numbered one higher.

    Channels are multiplied by ``width`` but stay at least 8, in the decoder and output block 16: the outer
    decoder blocks draw the detail, and a vector unit does 16 channels in the time of 8.
    """

    def __init__(self, width: float = 1.0, size: int = 96) -> None:
        super().__init__()
        if size not in SIZES or width <= 0:
            raise ValueError(f"The generator comes in sizes {SIZES} and positive widths, not {size}, {width}.")
        self.width, self.size = width, size
        c = {n: scaled(n, width) for n in (8, 16, 32, 64, 128, 256, 512)}
        d = {n: scaled(n, width, least=16) for n in (16, 32, 64, 128, 256, 384, 512)}
        self.face_encoder_blocks = nn.ModuleList(_face_encoder(c, size))
        self.audio_encoder = audio_encoder(width)
        self.face_decoder_blocks = nn.ModuleList(_face_decoder(d, c, size))
        hidden, outer = (d[32], d[64] + c[16]) if size == 96 else (d[16], d[32] + c[8])
        self.output_block = nn.Sequential(ConvBlock(outer, hidden, 3, 1, 1), nn.Conv2d(hidden, 3, 1), nn.Sigmoid())

    @property
    def embedding_channels(self) -> int:
        """Channels of the audio embedding."""
        return scaled(512, self.width)

    def forward(self, mel: Tensor, face: Tensor) -> Tensor:
        """Draw faces.

        Args:
            mel: (n, 1, 80, 16), or (b, t, 1, 80, 16).
            face: (n, 6, size, size), or (b, 6, t, size, size), in [0, 1]: the crop with its lower half
                zero, then a reference crop.

        Returns:
            (n, 3, size, size), or (b, 3, t, size, size), in [0, 1].
        """
        if mel.dim() == 4:
            return self.decode(self.audio_encoder(mel), self.encode_face(face))
        batch, frames = mel.shape[:2]
        drawn = self.decode(
            self.audio_encoder(mel.transpose(0, 1).flatten(0, 1)),
            self.encode_face(face.permute(2, 0, 1, 3, 4).flatten(0, 1)),
        )
        return drawn.view(frames, batch, *drawn.shape[1:]).permute(1, 2, 0, 3, 4)

    def encode_face(self, face: Tensor) -> list[Tensor]:
        """Face features from the outermost (``size`` wide) to the innermost (1x1)."""
        features = []
        for block in self.face_encoder_blocks:
            face = block(face)
            features.append(face)
        return features

    def decode(self, embedding: Tensor, features: list[Tensor]) -> Tensor:
        """Audio embedding (n, c, 1, 1) and ``encode_face``'s features -> pictures (n, 3, size, size)."""
        x = embedding
        for block, feature in zip(self.face_decoder_blocks, reversed(features), strict=True):
            x = torch.cat((block(x), feature), dim=1)
        return cast(Tensor, self.output_block(x))


def _face_encoder(c: dict[int, int], size: int) -> list[nn.Module]:
    blocks: list[nn.Module] = []
    if size == 192:
        blocks.append(nn.Sequential(ConvBlock(6, c[8], 7, 1, 3)))
        blocks.append(nn.Sequential(ConvBlock(c[8], c[16], 3, 2, 1), *residuals(c[16], 2)))
    else:
        blocks.append(nn.Sequential(ConvBlock(6, c[16], 7, 1, 3)))
    for inputs, outputs, count in ((16, 32, 2), (32, 64, 3), (64, 128, 2), (128, 256, 2), (256, 512, 1)):
        blocks.append(nn.Sequential(ConvBlock(c[inputs], c[outputs], 3, 2, 1), *residuals(c[outputs], count)))
    blocks.append(nn.Sequential(ConvBlock(c[512], c[512], 3, 1, 0), ConvBlock(c[512], c[512], 1, 1, 0)))
    return blocks


def _face_decoder(d: dict[int, int], c: dict[int, int], size: int) -> list[nn.Module]:
    """``d``: the decoder's channels, ``c``: the face encoder's."""
    blocks: list[nn.Module] = [
        nn.Sequential(ConvBlock(c[512], d[512], 1, 1, 0)),
        nn.Sequential(UpBlock(d[512] + c[512], d[512], 3, 1, 0), *residuals(d[512], 1)),
    ]
    x = d[512] + c[512]
    outer = ((512, 256), (384, 128), (256, 64), (128, 32), (64, 16), (32, 8))
    for outputs, skip in outer if size == 192 else outer[:-1]:
        blocks.append(nn.Sequential(UpBlock(x, d[outputs], 3, 2, 1, 1), *residuals(d[outputs], 2)))
        x = d[outputs] + c[skip]
    return blocks
