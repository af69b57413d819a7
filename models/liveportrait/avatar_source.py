"""An avatar as LivePortrait's source: its first idle frame, cut where its face box says."""

import numpy as np

from models.avatar import Avatar
from models.liveportrait.crop import NETWORK_PX, Square, cut
from models.liveportrait.landmark_model import LandmarkModel
from models.liveportrait.pipeline import Pipeline, Source

_SCALE = 1.6
"""An avatar's box holds the face, the networks' crop the whole head with hair and shoulders."""
_UP = 0.05


def avatar_square(avatar: Avatar) -> Square:
    """The square about the head in idle frame 0, upright."""
    x0, y0, x1, y1 = (float(edge) for edge in avatar.boxes[0])
    size = _SCALE * max(x1 - x0, y1 - y0)
    center = np.array(((x0 + x1) / 2, (y0 + y1) / 2 - _UP * size), np.float32)
    return Square(center, size, 0.0)


def avatar_source(
    pipeline: Pipeline, avatar: Avatar, face_px: int = NETWORK_PX, model: LandmarkModel | None = None
) -> Source:
    """F and M on the avatar's face, once, unless the pipeline's cache holds them.

    Args:
        pipeline: what looks at it.
        avatar: whose first idle frame is taken.
        face_px: side of the crop they see; G draws twice that.
        model: finds the landmarks, where eyes or lips are to be retargeted.
    """
    picture, square = avatar.frame_rgb(0), avatar_square(avatar)
    crop = cut(picture, square, turn=False, side_px=2 * face_px)
    landmarks = None if model is None else model.find_in(picture, square)
    return pipeline.source_of_crop(crop.network_input(), landmarks, (picture, crop))
