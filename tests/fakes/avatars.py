"""A drawn stand-in avatar: quick to make, the shape of a real one."""

import hashlib
import json
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

SIDE_PX = 512
BOX = (128, 192, 384, 448)


def write_avatar(folder: Path, frames: int = 25) -> Path:
    """An avatar folder with a smiling disc that sways; returns the folder."""
    folder.mkdir(parents=True)
    boxes = []
    with av.open(str(folder / "idle.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "14"})
        stream.width = stream.height = SIDE_PX
        stream.pix_fmt = "yuv420p"
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(_picture(index, frames), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
            boxes.append(BOX)
        container.mux(stream.encode(None))
    mask = np.zeros((256, 256), np.uint8)
    cv2.ellipse(mask, (128, 176), (90, 60), 0, 0, 360, 255, -1)
    cv2.imwrite(str(folder / "mask.png"), cv2.GaussianBlur(mask, (0, 0), 6))
    cv2.imwrite(str(folder / "portrait.jpg"), np.full((96, 96, 3), 160, np.uint8))
    sums = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}
    manifest = {"version": 1, "title": "Disc", "licence": "CC0-1.0", "source": "drawn by the tests", "fps": 25}
    manifest |= {"width": SIDE_PX, "height": SIDE_PX, "boxes": boxes, "sha256": sums}
    (folder / "avatar.json").write_text(json.dumps(manifest))
    return folder


def _picture(index: int, frames: int) -> np.ndarray:
    picture = np.full((SIDE_PX, SIDE_PX, 3), (60, 90, 120), np.uint8)
    sway = round(6 * np.sin(2 * np.pi * index / frames))
    cv2.circle(picture, (256 + sway, 280), 160, (210, 180, 150), -1)
    for x in (200, 312):
        cv2.circle(picture, (x + sway, 230), 14, (30, 30, 30), -1)
    cv2.line(picture, (220 + sway, 360), (292 + sway, 360), (120, 40, 40), 6)
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420)
