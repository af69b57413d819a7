"""An avatar as LivePortrait's source: its first idle frame, cut where its face box says."""

import numpy as np

from models.avatar import Avatar
from models.liveportrait.crop import NETWORK_PX, Square, cut
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


def avatar_source(pipeline: Pipeline, avatar: Avatar, face_px: int = NETWORK_PX) -> Source:
    """F and M on the avatar's face, once, unless the pipeline's cache holds them.

    ``face_px``: side of the crop they see; G draws twice that.
    """
    picture = avatar.frame_rgb(0)
    crop = cut(picture, avatar_square(avatar), turn=False, side_px=2 * face_px)
    return pipeline.source_of_crop(crop.network_input(), None, (picture, crop))
