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
REACH_PX = 24
"""How far a picture of size 288 is moved at most, each way: more than speech moves a jaw in 99 of 100 frames."""
MARGIN_PX = REACH_PX + 2
"""What a moved pixel is read from lies no further away."""
FLOW_LEVEL = 3
"""The decoder's level that flow is made from, counted from the innermost: 12x12."""
_COLOURS = 3
_ASIDE_PX = 0.25
"""A little more than the 0.21 that is nearest to any picture (section III): what is moved comes out a little too fine,
which makes up for what painting and the loop's compression smooth. Leo's beard keeps 0.83 of its sharpness instead of
0.79, for 0.03 dB."""
_TAPS = 13
"""The filter falls by a third a pixel, so the next tap is below a part in a million."""


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
    draws is six channels, see ``laid_over``: colour and opacity, and flow, along which the reference crop is moved
    before they are laid over it (as in Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019).
    So skin keeps its grain where speech moves it, as stubble on a jaw, and stays the reference's own, to the pixel,
    where it does not. Flow is smooth, so a branch makes it: from the decoder's level of 12x12, T3x2 128 +2
    | T3x2 64 | C3 2, scaled up to the picture.

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
        self.flow_block = _flow_block(d, d[384] + c[128]) if self.fold > 1 else None

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
            drawn = self.decode(self.audio_encoder(mel), self.encode_face(face))
            return drawn if self.flow_block is None else laid_over(drawn, prefiltered(face[:, 3:]))
        batch, frames = mel.shape[:2]
        shown = self(mel.transpose(0, 1).flatten(0, 1), face.permute(2, 0, 1, 3, 4).flatten(0, 1))
        return shown.view(frames, batch, *shown.shape[1:]).permute(1, 2, 0, 3, 4)  # type: ignore[no-any-return]

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
        x, flow = embedding, None
        for level, (block, feature) in enumerate(zip(self.face_decoder_blocks, reversed(features), strict=True)):
            x = torch.cat((block(x), feature), dim=1)
            if level == FLOW_LEVEL and self.flow_block is not None:
                flow = self.flow_block(x)
        drawn = self.output_block(x)
        return drawn if flow is None else torch.cat((drawn.float(), scaled_flow(flow, self.size)), dim=1)


def laid_over(drawn: Tensor, reference: Tensor, row: int = 0, column: int = 0) -> Tensor:
    """What a generator draws, over the reference crop where it draws with an opacity.

    Args:
        drawn: (n, 3, h, w), which is the picture; or (n, 6, h, w): colour, opacity, and what ``flow_px`` reads.
        reference: (n, 3, H, W), ``prefiltered``, with ``MARGIN_PX`` around what is drawn, but for where the crop ends.
        row: where in it what is drawn begins.
        column: likewise.
    """
    colour, *more = drawn.contiguous().split(_COLOURS, dim=1)  # type: ignore[no-untyped-call]
    if not more:
        return cast(Tensor, colour)
    return torch.lerp(_moved(reference, flow_px(drawn), row, column), colour, more[0][:, :1])


def flow_px(drawn: Tensor) -> Tensor:
    """Where in the reference crop the pixels drawn (n, 6, h, w) are, right and down from themselves: (n, 2, h, w)."""
    return REACH_PX * drawn[:, _COLOURS + 1 :]


def scaled_flow(flow: Tensor, size: int) -> Tensor:
    """The flow block's flow (n, 2, h, w) at every pixel of the picture: (n, 2, size, size) float32."""
    planes = flow.float().contiguous()  # with channels last this takes four times as long
    return functional.interpolate(planes, size=(size, size), mode="bilinear", align_corners=False)


def prefiltered(picture: Tensor) -> Tensor:
    """A picture (n, c, h, w) in [0, 1] as ``laid_over`` reads it between its pixels, in [0, 1] too.

    Linear interpolation takes a third of a picture's sharpness. Read a little aside, of a picture filtered so that
    its own pixels still come out, it takes none, and costs a quarter of a cubic one (Blu, Thevenaz & Unser, "Linear
    interpolation revitalized", IEEE Transactions on Image Processing 13, 2004).
    """
    ratio = -_ASIDE_PX / (1 - _ASIDE_PX)
    taps = torch.tensor([ratio**n / (1 - _ASIDE_PX) for n in reversed(range(_TAPS))], device=picture.device)
    planes = picture.flatten(0, 1).unsqueeze(1)
    padded = functional.pad(planes, (_TAPS - 1, 0, _TAPS - 1, 0), mode="replicate")
    filtered = functional.conv2d(functional.conv2d(padded, taps.view(1, 1, -1, 1)), taps.view(1, 1, 1, -1))
    return filtered.view_as(picture).clamp(0, 1)


def _moved(reference: Tensor, flow: Tensor, row: int, column: int) -> Tensor:
    """The reference crop as it lies where ``flow`` (n, 2, h, w) points to."""
    right, down = flow.clamp(-REACH_PX, REACH_PX).unbind(1)
    rows, columns = (torch.arange(size, device=flow.device) - _ASIDE_PX for size in flow.shape[2:])
    down_share, right_share = (2 / (size - 1) for size in reference.shape[2:])  # of what grid_sample calls -1 to 1
    x = right * right_share + ((columns + column) * right_share - 1)
    y = down * down_share + ((rows + row) * down_share - 1).unsqueeze(1)
    places = torch.stack((x, y), dim=-1)
    return functional.grid_sample(reference, places, mode="bilinear", padding_mode="border", align_corners=True)


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


def _flow_block(d: dict[int, int], inputs: int) -> nn.Sequential:
    to_flow = nn.Conv2d(d[64], 2, 3, 1, 1)
    nn.init.zeros_(to_flow.weight)  # nothing is moved at first
    assert to_flow.bias is not None
    nn.init.zeros_(to_flow.bias)
    return nn.Sequential(
        UpBlock(inputs, d[128], 3, 2, 1, 1), *residuals(d[128], 2), UpBlock(d[128], d[64], 3, 2, 1, 1), to_flow
    )
