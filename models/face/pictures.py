"""Photos and clips that users bring, read with care: sizes before pixels, upright, opaque, RGB.

Files may come from anybody, so only plain picture and video containers are opened: a playlist would have FFmpeg
fetch what it names.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from models.errors import MediaError
from models.timebase import FRAMES_PER_SECOND

Image.MAX_IMAGE_PIXELS = None  # ``Limits`` are checked in its place, with a sentence

_FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")
_CONTAINERS = {"format_whitelist": "mov,matroska,webm,avi,mpegts,mpeg,flv,ogg", "protocol_whitelist": "file"}
_BACKDROP = (226, 230, 234)
"""Behind what is transparent."""
_WORKING_PX = 1920
"""Longer sides are scaled down: an avatar needs no more."""


@dataclass(frozen=True)
class Limits:
    """What is not read."""

    megapixels: float = 50.0
    """A larger picture or video frame is refused before it is decoded."""
    clip_s: float = 30.0
    """A clip is looked at this far."""


@dataclass(frozen=True)
class Picture:
    """A picture scaled down for work."""

    rgb: NDArray[np.uint8]
    """(h, w, 3)."""
    scale: float
    """Pixels of the file to one of ``rgb``, at least 1."""


def read_photo(path: Path, limits: Limits) -> Picture | None:
    """A photo, turned as its EXIF orientation says; None if the file is none that is known.

    Raises:
        MediaError: it is missing, too large or damaged.
    """
    if not path.is_file():
        raise MediaError(f"There is no file {path.name}; check the path.")
    try:
        with Image.open(path, formats=_FORMATS) as image:
            _check_size(path, image.width, image.height, limits)
            longest = max(image.size)
            image.draft("RGB", (_WORKING_PX, _WORKING_PX))  # JPEG: decodes no more than is needed
            shown = ImageOps.exif_transpose(image)
            if shown.mode in ("RGBA", "LA", "PA") or "transparency" in shown.info:
                rgba = shown.convert("RGBA")
                shown = Image.alpha_composite(Image.new("RGBA", rgba.size, (*_BACKDROP, 255)), rgba)
            rgb = np.asarray(shown.convert("RGB"), np.uint8)
    except UnidentifiedImageError:
        return None
    except (OSError, ValueError, SyntaxError) as error:
        raise MediaError(f"{path.name} is a damaged picture; save it again as JPEG or PNG.") from error
    shrink = min(1.0, _WORKING_PX / max(rgb.shape[:2]))
    if shrink < 1.0:
        rgb = np.asarray(cv2.resize(rgb, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA), np.uint8)
    return Picture(rgb, longest / max(rgb.shape[:2]))


def read_clip(path: Path, limits: Limits) -> Iterator[Picture]:
    """A clip's frames at 25 a second, turned as its display matrix says; none of a later second than allowed.

    Raises:
        MediaError: it is no video, has no frames, or is too large.
    """
    count = 0
    try:
        with av.open(str(path), options=_CONTAINERS) as container:
            if not container.streams.video:
                raise MediaError(f"{path.name} holds no picture; give a photo or a video of a face.")
            stream = container.streams.video[0]
            _check_size(path, stream.codec_context.width, stream.codec_context.height, limits)
            for frame in _in_step(container.decode(stream), math.ceil(limits.clip_s * FRAMES_PER_SECOND)):
                _check_size(path, frame.width, frame.height, limits)
                count += 1
                yield _upright(frame)
    except (OSError, av.FFmpegError) as error:
        if count == 0:
            raise MediaError(
                f"{path.name} is neither a picture nor a video that can be read; save it as JPEG, PNG or MP4."
            ) from error
        # A clip that was cut off holds frames all the same.
    if count == 0:
        raise MediaError(f"{path.name} is a clip without frames; record it again.")


def _in_step(frames: Iterator[av.VideoFrame], most: int) -> Iterator[av.VideoFrame]:
    """Of every 40 ms the frame that is shown then, ``most`` in all."""
    begin_s: float | None = None
    last: av.VideoFrame | None = None
    sent = 0
    for frame in frames:
        time_s = frame.time if frame.time is not None else sent / FRAMES_PER_SECOND
        begin_s = time_s if begin_s is None else begin_s
        # Half a millisecond of grace: time stamps are rounded.
        while last is not None and sent < most and sent / FRAMES_PER_SECOND < time_s - begin_s - 5e-4:
            yield last
            sent += 1
        if sent >= most:
            return
        last = frame
    if last is not None:
        yield last


def _upright(frame: av.VideoFrame) -> Picture:
    scale = max(1.0, max(frame.width, frame.height) / _WORKING_PX)
    width, height = round(frame.width / scale), round(frame.height / scale)
    rgb = frame.to_ndarray(format="rgb24", width=width, height=height)
    turned = np.rot90(rgb, round(frame.rotation / 90))
    return Picture(np.ascontiguousarray(turned, np.uint8), scale)


def _check_size(path: Path, width: int, height: int, limits: Limits) -> None:
    megapixels = width * height / 1e6
    if megapixels > limits.megapixels:
        raise MediaError(
            f"{path.name} has {width} x {height} pixels, {megapixels:.0f} million; "
            f"scale it down to {limits.megapixels:g} million or fewer."
        )
