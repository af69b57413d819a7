"""W and G as a live engine runs them: folded, in half precision where the device has it, as the runtime runs it."""

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
from models.runtime.precision import drawing_dtype
from models.runtime.prepacked import prepack_convolutions
from models.runtime.runtime import Runtime, choose


class Animator:
    """Draws pictures of a face whose keypoints move. Holds weights only: calls may mix sources and sessions.

    Threads are the caller's affair (``torch.set_num_threads``). Keypoints and coordinates stay float32; what
    half precision costs elsewhere is said by ``visavis bench liveportrait``.
    """

    def __init__(
        self,
        networks: Networks,
        dtype: torch.dtype | None = None,
        side: int = 64,
        runtime: Runtime | None = None,
    ) -> None:
        """Fold, convert, move to the device, and make one call of it.

        Args:
            networks: plain ones; they stay as they are.
            dtype: None takes float16 on a GPU, as published, and on a CPU bfloat16 where it multiplies that, else
                float32.
            side: of the feature volumes to come; 64 as published. The call holds for this one.
            runtime: None is scripted on the CPU. All but ``eager`` take some pictures' time before the first.
        """
        self.runtime = runtime or choose("scripted", "cpu")
        self.dtype = dtype or drawing_dtype(self.runtime.device)
        folded = fold(networks)
        shape = (networks.appearance.depth, side, side)
        channels = networks.warping.dense_motion_network.compress.in_channels
        drawing = _Drawing(FastWarping(folded.warping, self.dtype, shape), folded.generator, self.dtype)
        drawing.eval().requires_grad_(False)
        if self.runtime.can_prepack(self.dtype):
            prepack_convolutions(drawing)
        self._draw = self.runtime.call(drawing, *_example(channels, shape))

    def animate(self, features: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Picture:
        """Draw one picture a driving pose.

        Args:
            features: F's volume, (1, c, d, h, w) for all or (n, c, d, h, w).
            kp_source: the source's keypoints, (1, 21, 3) for all or (n, 21, 3).
            kp_driving: where they shall be, (n, 21, 3).

        Returns:
            RGB (n, 8 h, 8 w, 3); 512 x 512 as published.
        """
        return cast(NDArray[np.uint8], self.draw(features, kp_source, kp_driving).cpu().numpy())

    @torch.inference_mode()
    def draw(self, features: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """As ``animate``; the pictures stay on the device."""
        n = len(kp_driving)
        inputs = features.expand(n, -1, -1, -1, -1), kp_source.expand(n, -1, -1), kp_driving
        drawn = self._draw(*(tensor.to(self.runtime.device) for tensor in inputs))
        # A CUDA graph draws over what it drew before.
        return drawn.clone() if drawn.is_cuda else drawn


class _Drawing(nn.Module):
    """Volume and keypoints in, pixels out."""

    def __init__(self, warping: FastWarping, generator: SpadeGenerator, dtype: torch.dtype) -> None:
        super().__init__()
        self.warping = warping
        self.generator = generator.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, features: Tensor, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        logits: Tensor = self.generator.logits(self.warping(features, kp_source, kp_driving)).float()
        # Truncated, as published.
        return logits.sigmoid_().mul_(255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def _example(channels: int, shape: Shape) -> tuple[Tensor, Tensor, Tensor]:
    """A volume and keypoints to trace with."""
    kp = torch.linspace(-0.5, 0.5, KEYPOINTS)[None, :, None].expand(1, -1, 3)
    return torch.zeros(1, channels, *shape), kp.contiguous(), 0.9 * kp
