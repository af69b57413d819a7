"""Random weights in the published layout, of any width: to measure and to test by, without anybody's weights."""

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import nn

from models.sadtalker.coefficients import CROP_SIZE, FULL_SIZE
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.keypoints import KeypointDetector
from models.sadtalker.mapping import MappingNetwork
from models.sadtalker.pose import PoseNetwork
from models.sadtalker.reconstruction import ReconstructionNetwork
from models.sadtalker.renderer import Renderer
from models.sadtalker.weights import MAPPING_FILES, MAPPING_KEY, NETWORK_FILES, PREFIXES
from models.spade.network import SpectralConv2d

_SIDE_PX = 128
_PATCHES = 12
_CONTRAST = 1.5
"""Standard deviation of the picture's logits: about a photo's."""


def lively_renderer(width: float, seed: int) -> Renderer:
    """A renderer of random weights in eval mode whose activations are alive, as a trained one's are.

    Its norms have seen a picture, and its weights keep a signal's strength from layer to layer (K. He, X. Zhang,
    S. Ren and J. Sun, "Delving Deep into Rectifiers", ICCV 2015): biases that outweigh the picture would be all that
    the last layers see, and rounding errors of them all that differs.
    """
    torch.manual_seed(seed)
    renderer = Renderer(width).train()
    with torch.no_grad():
        for name, parameter in renderer.named_parameters():
            if parameter.ndim > 1:
                nn.init.kaiming_normal_(parameter)
            elif name.endswith("bias"):
                parameter.zero_()
        for module in renderer.modules():
            if isinstance(module, SpectralConv2d):
                module.update_vectors()
            elif isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0  # its statistics become those of the picture
        renderer(_picture(), _points(), _points())
        renderer.eval()
        layer = cast(nn.Conv2d, renderer.decoder.conv_img)
        logits: list[torch.Tensor] = []  # seen before the sigmoid: in black and white it leaves nothing of them
        watch = layer.register_forward_hook(lambda _layer, _inputs, output: logits.append(output))
        renderer(_picture(), _points(), _points())
        watch.remove()
        layer.weight *= _CONTRAST / logits[0].std()
        assert layer.bias is not None
        layer.bias.zero_()
    return renderer.requires_grad_(False)


def _picture() -> torch.Tensor:
    """As smooth as a photo; noise would have the layers after it expect more contrast than a face gives."""
    coarse = torch.rand(1, 3, _PATCHES, _PATCHES)
    return nn.functional.interpolate(coarse, size=(_SIDE_PX, _SIDE_PX), mode="bilinear", align_corners=False)


def _points() -> torch.Tensor:
    return torch.rand(1, 15, 3) * 1.6 - 0.8


def write_stand_in(folder: Path, width: float, seed: int = 1) -> None:
    """Write every file that ``weights`` reads into ``folder``."""
    torch.manual_seed(seed)
    parts: tuple[nn.Module, ...] = (
        KeypointDetector(width),
        lively_renderer(width, seed),
        ExpressionNetwork(width),
        PoseNetwork(width),
        ReconstructionNetwork(width),
    )
    tensors = {
        f"{prefix}.{key}": tensor.contiguous()
        for prefix, part in zip(PREFIXES, parts, strict=True)
        for key, tensor in part.state_dict().items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for name in NETWORK_FILES.values():
        save_file(tensors, folder / name)
    for coefficients in (CROP_SIZE, FULL_SIZE):
        network = MappingNetwork(coefficients, width)
        torch.save({MAPPING_KEY: network.state_dict()}, folder / MAPPING_FILES[coefficients])
