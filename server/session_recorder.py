"""Writes one live session's sound as it was heard, tick by tick, for a film that is made later.

Sample 1920 n is where frame n began, lost packets and all, so that an offline engine that hears the file draws frame n
of the session as its frame n.
"""

import asyncio
import json
import logging
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from models.timebase import FRAME_MS, WIRE_RATE_HZ
from server.media.playout import TICK_MS, TICK_SAMPLES, TICKS_PER_FRAME

logger = logging.getLogger(__name__)
SOUND, TIMELINE, AVATARS = "sound.flac", "timeline.json", "avatar"
TIMELINE_VERSION = 1
BYTES_PER_S = 3 * WIRE_RATE_HZ
"""What a recording takes at most: FLAC stores what it cannot shorten as it is, 24 bits a sample."""
_WRITE_S = 1.0
_MOST_WAITING = 10_000 // TICK_MS
"""Ticks in memory while the disk is slow: ten seconds, 2 MB."""
_SECOND = 1000 // TICK_MS
_FULL_SCALE = 1 << 23


@dataclass(frozen=True)
class Timeline:
    """How a recording's sound lies to the session's frames; ``timeline.json``."""

    version: int
    avatar: str
    engine: str
    begun_unix_s: float
    """When tick 0 was heard."""
    tick_ms: int
    ticks: int
    ticks_lost: int
    """Ticks that the disk was too slow for; they are silence in the file."""
    frame_ms: int
    frames: int
    delay_ms: int
    """Frame n left the server so long after its sound was heard."""
    frames_dropped: int
    """Frames that the session's peer did not get; the film has them."""
    is_cut: bool
    """The session went on when the recording was as long as it may be."""


class SessionRecorder:
    """``start`` when the session begins, ``put`` every tick, ``aclose`` at its end."""

    def __init__(self, recording_id: str, folder: Path, max_s: float, on_close: Callable[[], None]) -> None:
        """Record into ``folder``, which holds the avatar; ``on_close`` is called once, when nothing more is written."""
        self.id = recording_id
        self.error: str | None = None
        """Why nothing is recorded any more."""
        self.ticks = self.ticks_lost = 0
        self._folder, self._on_close = folder, on_close
        self._max_ticks = round(max_s * _SECOND)
        self._waiting: list[tuple[int, NDArray[np.float32]]] = []
        self._is_cut = False
        self._begun_unix_s = 0.0
        self._ended = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._file: _FlacFile | None = None

    def start(self) -> None:
        """Begin to write, in a task of our own."""
        self._begun_unix_s = time.time()
        self._task = asyncio.create_task(self._run(), name=f"record-{self.id}")

    def put(self, samples: NDArray[np.float32]) -> None:
        """Record one tick, (960,) at 48 kHz; never waits."""
        if self.error is not None:
            return
        if self.ticks >= self._max_ticks:
            self._is_cut = True
            return
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append((self.ticks, samples))
        else:
            self.ticks_lost += 1
        self.ticks += 1

    def describe(self) -> dict[str, object]:
        """What a session tells of its recording."""
        seconds = round(self.ticks * TICK_MS / 1000, 2)
        return {"id": self.id, "seconds": seconds, "ticks_lost": self.ticks_lost, "error": self.error}

    async def aclose(self, avatar: str, engine: str, delay_ms: int, frames_dropped: int) -> None:
        """Write what waits and the timeline; a session that heard nothing leaves nothing."""
        try:
            self._ended.set()
            if self._task is not None:
                await self._task
            if self.error is not None or not self.ticks:
                await asyncio.to_thread(shutil.rmtree, self._folder, ignore_errors=True)
                return
            timeline = Timeline(
                version=TIMELINE_VERSION,
                avatar=avatar,
                engine=engine,
                begun_unix_s=self._begun_unix_s,
                tick_ms=TICK_MS,
                ticks=self.ticks,
                ticks_lost=self.ticks_lost,
                frame_ms=FRAME_MS,
                frames=-(-self.ticks // TICKS_PER_FRAME),
                delay_ms=delay_ms,
                frames_dropped=frames_dropped,
                is_cut=self._is_cut,
            )
            await asyncio.to_thread(self._write_timeline, timeline)
        finally:
            self._on_close()

    async def _run(self) -> None:
        try:
            while self._waiting or not self._ended.is_set():
                try:
                    await asyncio.wait_for(self._ended.wait(), _WRITE_S)
                except TimeoutError:
                    pass
                waiting, self._waiting = self._waiting, []
                await asyncio.to_thread(self._write, waiting)
            await asyncio.to_thread(self._complete)
        except Exception as error:  # whatever it is, it ends the recording and not the session
            self._fail(error)
            await asyncio.to_thread(self._abandon)

    def _write(self, waiting: list[tuple[int, NDArray[np.float32]]]) -> None:
        if self._file is None:
            self._file = _FlacFile(self._folder / f".{SOUND}.part")
        for tick, samples in waiting:
            self._file.fill(tick)
            self._file.write(samples)

    def _complete(self) -> None:
        if self._file is not None and self.ticks:
            self._file.fill(self.ticks)
            self._file.close()
            os.replace(self._file.path, self._folder / SOUND)

    def _abandon(self) -> None:
        if self._file is not None:
            self._file.discard()

    def _write_timeline(self, timeline: Timeline) -> None:
        part = self._folder / f".{TIMELINE}.part"
        try:
            part.write_text(json.dumps(asdict(timeline)), encoding="utf-8")
            os.replace(part, self._folder / TIMELINE)
        except OSError as error:
            self._fail(error)
            shutil.rmtree(self._folder, ignore_errors=True)

    def _fail(self, error: Exception) -> None:
        self._waiting.clear()
        if isinstance(error, OSError):  # FFmpeg's errors are of these too
            self.error = f"The recording could not be written ({error.strerror}); free some space and record again."
        else:
            self.error = f"The recording failed ({type(error).__name__}); the server's log tells more."
        logger.error("Recording %s: %s", self.id, self.error, exc_info=error)


class _FlacFile:
    """48 kHz mono FLAC of 24 bits, tick after tick."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._container = av.open(str(path), "w", format="flac")
        self._stream = self._container.add_stream("flac", rate=WIRE_RATE_HZ, layout="mono")
        self._stream.format = "s32"
        self._ticks = 0

    def write(self, samples: NDArray[np.float32]) -> None:
        """The next (960,) samples; past full scale they are clipped, as the ear clips them."""
        if not np.isfinite(samples).all():
            samples = np.nan_to_num(samples, nan=0.0, posinf=0.0, neginf=0.0)
        whole = np.rint(samples.astype(np.float64) * _FULL_SCALE).clip(-_FULL_SCALE, _FULL_SCALE - 1)
        frame = av.AudioFrame.from_ndarray((whole.astype(np.int32) << 8)[np.newaxis], format="s32", layout="mono")
        frame.sample_rate, frame.time_base = WIRE_RATE_HZ, Fraction(1, WIRE_RATE_HZ)
        frame.pts = self._ticks * TICK_SAMPLES
        self._container.mux(self._stream.encode(frame))
        self._ticks += 1

    def fill(self, tick: int) -> None:
        """Silence up to ``tick``."""
        silence = np.zeros(TICK_SAMPLES, np.float32)
        while self._ticks < tick:
            self.write(silence)

    def close(self) -> None:
        """Finish the file and have it on the disk."""
        self._container.mux(self._stream.encode(None))
        self._container.close()
        with self.path.open("rb") as file:
            os.fsync(file.fileno())

    def discard(self) -> None:
        """Remove the file, whatever state it is in."""
        try:
            self._container.close()
        except (OSError, av.FFmpegError):
            pass
        self.path.unlink(missing_ok=True)
