"""Write an avatar folder as ``models.avatar`` reads it."""

import hashlib
import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Colorspace
from numpy.typing import NDArray

from models.avatar import FORMAT_VERSION, MANIFEST, MATTE, Avatar, load_avatar, load_matte
from models.errors import AvatarError

PORTRAIT_PX = 256
_MATTE_CRF = 28
"""Coarser than the picture: a matte is flat but for its rim, and the rim is blended away."""
_X264 = "ipratio=1.0:pbratio=1.0:mbtree=0:deadzone-inter=6:deadzone-intra=6"
"""Every frame as good as the key frame, or the loop's seam would show as a change of sharpness."""


def save_avatar(
    folder: Path,
    frames_rgb: Iterable[NDArray[np.uint8]],
    boxes: NDArray[np.int32],
    mask: NDArray[np.uint8],
    *,
    title: str,
    licence: str,
    source: str,
    fps: int,
    crf: int = 16,
    mattes: Iterable[NDArray[np.uint8]] | None = None,
    extras: Mapping[str, bytes] | None = None,
) -> Avatar:
    """Write a whole avatar aside, check it by loading it, then put it in ``folder``'s place.

    Args:
        folder: the avatar's folder; its name becomes the avatar's name. Replaced if it exists.
        frames_rgb: the loop, (height, width, 3) each, even sides.
        boxes: (n, 4) face boxes.
        mask: blend mask in box coordinates.
        crf: x264's constant rate factor.
        mattes: coverage of each frame, (height, width): 255 = figure, 0 = backdrop.
        extras: further files by name, kept under checksums like the rest.

    Raises:
        AvatarError: when loop, boxes and mask do not fit together.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = folder.parent / f".{folder.name}.part" / folder.name
    shutil.rmtree(aside.parent, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        first = _encode(aside / "idle.mp4", frames_rgb, _rgb_to_i420, fps, crf)
        if mattes is not None:
            _encode(aside / MATTE, mattes, _grey_to_i420, fps, _MATTE_CRF)
        height, width = first.shape[:2]
        cv2.imwrite(str(aside / "mask.png"), mask)
        small = cv2.resize(_square(first), (PORTRAIT_PX, PORTRAIT_PX), interpolation=cv2.INTER_AREA)
        bgr = cv2.cvtColor(small, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(aside / "portrait.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
        for file_name, content in (extras or {}).items():
            (aside / file_name).write_bytes(content)
        manifest = {
            "version": FORMAT_VERSION,
            "name": folder.name,
            "title": title,
            "licence": licence,
            "source": source,
            "fps": fps,
            "width": width,
            "height": height,
            "sha256": {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(aside.iterdir())},
            "boxes": boxes.tolist(),
        }
        (aside / MANIFEST).write_text(json.dumps(manifest) + "\n", encoding="utf-8")
        avatar = load_avatar(aside)
        if mattes is not None:
            load_matte(aside)
        _swap(aside, folder)
    finally:
        shutil.rmtree(aside.parent, ignore_errors=True)
    return avatar


def _swap(new: Path, place: Path) -> None:
    """Put folder ``new`` in ``place``, keeping what was there until the new one stands."""
    old = new.parent / "replaced"
    if place.exists():
        place.rename(old)
    new.rename(place)


def _square(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The largest square in the middle."""
    height, width = picture.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return picture[top : top + side, left : left + side]


def _rgb_to_i420(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """BT.601, limited range."""
    return np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2YUV_I420), np.uint8)


def _grey_to_i420(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The values themselves as luma, full range; chroma neutral."""
    height, width = grey.shape
    return np.concatenate([grey, np.full((height // 2, width), 128, np.uint8)])


def _encode(
    path: Path,
    pictures: Iterable[NDArray[np.uint8]],
    to_i420: Callable[[NDArray[np.uint8]], NDArray[np.uint8]],
    fps: int,
    crf: int,
) -> NDArray[np.uint8]:
    """H.264 from pictures that ``to_i420`` makes planes of; returns the first picture."""
    first: NDArray[np.uint8] | None = None
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=fps)
        for index, picture in enumerate(pictures):
            if first is None:
                first = picture
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": str(crf), "preset": "slow", "bf": "3", "threads": "1", "x264-params": _X264}
                full = to_i420 is _grey_to_i420
                stream.codec_context.color_range = ColorRange.JPEG if full else ColorRange.MPEG
                stream.codec_context.colorspace = Colorspace.SMPTE170M
            frame = av.VideoFrame.from_ndarray(to_i420(picture), format="yuv420p")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(stream.encode(frame))
        if first is None:
            raise AvatarError(f"Avatar '{path.parent.name}' has no frames; give it a loop of at least one.")
        container.mux(stream.encode(None))
    return first
