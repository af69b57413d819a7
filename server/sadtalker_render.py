"""``visavis render --engine sadtalker``: a film of a picture that speaks."""

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.errors import MediaError, VisavisError
from models.store import located
from models.talker import is_silent
from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ
from server.own_avatars import parse_box
from server.render import OFFLINE, read_sound, write_video

if TYPE_CHECKING:
    from models.face.enhancer import FaceEnhancer
    from models.runtime.runtime import Runtime
    from models.sadtalker.pipeline import Pipeline, References
    from models.sadtalker.settings import Choices

_LEAST_S, _MOST_S = 0.2, 3600.0
"""A mel window; an hour."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What only this engine asks."""
    group = parser.add_argument_group(
        f"--engine {OFFLINE}", "a film of the photo FACE; --weights is a folder of its files or a pulled checkpoint"
    )
    group.add_argument("--preprocess", default="crop", metavar="HOW", help="crop | resize | full (%(default)s)")
    group.add_argument("--still", action="store_true", help="the head stays as in the picture")
    group.add_argument("--pose-style", type=int, default=0, metavar="N", help="head motion, 0-45 (%(default)s)")
    group.add_argument("--expression-scale", type=float, default=1.0, metavar="X", help="(%(default)s)")
    group.add_argument("--reference-pose", type=Path, metavar="CLIP", help="add the motion of this clip's head")
    group.add_argument("--reference-blink", type=Path, metavar="CLIP", help="blink as this clip's face does")
    group.add_argument("--size", type=int, default=256, help="pixels that are drawn: 256 | 512 (%(default)s)")
    group.add_argument("--batch", type=int, default=2, help="frames drawn in one go (%(default)s)")
    group.add_argument("--enhancer", type=Path, metavar="FILE", help="ONNX face restoration network for every frame")
    group.add_argument("--seed", type=int, default=0, help="of blinks and head motion (%(default)s)")


def run(args: argparse.Namespace) -> int:
    """Render a film; errors are raised as VisavisError."""
    from models.runtime.runtime import choose
    from models.sadtalker.pipeline import Pipeline
    from models.sadtalker.portrait import read_portrait
    from models.sadtalker.settings import Choices

    if args.face is None:
        raise VisavisError(f"Engine '{OFFLINE}' draws a picture: visavis render --engine {OFFLINE} FACE SPEECH OUT.")
    choices = Choices(
        preprocess=args.preprocess,
        still=args.still,
        pose_style=args.pose_style,
        expression_scale=args.expression_scale,
        size_px=args.size,
        batch_frames=args.batch,
        seed=args.seed,
    )
    frames = check_speech(args.speech)
    box = getattr(args, "box", None)
    portrait = read_portrait(args.face, choices.preprocess, parse_box(box) if box else None)
    folder, runtime = weights_folder(args.weights, choices), choose(args.runtime, args.device)
    enhancer = load_enhancer(args.enhancer, runtime)
    pipeline = Pipeline.load(folder, choices, runtime)
    references = _references(pipeline, args, choices)
    heard = tqdm(read_sound(args.speech), "hearing", frames, unit="frame", disable=args.quiet, leave=False)
    film = pipeline.film(portrait, heard, frames, choices, references, enhancer)
    drawn = tqdm(film.pictures(), "drawing", frames, unit="frame", disable=args.quiet)
    width, height = film.portrait.frame_size(choices.size_px)
    write_video(args.output, (width, height), to_i420(drawn), args.speech)
    print(f"{args.output}: {frames} frames, {frames / FRAMES_PER_SECOND:.1f} s")
    return 0


def load_enhancer(path: Path | None, runtime: "Runtime") -> "FaceEnhancer | None":
    """The face restoration network of a file, None for none; on a GPU where the runtime is on one.

    Raises:
        CheckpointError: it is missing, damaged, or another sort of network.
        VisavisError: onnxruntime is not installed.
    """
    if path is None:
        return None
    from models.face.enhancer import FaceEnhancer

    return FaceEnhancer(path, on_gpu=runtime.device.type == "cuda")


def _references(pipeline: "Pipeline", args: argparse.Namespace, choices: "Choices") -> "References":
    from models.sadtalker.clip import clip_coefficients
    from models.sadtalker.pipeline import References

    pose, blink = (
        None if path is None else clip_coefficients(pipeline, path, choices.size_px)
        for path in (args.reference_pose, args.reference_blink)
    )
    return References(pose, blink)


def weights_folder(weights: Path | None, choices: "Choices") -> Path:
    """Where the files are.

    Args:
        weights: a folder or a pulled checkpoint's name; None takes the published weights of the size.
        choices: of the film.

    Raises:
        CheckpointError: they were not pulled; it says how to.
    """
    named = weights or Path("sadtalker" if choices.size_px == 256 else f"sadtalker-{choices.size_px}")
    found = located(named)
    assert found is not None
    return found


def weights_files(weights: Path | None, choices: "Choices") -> tuple[Path, ...]:
    """The files that a film is drawn with; ``weights`` as for ``weights_folder``.

    Raises:
        CheckpointError: one is not there; it says how to fetch it.
    """
    from models.sadtalker.weights import files_of

    return files_of(weights_folder(weights, choices), choices.size_px, choices.is_full)


def check_speech(path: Path) -> int:
    """Frames a sound needs, the last begun one included.

    Raises:
        MediaError: it cannot be decoded, is silent, too short or too long.
    """
    samples, silent = 0, True
    for chunk in read_sound(path):
        samples += len(chunk)
        silent = silent and is_silent(chunk)
        if samples > _MOST_S * WIRE_RATE_HZ:
            raise MediaError(f"{path.name} is longer than {_MOST_S:g} s; render it in parts.")
    if samples < _LEAST_S * WIRE_RATE_HZ:
        raise MediaError(f"{path.name} is shorter than {_LEAST_S:g} s; give a longer sound.")
    if silent:
        raise MediaError(f"{path.name} is silent, so there is nothing to say; check the recording.")
    return -(-samples * FRAMES_PER_SECOND // WIRE_RATE_HZ)


def to_i420(pictures: Iterable[NDArray[np.uint8]]) -> Iterator[NDArray[np.uint8]]:
    """RGB (h, w, 3) -> what encoders take, (h * 3 / 2, w)."""
    for picture in pictures:
        yield np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
