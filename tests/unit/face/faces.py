"""Photos and clips to make avatars of: the shipped Ada, whose pictures are CC0."""

from collections.abc import Iterable
from fractions import Fraction
from functools import cache
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image

from models.avatar import Avatar, load_avatar
from server.paths import AVATARS


@cache
def ada() -> Avatar:
    return load_avatar(AVATARS / "ada")


def portrait(index: int = 0) -> np.ndarray:
    """(512, 512, 3) RGB."""
    return ada().frame_rgb(index)


def write_photo(path: Path, rgb: np.ndarray, **options: object) -> Path:
    Image.fromarray(rgb).save(path, **options)
    return path


def write_clip(path: Path, frames: Iterable[np.ndarray], rate: int = 25) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "14", "preset": "ultrafast"})
        for index, rgb in enumerate(frames):
            if index == 0:
                stream.height, stream.width = rgb.shape[:2]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb), format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def talking(count: int, quiet_from: int) -> Iterable[np.ndarray]:
    """A head that sways by 40 pixels in a (480, 640) picture, and talks until frame ``quiet_from``."""
    background = np.full((480, 640, 3), (70, 90, 80), np.uint8)
    for index in range(count):
        head = portrait(index).copy()
        if index < quiet_from:
            cv2.ellipse(head, (260, 322), (28, 4 + 16 * (index % 3)), 0, 0, 360, (60, 20, 20), -1)
        left = 90 + round(20 * np.sin(index / 9))
        picture = background.copy()
        picture[:, left : left + 480] = cv2.resize(head, (480, 480), interpolation=cv2.INTER_AREA)
        yield picture
