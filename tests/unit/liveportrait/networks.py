"""Small networks with synthetic weights, and faces for them."""

from functools import cache

import numpy as np

from models.liveportrait.files import FILES
from models.liveportrait.weights import Architecture, Networks
from tests.parity.fill import fill, unit

SMALL = Architecture(width=1 / 16, depth=4)
FACE_PX = 128
"""Half the published side: all is convolution, so the drawn picture is 256 px."""


@cache
def small_networks() -> Networks:
    """Filled like the parity kit's, heads scaled to ranges as real ones have."""
    networks = Networks.build(SMALL)
    scales = {"fc_exp": 0.02, "fc_kp": 0.25, "fc_t": 0.1, "fc_scale": 0.1, "fc_pitch": 2, "fc_yaw": 2, "fc_roll": 2}
    for stem, module in zip(FILES, networks.modules(), strict=True):
        state = module.state_dict()
        entries = []
        for key, tensor in state.items():
            scale = next((s for name, s in scales.items() if f".{name}." in key), 1.0)
            scale = 0.05 if stem.startswith("stitching") and tensor.shape[0] in (63, 65) else scale
            entries.append([key, list(tensor.shape), str(tensor.dtype), scale])
        filled = fill(entries, 5)
        if "detector.fc_scale.bias" in filled:
            filled["detector.fc_scale.bias"] += 1.3
        module.load_state_dict(filled)
    return networks


def faces(count: int, side: int = FACE_PX) -> np.ndarray:
    """RGB noise with coarse blocks, (count, side, side, 3) uint8: pictures that differ a little from each other."""
    coarse = unit("faces/coarse", 16 * 16 * 3, 1).reshape(1, 16, 16, 3)
    own = unit("faces/own", count * 16 * 16 * 3, 1).reshape(count, 16, 16, 3)
    blocks = np.kron(0.8 * coarse + 0.2 * own, np.ones((1, side // 16, side // 16, 1)))
    return np.clip(128 + 60 * blocks, 0, 255).astype(np.uint8)


def points(seed: int = 1, center: float = FACE_PX / 2, size: float = FACE_PX / 4) -> np.ndarray:
    """203 landmarks somewhere about a centre, with eyes above lips."""
    lmk = center + size * unit("points", 203 * 2, seed).reshape(203, 2) / 2
    lmk[:48, 1] -= size
    lmk[48:, 1] += size / 2
    return lmk.astype(np.float32)
