"""The generator: what a mouth looks like, given a mel window and a face with the mouth hidden.

After Prajwal, Mukhopadhyay, Namboodiri and Jawahar, "A Lip Sync Expert Is All You Need for Speech to Lip
Generation In the Wild", ACM Multimedia 2020: two encoders, and a decoder that takes the face encoder's
features back in at every size. ``Generator()`` is the published size; its keys are the published
checkpoint's keys. A width multiplier gives smaller networks, and size 288 sharper ones: the same levels, with
sub-pixel convolutions at both ends (Shi et al., "Real-Time Single Image and Video Super-Resolution Using an
Efficient Sub-Pixel Convolutional Neural Network", CVPR 2016), so a picture of nine times the pixels costs hardly
more.
"""

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import ConvBlock, audio_encoder, residuals, scaled
from models.wav2lip.layers import UpBlock

CORE_SIZE = 96
"""Side of the outermost level, and of the published generator's pictures."""
SIZES = (CORE_SIZE, 3 * CORE_SIZE)


class Generator(nn.Module):
    """Audio encoder, face encoder, decoder.

    Layout at size 96, channels at width 1 (C = convolution, T = transposed, +n = n residual blocks)::

        face encoder    6x96x96   C7 16 | C3/2 32 +2 | C3/2 64 +3 | C3/2 128 +2 | C3/2 256 +2 | C3/2 512 +1
                                  | C3 512, C1 512            sizes 96 48 24 12 6 3 1
        audio encoder   1x80x16   -> 512x1x1, see ``models.audio.encoder``
        decoder         C1 512 | T3 512 +1 | T3x2 512 +2 | T3x2 384 +2 | T3x2 256 +2 | T3x2 128 +2
                        | T3x2 64 +2
                        after each block the face feature of its size is appended on the channels
        output          C3 32, C1 3, sigmoid

    Size 288 folds blocks of 3x3 pixels into channels before the face encoder, whose first block is then C3 16
    on 54 channels, and out of channels behind the output block, whose hidden layer has 128 channels. What it
    draws is four channels, colour and opacity, laid over the reference crop: skin that speech does not move
    stays the reference's own, to the pixel.

    Channels are multiplied by ``width`` but stay at least 8, in the decoder and output block and in the face
    encoder's first block at size 288 at least 16: those draw the detail, and a vector unit does 16 channels in
    the time of 8. ``ear_width`` is the audio encoder's own width multiplier, ``ear_residuals`` how many residual
    blocks it has where a window has shrunk to 3x3 and a layer costs little.
    """

    def __init__(
        self, width: float = 1.0, size: int = CORE_SIZE, ear_width: float | None = None, ear_residuals: int = 1
    ) -> None:
        super().__init__()
        if size not in SIZES or width <= 0:
            raise ValueError(f"The generator comes in sizes {SIZES} and positive widths, not {size}, {width}.")
        self.width, self.size, self.ear_width = width, size, ear_width or width
        self.fold = size // CORE_SIZE
        outer = scaled(16, width, least=8 if self.fold == 1 else 16)
        c = {n: scaled(n, width) for n in (32, 64, 128, 256, 512)} | {16: outer}
        d = {n: scaled(n, width, least=16) for n in (32, 64, 128, 256, 384, 512)}
        self.face_encoder_blocks = nn.ModuleList(_face_encoder(c, self.fold))
        self.audio_encoder = audio_encoder(self.ear_width, ear_residuals, self.embedding_channels)
        self.face_decoder_blocks = nn.ModuleList(_face_decoder(d, c))
        self.output_block = _output_block(d, d[64] + outer, self.fold)

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
            return laid_over(self.decode(self.audio_encoder(mel), self.encode_face(face)), face[:, 3:])
        batch, frames = mel.shape[:2]
        drawn = self(mel.transpose(0, 1).flatten(0, 1), face.permute(2, 0, 1, 3, 4).flatten(0, 1))
        return drawn.view(frames, batch, *drawn.shape[1:]).permute(1, 2, 0, 3, 4)  # type: ignore[no-any-return]

    def encode_face(self, face: Tensor) -> list[Tensor]:
        """Face features from the outermost (96x96) to the innermost (1x1)."""
        features = []
        face = functional.pixel_unshuffle(face, self.fold)
        for block in self.face_encoder_blocks:
            face = block(face)
            features.append(face)
        return features

    def decode(self, embedding: Tensor, features: list[Tensor]) -> Tensor:
        """Audio embedding (n, c, 1, 1) and ``encode_face``'s features -> what to show, for ``laid_over``."""
        x = embedding
        for block, feature in zip(self.face_decoder_blocks, reversed(features), strict=True):
            x = torch.cat((block(x), feature), dim=1)
        return cast(Tensor, self.output_block(x))


def laid_over(drawn: Tensor, reference: Tensor) -> Tensor:
    """What a generator draws, over the reference crop (n, 3, h, w) where it draws with an opacity."""
    colour, *opacity = drawn.split(3, dim=1)  # type: ignore[no-untyped-call]
    return torch.lerp(reference, colour, opacity[0]) if opacity else colour


def _face_encoder(c: dict[int, int], fold: int) -> list[nn.Module]:
    first = ConvBlock(6, c[16], 7, 1, 3) if fold == 1 else ConvBlock(6 * fold**2, c[16], 3, 1, 1)
    blocks: list[nn.Module] = [nn.Sequential(first)]
    for inputs, outputs, count in ((16, 32, 2), (32, 64, 3), (64, 128, 2), (128, 256, 2), (256, 512, 1)):
        blocks.append(nn.Sequential(ConvBlock(c[inputs], c[outputs], 3, 2, 1), *residuals(c[outputs], count)))
    blocks.append(nn.Sequential(ConvBlock(c[512], c[512], 3, 1, 0), ConvBlock(c[512], c[512], 1, 1, 0)))
    return blocks


def _face_decoder(d: dict[int, int], c: dict[int, int]) -> list[nn.Module]:
    """``d``: the decoder's channels, ``c``: the face encoder's."""
    blocks: list[nn.Module] = [
        nn.Sequential(ConvBlock(c[512], d[512], 1, 1, 0)),
        nn.Sequential(UpBlock(d[512] + c[512], d[512], 3, 1, 0), *residuals(d[512], 1)),
    ]
    x = d[512] + c[512]
    for outputs, skip in ((512, 256), (384, 128), (256, 64), (128, 32), (64, 16)):
        blocks.append(nn.Sequential(UpBlock(x, d[outputs], 3, 2, 1, 1), *residuals(d[outputs], 2)))
        x = d[outputs] + c[skip]
    return blocks


def _output_block(d: dict[int, int], inputs: int, fold: int) -> nn.Sequential:
    if fold == 1:
        return nn.Sequential(ConvBlock(inputs, d[32], 3, 1, 1), nn.Conv2d(d[32], 3, 1), nn.Sigmoid())
    hidden = d[128]
    to_pixels = nn.Conv2d(hidden, 4 * fold**2, 1)
    # Nearly clear at first: training begins at the idle face, and opacity grows where speech needs it.
    assert to_pixels.bias is not None
    nn.init.constant_(to_pixels.bias[-(fold**2) :].detach(), -3.0)
    return nn.Sequential(ConvBlock(inputs, hidden, 3, 1, 1), to_pixels, nn.PixelShuffle(fold), nn.Sigmoid())
