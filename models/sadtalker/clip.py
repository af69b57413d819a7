"""Coefficients of a clip: motion of somebody's head and eyes, to be put on another's."""

from pathlib import Path

import numpy as np

from models.face.detector import Face, FaceDetector
from models.face.pictures import Limits, read_clip
from models.face.track import choose, no_face
from models.sadtalker.coefficients import CROP_SIZE
from models.sadtalker.pipeline import Pipeline
from models.sadtalker.portrait import Portrait, head_box, landmarks_of
from models.sadtalker.speech import Floats


def clip_coefficients(pipeline: Pipeline, path: Path, size_px: int, limits: Limits | None = None) -> Floats:
    """(t, 70) of the face in a clip's t frames, at 25 a second; where it is lost, its last ones hold.

    The head is cut out where it is in the first frame, so that its motion in the picture is part of the pose.

    Raises:
        MediaError: the clip cannot be read, or shows no face at first, or several.
    """
    detector = FaceDetector()
    last: Face | None = None
    box = (0, 0, 0, 0)
    found: list[Floats] = []
    for picture in read_clip(path, limits or Limits()):
        height, width = picture.rgb.shape[:2]
        if last is None:
            last = choose(detector.find(picture.rgb), None, path.name, picture.scale)
            if last is None:
                raise no_face(path.name)
            box = head_box(landmarks_of(last), width, height)
        else:
            face = detector.find_near(picture.rgb, last)
            if face is None:
                found.append(found[-1])
                continue
            last = face
        portrait = Portrait(picture.rgb, box, landmarks_of(last), is_pasted=False)
        found.append(pipeline.coefficients(portrait, size_px)[:CROP_SIZE])
    return np.stack(found)
