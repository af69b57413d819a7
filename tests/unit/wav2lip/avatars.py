"""Small avatars and weights for the tests of this folder."""

import cv2
import numpy as np

from models.avatar import Avatar
from models.wav2lip.network import Generator
from tests.parity.fill import fill


def soft_avatar(frames: int = 6, box: int = 240, seed: int = 0) -> Avatar:
    """A loop of smooth random pictures, 320x320, whose mask pastes an oval in the lower part of the box."""
    rng = np.random.default_rng(seed)
    loop = []
    for _ in range(frames):
        coarse = rng.integers(0, 256, (10, 10, 3), dtype=np.uint8)
        picture = cv2.resize(coarse, (320, 320), interpolation=cv2.INTER_CUBIC)
        loop.append(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420))
    boxes = [[30 + 2 * (i % 3), 40, 30 + 2 * (i % 3) + box, 40 + box] for i in range(frames)]
    mask = np.zeros((box, box), np.uint8)
    cv2.ellipse(mask, (box // 2, box * 17 // 24), (box // 3, box // 4), 0, 0, 360, 255, -1)
    return Avatar(
        name="soft",
        title="Soft",
        licence="CC0-1.0",
        source="drawn by the test",
        fps=25,
        width=320,
        height=320,
        frames_i420=np.stack(loop).astype(np.uint8),
        boxes=np.array(boxes, np.int32),
        mask=cv2.GaussianBlur(mask, (15, 15), 0).astype(np.uint8),
        portrait_jpeg=b"",
    )


def filled_generator(width: float = 0.25, size: int = 288, seed: int = 1) -> Generator:
    """A generator with synthetic weights whose features stay lively through all layers, and move a face by pixels."""
    generator = Generator(width, size)
    entries = [[key, list(value.shape), str(value.dtype)] for key, value in generator.state_dict().items()]
    generator.load_state_dict(fill(entries, seed))
    if generator.flow_block is not None:
        for tensor in generator.flow_block[-1].parameters():
            tensor.data *= 0.05
    return generator.eval()
