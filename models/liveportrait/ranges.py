"""How far real faces move: statistics of the motion templates that were published with the networks."""

from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

_ASSET = Path(__file__).parents[1] / "assets" / "liveportrait_ranges.npz"
_STILL = 1e-4


@dataclass(frozen=True)
class MotionRanges:
    """Of 1151 frames of 12 clips. Expression offsets are (21, 3), translations (3,), angles in degrees (3,)."""

    exp_mean: Array
    exp_std: Array
    exp_min: Array
    exp_max: Array
    exp_rel0_std: Array
    """Deviation from each clip's first frame."""
    exp_frame_diff_std: Array
    """From one frame to the next, at 20 to 30 frames a second."""
    t_mean: Array
    t_std: Array
    t_min: Array
    t_max: Array
    scale_mean_std_min_max: Array
    pitch_yaw_roll_deg_mean: Array
    pitch_yaw_roll_deg_std: Array
    pitch_yaw_roll_deg_min: Array
    pitch_yaw_roll_deg_max: Array
    pose_frame_diff_std_deg: Array

    @property
    def active(self) -> NDArray[np.bool_]:
        """(21, 3): the offsets that ever move, 36 of 63."""
        return np.asarray(self.exp_rel0_std > _STILL)


@cache
def motion_ranges() -> MotionRanges:
    """The statistics shipped with the package."""
    with np.load(_ASSET, allow_pickle=False) as arrays:
        return MotionRanges(**{field.name: arrays[field.name] for field in fields(MotionRanges)})
