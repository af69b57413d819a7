"""``visavis render``: the offline twin of a live session. Same talker, same engine, same frames."""

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray
from tqdm import tqdm

from models.avatar import Avatar
from models.engine import Engine
from models.errors import MediaError, VisavisError
from models.face.avatar_maker import Wish, make_avatar
from models.registry import engine_names, load_engine
from models.runtime.names import DEVICES, RUNTIMES
from models.talker import FrameJob, Talker
from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ
from server.named_avatar import named_avatar
from server.own_avatars import parse_box

_AVATAR = "ada"
OFFLINE = "sadtalker"
"""The engine that draws films of pictures, see ``server.sadtalker_render``; it has no live session."""
ENGINES = (*engine_names(), OFFLINE)
_BATCH = 8
_STRANGERS = {
    "protocol_whitelist": "file",
    "format_whitelist": (
        "wav,w64,aiff,au,caf,mp3,aac,flac,ogg,amr,ac3,asf,avi,mpeg,mpegts,matroska,webm,mov,mp4,m4a,3gp,3g2,mj2"
    ),
}
"""FFmpeg's options for files that others sent."""
_CHUNK_SAMPLES = WIRE_RATE_HZ // FRAMES_PER_SECOND


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "face",
        type=Path,
        nargs="?",
        help="photo or clip of a face to speak with, instead of an avatar; a clip's frames are shown in order, the "
        "first 30 s, there and back as often as the speech needs",
    )
    parser.add_argument("speech", type=Path, help="sound file to speak; any format FFmpeg reads")
    parser.add_argument("output", type=Path, help="MP4 file to write")
    parser.add_argument("--avatar", help=f"avatar to draw, where no face is given (default: {_AVATAR})")
    parser.add_argument("--box", metavar="X0,Y0,X1,Y1", help="which face of FACE, forehead to chin, in its pixels")
    parser.add_argument("--engine", default="wav2lip", choices=ENGINES, help="default: %(default)s")
    parser.add_argument("--weights", type=Path, help="file or pulled checkpoint instead of the shipped weights")
    add_runtime(parser)
    parser.add_argument("--quiet", action="store_true", help="no progress bar")


def add_runtime(parser: argparse.ArgumentParser) -> None:
    """Arguments that say how and where a network is run."""
    parser.add_argument("--device", default="auto", choices=DEVICES, help="default: the GPU, if there is one")
    parser.add_argument(
        "--runtime", default="auto", choices=RUNTIMES, help="default: scripted on a CPU, compiled on a GPU"
    )


def run(args: argparse.Namespace) -> int:
    """Render a file; errors are raised as VisavisError."""
    total = count_frames(args.speech)
    avatar = _chosen(args)
    engine = load_engine(args.engine, args.weights, args.runtime, args.device)
    pictures = draw(engine, avatar, read_sound(args.speech))
    write_video(
        args.output,
        (avatar.width, avatar.height),
        tqdm(pictures, total=total, unit="frame", disable=args.quiet),
        args.speech,
    )
    print(f"{args.output}: {total} frames, {total / FRAMES_PER_SECOND:.1f} s")
    return 0


def _chosen(args: argparse.Namespace) -> Avatar:
    """The avatar that was asked for, by its name or by a picture."""
    if args.face is not None and args.avatar is not None:
        raise VisavisError(f"Speak with the face of {args.face.name} or with --avatar {args.avatar}, not with both.")
    if args.face is not None:
        return _of_face(args.face, Wish(box=parse_box(args.box) if args.box else None, whole_clip=True))
    if args.box:
        raise VisavisError("--box says which face of a photo or clip is meant; give that file before the speech.")
    return named_avatar(args.avatar or _AVATAR)


def _of_face(source: Path, wish: Wish) -> Avatar:
    """An avatar for this render alone: its folder is gone before a frame is drawn."""
    try:
        with tempfile.TemporaryDirectory(prefix="visavis-render-") as folder:
            return make_avatar(source, Path(folder) / "face", wish)
    except OSError as error:
        raise MediaError(
            f"{source.name} cannot be made ready: {error}; check the space left in {tempfile.gettempdir()}."
        ) from error


def draw(
    engine: Engine, avatar: Avatar, sound: Iterator[NDArray[np.float32]], *, first_frame: int = 0, chunk_frames: int = 0
) -> Iterator[NDArray[np.uint8]]:
    """One I420 picture for every 40 ms of sound, the last begun one included. Memory does not grow with it.

    Args:
        engine: what draws.
        avatar: whom.
        sound: (n,) chunks at 48 kHz mono, from the first on.
        first_frame: frames before it are heard, not drawn; a multiple of ``chunk_frames``.
        chunk_frames: the engine forgets what it remembers every so many frames, so that what is drawn from
            ``first_frame`` on equals what would have been drawn from the beginning. A multiple of 8; 0: never.
    """
    if chunk_frames % _BATCH or (first_frame and (not chunk_frames or first_frame % chunk_frames)):
        raise ValueError(f"Chunks of {chunk_frames} frames, from {first_frame} on, are not whole batches of {_BATCH}.")
    talker = Talker(engine, avatar, engine.prepare(avatar))
    pen = _Pen(engine, talker, chunk_frames)
    heard = 0
    drawn = first_frame
    waiting: list[FrameJob] = []
    for chunk in sound:
        heard += len(chunk)
        talker.push(chunk)
        waiting.extend(job for job in talker.jobs() if job.index >= first_frame)
        while len(waiting) >= _BATCH:
            batch, waiting = waiting[:_BATCH], waiting[_BATCH:]
            drawn += len(batch)
            yield from pen.draw(batch)
    talker.finish()
    waiting.extend(job for job in talker.jobs() if job.index >= first_frame)
    rest = -(-heard // _CHUNK_SAMPLES) - drawn
    for start in range(0, rest, _BATCH):
        yield from pen.draw(waiting[start : min(start + _BATCH, rest)])


class _Pen:
    """Draws batches, and forgets what the engine remembers where a chunk begins."""

    def __init__(self, engine: Engine, talker: Talker, chunk_frames: int) -> None:
        self._engine, self._talker, self._chunk_frames = engine, talker, chunk_frames
        self._state: Any = None

    def draw(self, batch: list[FrameJob]) -> list[NDArray[np.uint8]]:
        requests = [job.request for job in batch if job.request is not None]
        if self._chunk_frames:
            if batch[0].index % self._chunk_frames == 0:
                self._state = self._engine.new_state()
            requests = [replace(request, state=self._state) for request in requests]
        crops = iter(self._engine.render(requests) if requests else [])
        return [self._talker.picture(job, next(crops) if job.request is not None else None) for job in batch]


def read_sound(path: Path, *, from_stranger: bool = False) -> Iterator[NDArray[np.float32]]:
    """A file's sound as 40 ms chunks, (n,) float32 at 48 kHz mono.

    Args:
        path: the file.
        from_stranger: it was sent to us, so it may not be a playlist that names other files or addresses.

    Raises:
        MediaError: it has none, or it cannot be decoded.
    """
    resampler = AudioResampler(format="flt", layout="mono", rate=WIRE_RATE_HZ, frame_size=_CHUNK_SAMPLES)
    try:
        with av.open(str(path), container_options=_STRANGERS if from_stranger else {}) as container:
            if not container.streams.audio:
                raise MediaError(f"{path} holds no sound; give a file with an audio track.")
            for frame in container.decode(audio=0):
                frame.pts = None
                yield from (np.asarray(part.to_ndarray()[0], np.float32) for part in resampler.resample(frame))
            yield from (np.asarray(part.to_ndarray()[0], np.float32) for part in resampler.resample(None))
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{path} cannot be read as sound; give a WAV, MP3, M4A or similar file.") from error


def count_frames(path: Path) -> int:
    """Video frames a sound file needs.

    Raises:
        MediaError: it holds no sound, or cannot be decoded.
    """
    samples = sum(len(chunk) for chunk in read_sound(path))
    if not samples:
        raise MediaError(f"{path} holds no sound; give a file with an audio track that is not empty.")
    return -(-samples // _CHUNK_SAMPLES)


def write_video(path: Path, size: tuple[int, int], pictures: Any, speech: Path) -> None:
    """Encode I420 pictures (H.264) and the sound (AAC) to MP4; written aside, then renamed.

    Args:
        path: the MP4 file.
        size: width and height, even.
        pictures: (height * 3 / 2, width) each.
        speech: the sound's file.

    Raises:
        MediaError: the file cannot be written.
    """
    aside = path.with_name(f".{path.name}.part")
    try:
        with av.open(str(aside), "w", format="mp4") as container:
            video = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "16", "preset": "fast"})
            (video.width, video.height), video.pix_fmt = size, "yuv420p"
            audio = container.add_stream("aac", rate=WIRE_RATE_HZ, layout="mono")
            sound = read_sound(speech)
            tick = 0
            for index, picture in enumerate(pictures):
                frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
                frame.pts, frame.time_base = index, Fraction(1, FRAMES_PER_SECOND)
                container.mux(video.encode(frame))
                chunk = next(sound, None)
                if chunk is not None:
                    container.mux(audio.encode(sound_frame(chunk, tick)))
                    tick += len(chunk)
            container.mux(video.encode(None))
            container.mux(audio.encode(None))
        os.replace(aside, path)
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{path} cannot be written: {error}; check the folder and the space left.") from error
    finally:
        aside.unlink(missing_ok=True)


def sound_frame(samples: NDArray[np.float32], start: int) -> av.AudioFrame:
    """(n,) samples at 48 kHz for an encoder; ``start`` counts those before them."""
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="fltp", layout="mono")
    frame.sample_rate, frame.pts, frame.time_base = WIRE_RATE_HZ, start, Fraction(1, WIRE_RATE_HZ)
    return frame


def use_threads(count: int) -> None:
    """Threads the networks of this process may use; call it when the engine is loaded."""
    torch = sys.modules.get("torch")  # an engine without a network has not loaded it, and it takes seconds
    if torch is not None:
        torch.set_num_threads(count)
