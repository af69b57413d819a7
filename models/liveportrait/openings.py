"""How far eyes and lips are open in live motion, as the retargeting networks draw it (section 3.3 of the paper).

The map of ``models.motion.expression`` opens every portrait's jaw and closes its lids by the same offsets. The
networks know how far this portrait's eyes and lips are open already, and take both to where they should be: lips that
smile with teeth close, and narrow eyes shut in a blink. So what a motion does along the map's jaw and lids is taken
out of it, read as ratios, and put back as the networks draw those.

The published pipeline retargets relative motion in place of all other motion, which suits a clip that is to move eyes
or lips alone. A live face keeps its head, brows and the rest of its lips.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.liveportrait.driving import SourceFace
from models.liveportrait.retargeting import Retargeting
from models.motion.expression import expression_map
from models.studio.arkit import columns

Array = NDArray[np.float64]

WIDEST_LIPS = 0.32
"""Ratio of lips at a jaw wide open: of the published templates, ``d8`` opens lips by 4.5 for a unit of offset between
keypoints 19 and 20 (correlation 0.95), and up to 0.30."""
_Y = 1
_UPPER_LIP, _LOWER_LIP = 20, 19
_LIDS = {"eyeBlinkRight": 11, "eyeBlinkLeft": 15}
"""The keypoint that each blink lowers."""


@dataclass(frozen=True)
class Openings:
    """Of one portrait; serves any number of sessions."""

    source: SourceFace
    """With landmarks."""
    retargeting: Retargeting
    eyes: bool
    lips: bool

    @torch.inference_mode()
    def taken(self, exp: Array) -> tuple[Array, Tensor]:
        """An expression (21, 3) without its openings, and the keypoint offset (1, 21, 3) that stands for them."""
        offset = torch.zeros_like(self.source.x)
        if self.lips:
            assert self.source.lips is not None, "retargeting needs landmarks"
            opened = lips_opened(exp)
            exp = exp - opened * _offsets("jawOpen")
            ratio = torch.full_like(self.source.lips, opened * WIDEST_LIPS)
            offset = offset + self.retargeting.lip_offset(self.source.x, torch.cat((self.source.lips, ratio), dim=1))
        if self.eyes:
            assert self.source.eyes is not None, "retargeting needs landmarks"
            shut = lids_shut(exp)
            exp = exp - shut * sum(_offsets(name) for name in _LIDS)
            # The network has one ratio to come for both eyes.
            ratio = (1 - shut) * self.source.eyes.mean(dim=1, keepdim=True)
            offset = offset + self.retargeting.eye_offset(self.source.x, torch.cat((self.source.eyes, ratio), dim=1))
        return exp, offset


def lips_opened(exp: Array) -> float:
    """How far an expression (21, 3) opens lips at rest, as a share of a jaw wide open."""
    jaw = _offsets("jawOpen")
    between = jaw[_LOWER_LIP, _Y] - jaw[_UPPER_LIP, _Y]
    return float(np.clip((exp[_LOWER_LIP, _Y] - exp[_UPPER_LIP, _Y]) / between, 0.0, 1.0))


def lids_shut(exp: Array) -> float:
    """How far an expression (21, 3) shuts eyes at rest, the mean of both: 1 shut."""
    return float(
        np.clip(np.mean([exp[point, _Y] / _offsets(name)[point, _Y] for name, point in _LIDS.items()]), 0.0, 1.0)
    )


@cache
def _offsets(name: str) -> Array:
    """The map's offsets of one shape at weight 1, (21, 3)."""
    (column,) = columns(name)
    return np.asarray(expression_map()[column], np.float64)
