"""Clips of faces: read as crops for M, and written as drawn."""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import torch

from models.errors import MediaError
from models.liveportrait.crop import NETWORK_PX, Square
from models.liveportrait.files import find
from models.liveportrait.keypoints import Head
from models.liveportrait.landmark_model import LandmarkModel
from models.liveportrait.landmarks import Points, eye_ratios, lip_ratios
from models.liveportrait.motion_extractor import MotionExtractor
from models.liveportrait.pixels import Picture, to_input
from models.liveportrait.template import MAX_FRAMES, MotionTemplate
from models.liveportrait.weights import MOTION, load_motion_extractor

Box = tuple[int, int, int, int]
"""x0, y0, x1, y1 in pixels, the last two not included."""

_BATCH = 8
_MAX_FPS = 120


def template_key(clip: Path, weights: Path, box: Box | None, landmarks: bool = False) -> str:
    """What a template of this clip with these weights is known by; reads both files and runs nothing.

    Raises:
        CheckpointError: there are no weights.
        MediaError: there is no clip.
    """
    digest = hashlib.sha256(f"{box} {'landmarks ' * landmarks}".encode())
    for path in (find(weights, MOTION), clip):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
        except OSError as error:
            raise MediaError(f"{path} cannot be read: {error.strerror}; check the path.") from error
    return digest.hexdigest()


@torch.inference_mode()
def extract(clip: Path, weights: Path, box: Box | None = None, model: LandmarkModel | None = None) -> MotionTemplate:
    """The motion of the face in a clip: M on every frame.

    Args:
        clip: any video FFmpeg reads; one person.
        weights: folder as ``weights`` reads it; M alone is needed.
        box: a square about the head, hair to shoulders; None for the largest square in the picture's middle.
        model: finds the landmarks, which tell how far eyes and lips are open; None leaves that out.

    Raises:
        MediaError: no video, no frame, too many frames, or a box outside of the picture.
        CheckpointError: the weights are missing or damaged.
    """
    key = template_key(clip, weights, box, model is not None)
    extractor = load_motion_extractor(weights)
    fps, faces = read_faces(clip, box)
    landmarks: list[Points] = []
    heads = list(_heads(extractor, faces if model is None else _with_landmarks(faces, model, landmarks)))
    if not heads:
        raise MediaError(f"{clip} holds no picture; give a video.")
    ratios = (eye_ratios(np.stack(landmarks)), lip_ratios(np.stack(landmarks))) if landmarks else (None, None)
    made = MotionTemplate.of_heads(Head.cat(heads), fps, *ratios)
    return replace(made, source=clip.name, key=key)


def _heads(extractor: MotionExtractor, faces: Iterator[Picture]) -> Iterator[Head]:
    count = 0
    while batch := list(itertools.islice(faces, _BATCH)):
        count += len(batch)
        if count > MAX_FRAMES:
            raise MediaError(f"The clip has more than {MAX_FRAMES} frames; cut it shorter.")
        yield extractor(to_input(np.stack(batch)))


def _with_landmarks(faces: Iterator[Picture], model: LandmarkModel, found: list[Points]) -> Iterator[Picture]:
    """The faces as they come; the landmarks of each are added to ``found``, near those of the last."""
    for face in faces:
        side_px = len(face)
        whole = Square(np.full(2, side_px / 2, np.float32), side_px, 0.0)
        found.append(model.find(face, found[-1]) if found else model.find_in(face, whole))
        yield face


def read_faces(clip: Path, box: Box | None = None, side_px: int = NETWORK_PX) -> tuple[float, Iterator[Picture]]:
    """A clip's frame rate and its face crops, RGB (side, side, 3), decoded as they are asked for.

    Raises:
        MediaError: it is no video; or, while crops are read, it is damaged or the box lies outside.
    """
    try:
        with av.open(str(clip)) as container:
            rate = container.streams.video[0].average_rate if container.streams.video else None
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{clip} cannot be read as a video; give an MP4, WebM or similar file.") from error
    if rate is None or not 0 < rate <= _MAX_FPS:
        raise MediaError(f"{clip} holds no pictures at up to {_MAX_FPS} frames a second; give a video.")
    return float(rate), _faces(clip, box, side_px)


def _faces(clip: Path, box: Box | None, side_px: int) -> Iterator[Picture]:
    try:
        with av.open(str(clip)) as container:
            for frame in container.decode(video=0):
                x0, y0, x1, y1 = checked_box(box, frame.width, frame.height)
                crop = frame.to_ndarray(format="rgb24")[y0:y1, x0:x1]
                yield np.asarray(cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_LINEAR), np.uint8)
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{clip} is damaged; give another video.") from error


def checked_box(box: Box | None, width: int, height: int) -> Box:
    """The box, or without one the largest square in the middle of a picture of this size.

    Raises:
        MediaError: it is no square, or not inside the picture.
    """
    if box is None:
        side = min(width, height)
        x0, y0 = (width - side) // 2, (height - side) // 2
        return x0, y0, x0 + side, y0 + side
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height and x1 - x0 == y1 - y0):
        raise MediaError(f"The box {x0},{y0},{x1},{y1} is no square inside of {width}x{height} pixels; give another.")
    return box


def write_clip(path: Path, pictures: Iterable[Picture], fps: float) -> int:
    """Pictures (h, w, 3), even sides, as H.264 in MP4; written aside, then renamed. Returns how many there were.

    Raises:
        MediaError: the file cannot be written.
    """
    rate = Fraction(fps).limit_denominator(1001)
    aside = path.with_name(f".{path.name}.part")
    count = 0
    try:
        with av.open(str(aside), "w", format="mp4") as container:
            stream = container.add_stream("libx264", rate=rate, options={"crf": "16", "preset": "fast"})
            for picture in pictures:
                if not count:
                    stream.height, stream.width = picture.shape[:2]
                    stream.pix_fmt = "yuv420p"
                frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
                frame.pts, frame.time_base = count, 1 / rate
                container.mux(stream.encode(frame))
                count += 1
            container.mux(stream.encode(None))
        os.replace(aside, path)
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{path} cannot be written: {error}; check the folder and the space left.") from error
    finally:
        aside.unlink(missing_ok=True)
    return count
