"""Our generator drawn from mouth codes instead of sound, which is how its face is trained."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.wav2lip import objective
from models.wav2lip.network import Generator, flow_px, prefiltered
from models.wav2lip.region import Cutout


def planes(pictures: NDArray[np.uint8]) -> Tensor:
    """RGB (n, h, w, 3) -> (n, 3, h, w) in [0, 1]."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 255


def face_features(generator: Generator, cutout: Cutout, whole: Tensor) -> list[Tensor]:
    """What the decoder needs of faces (n, 3, size, size) in [0, 1], innermost first."""
    masked = whole.clone()
    masked[:, :, whole.shape[2] // 2 :] = 0
    face = torch.cat((masked, whole), dim=1).contiguous(memory_format=torch.channels_last)
    return [cutout.cut(feature, level) for level, feature in enumerate(generator.encode_face(face)[::-1])]


class Drawn(NamedTuple):
    """The drawn part of some faces."""

    picture: Tensor
    """(n, 3, h, w) in [0, 1]."""
    opacity: Tensor
    """(n, 1, h, w): how much of each pixel is painted, in [0, 1]."""
    flow: Tensor
    """(n, 2, h, w): where in the face drawn upon each pixel was, right and down in pixels from itself."""


def draw(generator: Generator, cutout: Cutout, code: Tensor, features: list[Tensor], whole: Tensor) -> Drawn:
    """Mouths of codes (n, K) on the faces (n, 3, size, size) in [0, 1] that ``features`` are of."""
    embedding = objective.embedding_of(code, generator.embedding_channels)
    drawn = cutout.decode(
        generator.face_decoder_blocks, generator.output_block, generator.flow_block, embedding, features
    )
    drawn = drawn.float()
    return Drawn(cutout.laid_over(drawn, cutout.reference_part(prefiltered(whole))), drawn[:, 3:4], flow_px(drawn))
