"""From the 52 ARKit weights to LivePortrait's expression offsets: a fixed linear map, clipped to what real faces do.

Where the numbers come from: the twelve motion templates published with LivePortrait (MIT), read frame by frame as
differences to their first frame, and the ranges over their 1151 frames (``models.liveportrait.ranges``).

- Jaw: the widest frames of ``open_lip``, ``laugh`` and ``talking`` lower keypoint 19 by 0.022 to 0.066 and raise 20
  by 0.005 to 0.014. In ``talking`` this one direction is 90 % of all that keypoints 14, 17, 19 and 20 do.
- Lip corners: the second component of ``talking`` and the third of ``d8`` move 14 and 20 up and down together;
  ``laugh`` and the smiles of ``d8`` raise them (y -0.025 at most), rounded lips lower them.
- Sideways: the second component of ``d8`` moves 19 and 20 in x in the ratio 0.79 to 0.54, by up to 0.035.
- Lids: ``wink`` closes one eye by lowering 11 by 0.0134; the blink of ``talking`` lowers 11 by 0.0132 and 15 by 0.0150.
- Brows: 1 and 2 move by -0.009 to 0.014 in y, gaze: 11 and 15 by up to 0.006 in x.

The templates name no muscles, so how far a direction belongs to one ARKit shape rather than to its neighbour is our
choice. Keypoint 11 is taken for the eye on the left of the picture, which is the person's right one. 6 and 12 never
move. Offsets are in the units of ``exp``: a head is about 2 across. y points down.
"""

from functools import cache

import numpy as np
from numpy.typing import NDArray

from models.liveportrait.ranges import motion_ranges
from models.studio.arkit import ARKIT_NAMES, columns

Array = NDArray[np.float32]
Offset = tuple[float, float, float]

KEYPOINTS = 21

_BOTH: dict[str, dict[int, Offset]] = {
    # In thousandths, at weight 1; a shape with two sides is given for both together.
    "jawOpen": {0: (0, 9, 0), 10: (0, 3.5, -1.8), 17: (0, -0.7, 1.4), 19: (0, 62, 2), 20: (0, -8, -3.2)},
    "jawForward": {19: (0, 0, -4), 20: (0, 0, -2)},
    "jawLeft": {0: (5, 0, 0), 19: (14, 0, 0), 20: (6, 0, 0)},
    "jawRight": {0: (-5, 0, 0), 19: (-14, 0, 0), 20: (-6, 0, 0)},
    "mouthLeft": {19: (16, 0, 0), 20: (11, 0, 0)},
    "mouthRight": {19: (-16, 0, 0), 20: (-11, 0, 0)},
    "mouthClose": {19: (0, -26, 0), 20: (0, 6, 1)},
    "mouthPress": {19: (0, -12, -1), 20: (0, 3, 0)},
    "mouthRollLower": {19: (0, -12, 2), 20: (0, 2, 0)},
    "mouthRollUpper": {17: (0, 1, -1), 20: (0, 6, 2)},
    "mouthShrugLower": {19: (0, -10, -2)},
    "mouthShrugUpper": {17: (0, -1.5, 0), 20: (0, -6, -1)},
    "mouthPucker": {14: (0, 9, 0), 17: (0, 1.5, -1.5), 19: (0, -4, -3), 20: (0, 11, 2)},
    "mouthFunnel": {14: (0, 7, 0), 17: (0, 0, -2), 19: (0, 8, -3), 20: (0, 4, 1)},
    "mouthSmile": {13: (0, -3.5, 0), 14: (0, -19, 0), 16: (0, -3.5, 0), 17: (0, 1, 1), 20: (0, -11, -2)},
    "mouthFrown": {14: (0, 11, 0), 19: (0, -3, 0), 20: (0, 5, 1)},
    "mouthStretch": {14: (0, -3, 0), 17: (0, 1, 1), 19: (0, 6, 1), 20: (0, -4, -1)},
    "mouthDimple": {14: (0, -5, 0), 20: (0, -2, 0)},
    "mouthUpperUp": {14: (0, -4, 0), 17: (0, -2, 0), 20: (0, -9, -1)},
    "mouthLowerDown": {19: (0, 14, 1)},
    "noseSneer": {13: (0, -1, 0), 16: (0, -1, 0), 17: (0, -2, 0)},
    "browInnerUp": {1: (0, -4, 0), 2: (0, -5, 0)},
    "cheekSquint": {13: (0, -2.5, 0), 16: (0, -2.5, 0)},
}
_ONE_SIDE: dict[str, dict[int, Offset]] = {
    "eyeBlinkRight": {11: (0, 13.4, 0), 13: (1.5, -1.5, 0)},
    "eyeBlinkLeft": {15: (0, 14.5, 0), 16: (-1.5, -1.5, 0)},
    "eyeWideRight": {11: (0, -7, 0)},
    "eyeWideLeft": {15: (0, -7, 0)},
    "eyeSquintRight": {11: (0, 4, 0), 13: (0, -2, 0)},
    "eyeSquintLeft": {15: (0, 4, 0), 16: (0, -2, 0)},
    "eyeLookDownRight": {11: (0, 6, 0)},
    "eyeLookDownLeft": {15: (0, 6, 0)},
    "eyeLookUpRight": {11: (0, -6, 0)},
    "eyeLookUpLeft": {15: (0, -6, 0)},
    "eyeLookOutRight": {11: (-5, 0, 0)},
    "eyeLookInRight": {11: (5, 0, 0)},
    "eyeLookOutLeft": {15: (5, 0, 0)},
    "eyeLookInLeft": {15: (-5, 0, 0)},
    "browDownRight": {1: (0, 4.5, 0)},
    "browDownLeft": {2: (0, 4.5, 0)},
    "browOuterUpRight": {1: (0, -5, 0)},
    "browOuterUpLeft": {2: (0, -6, 0)},
}


@cache
def expression_map() -> Array:
    """(52, 21, 3): the offsets of each ARKit shape at weight 1."""
    table = np.zeros((len(ARKIT_NAMES), KEYPOINTS, 3), np.float32)
    for name, offsets in (_BOTH | _ONE_SIDE).items():
        shapes = columns(name)
        for keypoint, offset in offsets.items():
            for shape in shapes:
                table[shape, keypoint] = np.array(offset, np.float32) / (1000 * len(shapes))
    return table * motion_ranges().active


@cache
def limits() -> tuple[Array, Array]:
    """Lowest and highest offset, (21, 3) each: as far from their mean as the published templates' ever are."""
    ranges = motion_ranges()
    low, high = ranges.exp_min - ranges.exp_mean, ranges.exp_max - ranges.exp_mean
    return np.where(ranges.active, low, 0).astype(np.float32), np.where(ranges.active, high, 0).astype(np.float32)


def expression(weights: Array) -> Array:
    """(n, 52) ARKit weights, used from 0 to 1 -> (n, 21, 3) offsets to a face at rest, within ``limits``."""
    offsets = np.einsum("nw,wkd->nkd", np.clip(weights, 0.0, 1.0), expression_map())
    return np.asarray(np.clip(offsets, *limits()), np.float32)
