"""A new job: its parts read from a multipart body, checked, and put where a worker finds them."""

import asyncio
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import BodyPartReader, MultipartReader, web

from models.errors import MediaError
from models.talker import is_silent
from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ
from server.errors import RequestError, TooLargeError
from server.jobs.folder import JobFolder
from server.jobs.picture import OPTIONS
from server.render import ENGINES, OFFLINE, read_sound

_NAMES = ("engine", "avatar", "recording", *OPTIONS)
_FILES = ("sound", "picture")
_MAX_NAME_BYTES = 200
_PIECE_BYTES = 1 << 18
_LEAST_S = 0.2
"""What an engine hears for one frame."""


@dataclass
class Submission:
    """The parts of ``POST /jobs``."""

    names: dict[str, str] = field(default_factory=dict)
    files: set[str] = field(default_factory=set)


async def read_submission(request: web.Request, folder: JobFolder, max_bytes: int) -> Submission:
    """Read the body; the sound goes into ``folder``.

    Raises:
        RequestError: not multipart, an unknown part or one twice, no sound; too large.
    """
    if (request.content_length or 0) > max_bytes:
        raise TooLargeError(f"The request is larger than {max_bytes} bytes.")
    try:
        reader = await request.multipart()
    except (AssertionError, ValueError) as error:
        raise RequestError("A job is sent as multipart/form-data with 'sound', and 'avatar' or 'picture'.") from error
    submission, left = Submission(), max_bytes
    try:
        while (part := await reader.next()) is not None:
            left = await _take(part, submission, folder, left)
            if left < 0:
                raise TooLargeError(f"The request is larger than {max_bytes} bytes.")
    except ValueError as error:
        raise RequestError("The multipart body is damaged; send it again.") from error
    if "sound" in submission.files and "recording" in submission.names:
        raise RequestError("A job has a 'sound' or a 'recording', not both; send the one to be heard.")
    if "sound" not in submission.files and "recording" not in submission.names:
        raise RequestError("A job needs a part 'sound', a WAV, MP3, M4A or similar file, or a 'recording'.")
    return submission


async def _take(part: BodyPartReader | MultipartReader, submission: Submission, folder: JobFolder, left: int) -> int:
    """Read one part; returns how many bytes are left, negative if it was too many."""
    name = part.name if isinstance(part, BodyPartReader) else None
    if not isinstance(part, BodyPartReader) or name not in (*_NAMES, *_FILES):
        raise RequestError(f"A job has no part '{name}'; its parts are {', '.join((*_NAMES, *_FILES))}.")
    if name in submission.names or name in submission.files:
        raise RequestError(f"The part '{name}' is there twice; send one job at a time.")
    if name in _NAMES:
        value = b""
        while piece := await part.read_chunk(_MAX_NAME_BYTES):
            value += piece
            if len(value) > _MAX_NAME_BYTES:
                raise RequestError(f"The part '{name}' is a name of at most {_MAX_NAME_BYTES} bytes.")
        submission.names[name] = value.decode("utf-8", "replace").strip()
        return left - len(value)
    path = folder.path / name
    submission.files.add(name)
    await asyncio.to_thread(folder.path.mkdir, parents=True, exist_ok=True)
    with await asyncio.to_thread(path.open, "wb") as file:
        while left >= 0 and (piece := await part.read_chunk(_PIECE_BYTES)):
            left -= len(piece)
            if left >= 0:
                await asyncio.to_thread(file.write, piece)
    return left


def check_names(submission: Submission, default_engine: str) -> str:
    """The engine's name.

    Raises:
        RequestError: there is none of that name, or it does not draw what was sent.
    """
    engine = submission.names.get("engine") or default_engine
    if engine not in ENGINES:
        raise RequestError(f"There is no engine '{engine}'; choose one of: {', '.join(ENGINES)}.")
    if engine == OFFLINE:
        if "picture" not in submission.files or "avatar" in submission.names:
            raise RequestError(f"Engine '{engine}' draws pictures, not avatars; send a part 'picture' instead.")
        return engine
    if "picture" in submission.files:
        raise RequestError(f"Engine '{engine}' draws avatars, not pictures; name an 'avatar' instead.")
    if asked := [name for name in OPTIONS if name in submission.names]:
        raise RequestError(f"Engine '{engine}' knows no '{asked[0]}'; it belongs to '{OFFLINE}'.")
    return engine


def check_sound(path: Path, max_s: float) -> int:
    """Hear a whole upload once; returns its frames. Blocks.

    Raises:
        RequestError: it cannot be decoded, is silent, too short or too long.
    """
    samples, silent = 0, True
    try:
        for chunk in read_sound(path, from_stranger=True):
            samples += len(chunk)
            silent = silent and is_silent(chunk)
            if samples > max_s * WIRE_RATE_HZ:
                raise RequestError(f"The sound is longer than {max_s:g} s; send it in parts.")
    except MediaError as error:
        raise RequestError("The sound cannot be decoded; send a WAV, MP3, M4A or similar file.") from error
    if samples < _LEAST_S * WIRE_RATE_HZ:
        raise RequestError(f"The sound is shorter than {_LEAST_S:g} s; send a longer one.")
    if silent:
        raise RequestError("The sound is silent, so there is nothing to say; check the recording.")
    return -(-samples * FRAMES_PER_SECOND // WIRE_RATE_HZ)


def copy_avatar(source: Path, folder: JobFolder) -> None:
    """Keep the avatar as it is now; a worker checks it against its checksums. Blocks."""
    shutil.copytree(source, folder.avatars / source.name)
