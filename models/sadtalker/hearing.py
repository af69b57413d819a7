"""The networks that hear, as a runtime runs them. What goes in and comes out lies on the CPU: it is small.

Of ``scripted`` on a CPU there is nothing to gain for a film: tracing them costs 0.3 s, the time of a few frames, and
nobody else waits for Python's lock. There they run as PyTorch comes, which gives the same bits.
"""

import torch
from torch import Tensor, nn

from models.runtime.runtime import Runtime
from models.runtime.scripted import Call
from models.sadtalker.coefficients import EXPRESSION_SIZE, POSE_SIZE
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.pose import LATENT_SIZE, WINDOW_FRAMES, PoseNetwork

_MEL = (1, 80, 16)


def expression_call(network: ExpressionNetwork, runtime: Runtime) -> Call:
    """``ExpressionNetwork.forward``."""
    return _on_device(runtime, network, torch.zeros(2, *_MEL), torch.zeros(2, EXPRESSION_SIZE), torch.zeros(2, 1))


class FastPose:
    """Offers what ``pose.MotionStream`` asks of a ``PoseNetwork``."""

    def __init__(self, network: PoseNetwork, runtime: Runtime) -> None:
        """``network``: in eval mode; its ear and its decoder are moved to the runtime's device."""
        decoder = network.netG.decoder
        heard = torch.zeros(2, WINDOW_FRAMES, decoder.linear_audio.in_features)
        latent, reference = torch.zeros(2, LATENT_SIZE), torch.zeros(2, POSE_SIZE)
        self._embed = _on_device(runtime, network.audio_encoder, torch.zeros(2, *_MEL))
        self._decode = _on_device(runtime, decoder, latent, reference, heard, torch.zeros(2, dtype=torch.int64))

    def embed(self, mels: Tensor) -> Tensor:
        """As ``PoseNetwork.embed``."""
        return self._embed(mels)

    def decode(self, embedding: Tensor, reference: Tensor, style: int, latent: Tensor) -> Tensor:
        """As ``PoseNetwork.decode``."""
        return self._decode(latent[None], reference[None], embedding[None], torch.tensor([style]))[0]


def _on_device(runtime: Runtime, network: nn.Module, *example: Tensor) -> Call:
    if runtime.device.type == "cpu" and runtime.name == "scripted":
        return network.to(runtime.device)
    call = runtime.call(network, *example, warm_ups=0)

    def to_and_fro(*batch: Tensor) -> Tensor:
        # Brought back at once: a CUDA graph's next call writes where this one did.
        return call(*(tensor.to(runtime.device) for tensor in batch)).cpu()

    return to_and_fro
