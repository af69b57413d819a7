"""W and G as a live engine runs them: folded, in half precision where the processor has it, as one call."""

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.liveportrait.fast_warping import FastWarping, Shape
from models.liveportrait.fold import fold
from models.liveportrait.generator import SpadeGenerator
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.pixels import Picture
from models.liveportrait.weights import Networks
from models.runtime import scripted
from models.runtime.precision import preferred_dtype


class Animator:
    """Draws pictures of a face whose keypoints move. Holds weights only: calls may mix sources and sessions.

    Threads are the caller's affair (``torch.set_num_threads``). Keypoints and coordinates stay float32; what
    bfloat16 costs elsewhere is said by ``visavis bench liveportrait``.
    """

    def __init__(
        self, networks: Networks, dtype: torch.dtype | None = None, side: int = 64, as_one_call: bool = True
    ) -> None:
        """Fold, convert and trace.

        Args:
            networks: plain ones; they stay as they are.
            dtype: None takes bfloat16 where the processor multiplies it, else float32.
            side: of the feature volumes to come; 64 as published. The trace holds for this one.
            as_one_call: False leaves the trace out, and with it four pictures' time before the first.
        """
        self.dtype = dtype or preferred_dtype()
        folded = fold(networks)
        shape = (networks.appearance.depth, side, side)
        channels = networks.warping.dense_motion_network.compress.in_channels
        drawing = _Drawing(FastWarping(folded.warping, self.dtype, shape), folded.generator, self.dtype)
        drawing.eval().requires_grad_(False)
        self._draw: scripted.Call = drawing
        if as_one_call:
            self._draw = scripted.as_one_call(drawing, *_example(channels, shape))

    @torch.inference_mode()
    def animate(self, features: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Picture:
        """Draw one picture a driving pose.

        Args:
            features: F's volume, (1, c, d, h, w) for all or (n, c, d, h, w).
            kp_source: the source's keypoints, (1, 21, 3) for all or (n, 21, 3).
            kp_driving: where they shall be, (n, 21, 3).

        Returns:
            RGB (n, 8 h, 8 w, 3); 512 x 512 as published.
        """
        n = len(kp_driving)
        drawn = self._draw(features.expand(n, -1, -1, -1, -1), kp_source.expand(n, -1, -1), kp_driving)
        return cast(NDArray[np.uint8], drawn.numpy())


class _Drawing(nn.Module):
    """Volume and keypoints in, pixels out."""

    def __init__(self, warping: FastWarping, generator: SpadeGenerator, dtype: torch.dtype) -> None:
        super().__init__()
        self.warping = warping
        self.generator = generator.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        drawn = torch.sigmoid(self.generator.logits(self.warping(features, kp_source, kp_driving)).float())
        # Truncated, as published.
        return (drawn * 255).clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _example(channels: int, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """A volume and keypoints to trace with."""
    kp = torch.linspace(-0.5, 0.5, KEYPOINTS)[None, :, None].expand(1, -1, 3)
    return torch.zeros(1, channels, *shape), kp.contiguous(), 0.9 * kp
