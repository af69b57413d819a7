"""ExpNet: from sound to the 64 expression coefficients of each frame."""

import torch
from torch import Tensor, nn

from models.audio.encoder import audio_encoder, scaled
from models.sadtalker.coefficients import EXPRESSION_SIZE


class ExpressionNetwork(nn.Module):
    """The audio embedding, the picture's own expression and how far the eyes are shut -> expression.

    The picture's expression is an input only: what comes out is not relative to it.
    """

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.audio_encoder = audio_encoder(width)
        self.mapping1 = nn.Linear(scaled(512, width) + EXPRESSION_SIZE + 1, EXPRESSION_SIZE)

    def forward(self, mels: Tensor, reference: Tensor, blinks: Tensor) -> Tensor:
        """Expressions of n frames, each by itself.

        Args:
            mels: (n, 1, 80, 16), see ``speech.mel_windows``.
            reference: (n, 64): the picture's expression.
            blinks: (n, 1): 0 open, 1 shut.

        Returns:
            (n, 64).
        """
        embedding = self.audio_encoder(mels).flatten(1)
        return self.mapping1(torch.cat((embedding, reference, blinks), dim=1))  # type: ignore[no-any-return]
