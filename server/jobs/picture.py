"""Jobs that draw a film of a picture: what may be asked for, and the worker's part."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from models.errors import AvatarError, CheckpointError, MediaError, VisavisError
from server.errors import ConflictError, RequestError
from server.jobs.folder import JobFolder
from server.own_avatars import parse_box
from server.render import use_threads
from server.sadtalker_render import load_enhancer, to_i420, weights_files, weights_folder

if TYPE_CHECKING:
    from models.face.enhancer import FaceEnhancer
    from models.sadtalker.pipeline import Pipeline
    from models.sadtalker.portrait import Portrait
    from models.sadtalker.settings import Choices
    from server.config import EngineSettings

_BATCH_FRAMES = 1
"""A frame takes seconds on a processor, and a cancelled job ends between two batches."""


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text]


_READERS: dict[str, tuple[Callable[[str], object], str]] = {
    "preprocess": (str, "crop, resize or full"),
    "still": (_truth, "true or false"),
    "pose_style": (int, "0 to 45"),
    "expression_scale": (float, "0 to 3"),
    "size_px": (int, "256 or 512"),
    "seed": (int, "a whole number"),
    "enhance": (_truth, "true or false"),
}
_BOX, _ENHANCE = "box", "enhance"
OPTIONS = (*_READERS, _BOX)
"""Parts of ``POST /jobs`` beside sound and picture."""


def accept(names: dict[str, str], folder: JobFolder, weights: Path | None, enhancer: Path | None = None) -> None:
    """Check what was sent, and keep what was asked for in the job's folder. Blocks.

    Raises:
        RequestError: there is no such choice; the picture cannot be read or shows no face.
        ConflictError: the weights, or the enhancer that is asked for, are not on this machine.
    """
    values: dict[str, object] = {}
    for name, (read, takes) in _READERS.items():
        if name in names:
            try:
                values[name] = read(names[name])
            except (ValueError, KeyError) as error:
                raise RequestError(f"'{name}' takes {takes}, not '{names[name][:40]}'.") from error
    values[_BOX] = names.get(_BOX)
    try:
        choices = _chosen(values)
        _portrait(values, choices, folder)
        weights_files(weights, choices)
        if values.get(_ENHANCE):
            _require_enhancer(enhancer)
    except CheckpointError as error:
        raise ConflictError(str(error)) from error
    except VisavisError as error:
        raise RequestError(str(error)) from error
    kept = {**asdict(choices), _BOX: values[_BOX], _ENHANCE: bool(values.get(_ENHANCE))}
    folder.choices.write_text(json.dumps(kept), encoding="utf-8")


def _require_enhancer(enhancer: Path | None) -> Path:
    """The face restoration network's file.

    Raises:
        CheckpointError: the server has none.
    """
    if enhancer is None:
        raise CheckpointError("This server has no enhancer; set jobs.enhancer, or send the job without 'enhance'.")
    from models.face.enhancer import require_file

    require_file(enhancer)
    return enhancer


def _chosen(values: dict[str, object]) -> "Choices":
    from models.sadtalker.settings import Choices

    asked = {name: value for name, value in values.items() if name not in (_BOX, _ENHANCE)}
    return Choices(**{"batch_frames": _BATCH_FRAMES} | asked)  # type: ignore[arg-type]


def _portrait(values: dict[str, object], choices: "Choices", folder: JobFolder) -> "Portrait":
    from models.sadtalker.portrait import read_portrait

    box = values[_BOX]
    return read_portrait(folder.picture, choices.preprocess, parse_box(str(box)) if box else None)


def _kept(folder: JobFolder) -> dict[str, object]:
    """What ``accept`` wrote.

    Raises:
        AvatarError: it is gone or damaged.
    """
    try:
        values = json.loads(folder.choices.read_text(encoding="utf-8"))
        return {_BOX: values[_BOX], **values}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AvatarError("What was asked of the job can no longer be read; send the job again.") from error


class FilmMaker:
    """A worker's: keeps the networks of the last film for the next."""

    def __init__(self, weights: Path | None, engine: "EngineSettings", enhancer: Path | None = None) -> None:
        """Load nothing yet.

        Args:
            weights: as for ``weights_folder``.
            engine: says on which device, how and with how many threads the networks run.
            enhancer: face restoration network, for jobs that ask for one.
        """
        self._weights, self._engine, self._enhancer_file = weights, engine, enhancer
        self._loaded: tuple[tuple[int, bool], Pipeline] | None = None
        self._enhancer: FaceEnhancer | None = None

    def weights(self, folder: JobFolder) -> tuple[Path, ...]:
        """The files a job's film is drawn with.

        Raises:
            AvatarError: picture or choices are gone.
            CheckpointError: the weights are missing.
        """
        values = _kept(folder)
        files = weights_files(self._weights, _chosen(values))
        return (*files, _require_enhancer(self._enhancer_file)) if values.get(_ENHANCE) else files

    def pictures(
        self, folder: JobFolder, sound: Iterator[NDArray[np.float32]], frames: int, first_frame: int, chunk_frames: int
    ) -> Iterator[NDArray[np.uint8]]:
        """I420 frames from ``first_frame`` on, a multiple of ``chunk_frames``.

        Raises:
            AvatarError: picture or choices are gone.
            CheckpointError: the weights are missing or damaged.
        """
        values = _kept(folder)
        choices = _chosen(values)
        try:
            portrait = _portrait(values, choices, folder)
        except MediaError as error:
            raise AvatarError("The job's picture can no longer be read; send the job again.") from error
        pipeline = self._pipeline(choices)
        enhancer = self._enhancer_of(pipeline) if values.get(_ENHANCE) else None
        film = pipeline.film(portrait, sound, frames, choices, enhancer=enhancer)
        return to_i420(film.pictures(first_frame, chunk_frames))

    def forget(self) -> None:
        """Let the networks go: their files have changed."""
        self._loaded = self._enhancer = None

    def _enhancer_of(self, pipeline: "Pipeline") -> "FaceEnhancer | None":
        if self._enhancer is None:
            self._enhancer = load_enhancer(_require_enhancer(self._enhancer_file), pipeline.runtime)
        return self._enhancer

    def _pipeline(self, choices: "Choices") -> "Pipeline":
        from models.runtime.runtime import choose
        from models.sadtalker.pipeline import Pipeline

        key = (choices.size_px, choices.is_full)
        if self._loaded is None or self._loaded[0] != key:
            self._loaded = None  # not two of them at a time
            runtime = choose(self._engine.runtime, self._engine.device)
            self._loaded = (key, Pipeline.load(weights_folder(self._weights, choices), choices, runtime))
            use_threads(self._engine.threads or 1)
        return self._loaded[1]
