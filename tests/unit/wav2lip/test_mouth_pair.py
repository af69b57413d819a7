"""Mouths laid on faces at rest: Ada's, turned and moved."""

import cv2
import numpy as np

from models.wav2lip.mouth_pair import pairs_of, targets_of
from tests.unit.face.faces import ada, portrait


def test_a_mouth_lies_where_the_head_at_rest_has_it() -> None:
    still = portrait(0)
    crops, mask = [], ada().mask
    for turn, shift in ((0, (0, 0)), (4, (5, -3)), (-3, (-4, 6))):
        moved = cv2.getRotationMatrix2D((256, 256), turn, 1.03 if turn else 1.0) + [(0, 0, shift[0]), (0, 0, shift[1])]
        x0, y0, x1, y1 = ada().boxes[0]
        head = cv2.warpAffine(still, moved, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        crops.append(cv2.resize(head[y0:y1, x0:x1], (288, 288), interpolation=cv2.INTER_AREA))
    at_rest = crops[0].astype(int)
    pairs = pairs_of(np.stack(crops), np.array([1, 2]), np.array([0]), mask)
    for pair, target in zip(pairs, targets_of(np.stack(crops), pairs, mask), strict=True):
        assert np.abs(target - at_rest).mean() < 0.1 * np.abs(crops[pair.talking] - at_rest).mean()
