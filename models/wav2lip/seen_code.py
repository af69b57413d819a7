"""Mouth codes corrected by what is seen.

What the ear hears is a little off, and a face that is trained on it learns the mean of all that may sound so: lips
that part less, and do not close. So each code moves to where the generator it was heard for draws the mouth that the
picture shows, as far as that is worth leaving what was heard.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.runtime.precision import preferred_dtype
from models.wav2lip import objective
from models.wav2lip.from_code import draw, face_features, planes
from models.wav2lip.network import Generator
from models.wav2lip.region import Cutout

_BATCH = 16
_STEPS = 15
_RATE = 0.02
_HEARD = 0.3
"""How much a squared difference from the heard code costs, where the picture's is as in training."""


def seen_codes(
    generator: Generator,
    mask: NDArray[np.uint8],
    idle: NDArray[np.uint8],
    targets: NDArray[np.uint8],
    codes: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Codes (n, K) in [0, 1], each near the one heard, and nearer to what its picture shows.

    Args:
        generator: trained on codes; in eval mode, channels last.
        mask: the avatar's blend mask.
        idle: faces at rest, (n, size, size, 3) RGB.
        targets: the same, talking.
        codes: what is heard in each, (n, K) in [0, 1].
    """
    cutout = Cutout.of_mask(mask, idle.shape[1])
    paste = objective.paste_weights(mask, cutout)
    batches = np.array_split(np.arange(len(codes)), max(1, len(codes) // _BATCH))
    seen = [
        _seen(generator, cutout, paste, planes(idle[batch]), planes(targets[batch]), torch.from_numpy(codes[batch]))
        for batch in tqdm(batches, unit_scale=_BATCH, unit="frame", desc="Codes seen")
    ]
    return np.concatenate(seen)


def _seen(
    generator: Generator, cutout: Cutout, paste: torch.Tensor, idle: torch.Tensor, target: torch.Tensor,
    heard: torch.Tensor,
) -> NDArray[np.float32]:  # fmt: skip
    with torch.no_grad():
        features = face_features(generator, cutout, idle)
    resting, shown = cutout.drawn_part(idle), cutout.drawn_part(target)
    weights, factors = objective.pixel_weights(resting, shown, paste, objective.Weights.moved), objective.Weights
    code = heard.clone().requires_grad_(True)
    optimiser = torch.optim.Adam([code], lr=_RATE)
    for _ in range(_STEPS):
        with _bfloat16():
            drawn = draw(generator, cutout, code, features, idle).picture
        l1, _ = objective.l1_and_edge(drawn, shown, weights)
        picture = l1 + factors.coarse * objective.coarse(drawn, shown, weights)
        # The picture's terms are means over the batch, the code's a sum.
        loss = len(code) * picture + _HEARD * (code - heard).square().sum()
        (code.grad,) = torch.autograd.grad(loss, code)  # and none of the generator's weights
        optimiser.step()
        with torch.no_grad():
            code.clamp_(0, 1)
    return np.asarray(code.detach().numpy())


def _bfloat16() -> torch.autocast:
    """As in training: only where the processor multiplies it."""
    return torch.autocast("cpu", torch.bfloat16, enabled=preferred_dtype() is torch.bfloat16)
