"""Random weights that behave like trained ones, to measure speed and rounding where the published files are not."""

import torch
from torch import nn

from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.weights import Architecture, Networks
from models.spade.network import SpectralConv2d

_PATCHES = 16
_GAIN = 1.2
_BIAS = 0.1
_MASK_SPREAD = 2.0
"""Standard deviation of the motions' logits: enough that one wins in most places."""
_CONTRAST = 1.0
"""Standard deviation of the pixels' logits, which makes about 50 of 255: a photo's."""


@torch.no_grad()
def stand_in(architecture: Architecture | None = None, seed: int = 1, side: int = 128) -> Networks:
    """Networks of random weights whose norms have seen a random picture, so that no layer is dead or overflows.

    Weights keep a signal's strength from layer to layer, with and without ReLU (between K. He, X. Zhang, S. Ren and
    J. Sun, "Delving Deep into Rectifiers", ICCV 2015, and X. Glorot and Y. Bengio, AISTATS 2010). Biases are small:
    where they outweigh the signal, they and their rounding errors are all that the last layers see. ``side`` is that
    of the picture, a multiple of 128 px; what is drawn should be as large, or the norms expect something else.
    """
    torch.manual_seed(seed)
    networks = Networks.build(architecture)
    for part in (networks.appearance, networks.warping, networks.generator):
        for name, parameter in part.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, _GAIN / parameter[0].numel() ** 0.5)
            elif name.endswith("bias"):
                parameter.normal_(0, _BIAS)
    _settle_spectral_norms(networks.generator)
    networks.motion.get_parameter("detector.fc_scale.bias").add_(1.3)
    norms = [m for part in networks.modules() for m in part.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    for norm in norms:
        norm.train().momentum = 1.0
    # As smooth as a photo; noise would have the norms expect more contrast than a face gives.
    coarse = torch.rand(1, 3, _PATCHES, _PATCHES)
    picture = nn.functional.interpolate(coarse, size=(side, side), mode="bilinear", align_corners=False)
    volume = networks.appearance(picture)
    kp_source = torch.rand(1, KEYPOINTS, 3) - 0.5
    kp_driving = kp_source + 0.05 * torch.randn(1, KEYPOINTS, 3)
    spreads: list[torch.Tensor] = []
    mask = networks.warping.dense_motion_network.mask
    hook = mask.register_forward_hook(lambda _module, _inputs, logits: spreads.append(logits.std()))
    networks.warping(volume, kp_source, kp_driving)
    hook.remove()
    mask.weight.mul_(_MASK_SPREAD / spreads[0])
    for norm in norms:
        norm.eval()
    logits = networks.generator.logits(networks.warping(volume, kp_source, kp_driving))
    networks.generator.get_parameter("conv_img.0.weight").mul_(_CONTRAST / logits.std())
    return networks


def _settle_spectral_norms(module: nn.Module) -> None:
    """Bring the stored vectors to what they are after training: those of the largest singular value."""
    for convolution in module.modules():
        if isinstance(convolution, SpectralConv2d):
            convolution.update_vectors()
