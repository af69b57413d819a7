"""A small causal network from mel spectrogram to how the mouth is shaped, in blend shapes.

A temporal convolutional network (S. Bai, J. Z. Kolter and V. Koltun, "An Empirical Evaluation of Generic
Convolutional and Recurrent Networks for Sequence Modeling", 2018) behind three convolutions that look at a few mel
bands at a time, so that a longer or a shorter vocal tract is the same pattern elsewhere. Nothing is padded in time:
a window gives exactly what a whole recording gives at that place, so it is trained on recordings, where neighbours
share nearly all of the work, and used on windows.
"""

from typing import cast

from torch import Tensor, nn
from torch.nn import functional

from models.audio.mel import N_MELS

DILATIONS = (1, 2, 4, 8, 1, 2, 4)
_FRONT = (24, 48, 64)
"""Channels of the layers that look at a few bands; each halves the number of bands."""
_TAPS = 3
COLUMNS = 1 + (_TAPS - 1) * (len(_FRONT) + sum(DILATIONS))
"""Mel columns that one moment is made of: 0.64 s."""


class TemporalBlock(nn.Module):
    """x + (dilated convolution -> ReLU -> mixing of the channels); shortens the time by ``2 * dilation``."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.dilation = dilation
        self.look = nn.Conv2d(channels, channels, (1, _TAPS), dilation=(1, dilation))
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, channels, 1, t) -> (n, channels, 1, t - 2 * dilation)."""
        y: Tensor = self.mix(functional.relu(self.look(x)))
        return x[..., self.dilation : -self.dilation] + y


class MotionNetwork(nn.Module):
    """Mel spectrogram to mouth code: 2.0 million parameters at 256 channels.

    It has no normalisation: over pieces of sixteen recordings a batch's statistics tell more about the batch than
    about speech, and what the network learned with them did not hold without.
    """

    def __init__(self, controls: int, channels: int = 256) -> None:
        super().__init__()
        narrow, middle, wide = _FRONT
        self.front = nn.Sequential(
            nn.Conv2d(1, narrow, (5, _TAPS), (2, 1), (2, 0)),
            nn.ReLU(),
            nn.Conv2d(narrow, middle, (3, _TAPS), (2, 1), (1, 0)),
            nn.ReLU(),
            nn.Conv2d(middle, wide, (3, _TAPS), (2, 1), (1, 0)),
            nn.ReLU(),
            nn.Conv2d(wide, channels, (N_MELS // 2 ** len(_FRONT), 1)),
        )
        self.blocks = nn.Sequential(*(TemporalBlock(channels, dilation) for dilation in DILATIONS))
        self.out = nn.Conv2d(channels, controls, 1)
        for layer in self.front:
            if isinstance(layer, nn.Conv2d) and layer.bias is not None:
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, mel: Tensor) -> Tensor:
        """(n, 1, 80, t) -> (n, controls, t - COLUMNS + 1), unbounded; moment i is made of columns [i, i + COLUMNS)."""
        x = self.blocks(self.front(mel / 2))
        return cast(Tensor, self.out(functional.relu(x)).squeeze(2))
