"""A process that renders jobs, one after the other.

It lives as long as the server that started it (``main``), or until it is told to stop (``visavis work``). Killed at
any moment, it leaves whole chunks and a lease that runs out.
"""

import argparse
import errno
import json
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

import av
import numpy as np
from numpy.typing import NDArray

from models.avatar import load_avatar
from models.engine import Engine
from models.errors import AvatarError, MediaError, VisavisError
from models.registry import load_engine, weights_files
from server.config import Settings, load_settings, merge, parse_override
from server.jobs import film
from server.jobs.cluster import Cluster
from server.jobs.folder import JobFolder
from server.jobs.picture import FilmMaker
from server.jobs.store import Job, JobStore, JobStoreError
from server.jobs.weights import WeightsReader, hold
from server.render import OFFLINE, draw, read_sound, use_threads

logger = logging.getLogger(__name__)
T = TypeVar("T")
_POLL_S = 0.5
_RENEW_S = 0.25
"""A lease is renewed this often; also how soon a worker learns that its job was cancelled."""
_IDLE_S = 20.0
"""A server's worker that finds nothing to do for so long ends, and frees its memory."""
_NICENESS = 10
"""Live sessions come first."""


class _StopError(Exception):
    """The job is no longer ours, or we shall stop."""


class _Lease:
    """Renews a job's lease in a thread of its own while it is rendered."""

    def __init__(self, store: JobStore, job: Job, lease_s: float, stopping: threading.Event) -> None:
        self._store, self._job, self._lease_s, self._stopping = store, job, lease_s, stopping
        self._over = threading.Event()
        self._lost = threading.Event()
        self._renewed_s = time.monotonic()
        self._thread = threading.Thread(target=self._run, name="visavis-lease", daemon=True)
        self.frames_done = job.frames_done
        self.seconds_left: float | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def check(self) -> None:
        """Go on only while the job is surely ours.

        Raises:
            _StopError: it was cancelled or taken over, this process slept past its lease, or it shall stop.
        """
        is_late = time.monotonic() - self._renewed_s > self._lease_s
        if self._lost.is_set() or self._stopping.is_set() or is_late:
            raise _StopError

    def guard(self, items: Iterator[T]) -> Iterator[T]:
        """``items``, checked before each."""
        for item in items:
            self.check()
            yield item

    def _run(self) -> None:
        while not self._over.wait(_RENEW_S):
            before_s = time.monotonic()
            try:
                is_ours = self._store.renew(self._job, self._lease_s, self.frames_done, self.seconds_left)
            except JobStoreError as error:
                logger.warning("Job %s: its lease is not renewed: %s", self._job.id, error)
                continue
            if not is_ours:
                self._lost.set()
                return
            self._renewed_s = before_s


class Worker:
    """Claims jobs and renders them."""

    def __init__(self, settings: Settings, stopping: threading.Event) -> None:
        self._settings, self._stopping = settings, stopping
        self._store = JobStore(settings.jobs.place)
        self._engines: dict[str, Engine] = {}
        # Before a job is claimed: where the cluster is away, jobs wait for it.
        self._cluster = Cluster(settings) if settings.jobs.backend == "ray" else None
        self._weights = WeightsReader()
        self._drawn_with: dict[str, str] = {}
        """Engine to the fingerprint of the weights it was loaded with."""
        self._film_maker = FilmMaker(settings.jobs.sadtalker_weights, settings.engine, settings.jobs.enhancer)

    def run(self, idle_s: float | None = None) -> None:
        """Work until told to stop; with ``idle_s``, until there was nothing to do for so long."""
        busy_s = time.monotonic()
        while not self._stopping.is_set():
            try:
                job = self._store.claim(self._settings.jobs.lease_s, self._settings.jobs.max_attempts)
            except JobStoreError as error:
                logger.error("%s", error)
                job = None
            if job is not None:
                self.render(job)
                busy_s = time.monotonic()
            elif idle_s is not None and time.monotonic() - busy_s > idle_s:
                return
            else:
                self._stopping.wait(_POLL_S)

    def render(self, job: Job) -> None:
        """Render a claimed job to its end, and tell the store how it ended."""
        folder = JobFolder(self._settings.jobs.place, job.id)
        logger.info("Job %s: %d frames by %s", job.id, job.frames, job.engine)
        try:
            with _Lease(self._store, job, self._settings.jobs.lease_s, self._stopping) as lease:
                self._render(job, folder, lease)
            if not self._store.finish(job):
                raise _StopError
            folder.keep_result()
            logger.info("Job %s: done", job.id)
        except _StopError:
            self._let_go(job, folder)
        except JobStoreError as error:
            logger.error("Job %s: %s", job.id, error)  # the lease runs out, and someone goes on
        except Exception as error:  # whatever it is, it ends this job and not the queue
            if not isinstance(error, VisavisError):
                logger.exception("Job %s failed", job.id)
            self._fail(job, folder, _sentence(error))

    def _render(self, job: Job, folder: JobFolder, lease: _Lease) -> None:
        if folder.result.is_file():
            return  # a worker before us died between the last step and telling of it
        folder.clear_parts()
        stored = folder.stored_chunks()
        self._draw(job, folder, lease, stored)
        starts = range(0, job.frames, job.chunk_frames)
        with folder.aside(folder.result, str(job.token)) as part:
            chunks = ((start, folder.chunk(index)) for index, start in enumerate(starts))
            film.join(part, chunks, lease.guard(read_sound(folder.sound, from_stranger=True)))
            lease.check()

    def _draw(self, job: Job, folder: JobFolder, lease: _Lease, stored: int) -> None:
        """Every chunk that is not stored yet."""
        first_frame = stored * job.chunk_frames
        if first_frame >= job.frames:
            return
        self._hold_weights(job, folder)
        if self._cluster is not None and job.engine != OFFLINE:
            self._draw_on_cluster(self._cluster, job, folder, lease)
            return
        pictures = self._pictures(job, folder, lease, first_frame)
        pace = _Pace(lease, first_frame, job.frames)
        counted = lease.guard(pace.counted(pictures))
        for index, start in enumerate(range(first_frame, job.frames, job.chunk_frames), start=stored):
            frames = min(job.chunk_frames, job.frames - start)
            with folder.aside(folder.chunk(index), str(job.token)) as part:
                if film.write_chunk(part, islice(counted, frames)) != frames:
                    raise AvatarError("The sound ended before its time; send it again.")
                lease.check()
            lease.frames_done = start + frames  # the last one was drawn but is not counted yet
            if not self._store.stored(job, start + frames):
                raise _StopError
            logger.info("Job %s: frames %d to %d are stored", job.id, start, start + frames - 1)

    def _hold_weights(self, job: Job, folder: JobFolder) -> None:
        """The job goes on with the weights it began with, and so does the engine that is loaded."""
        is_film = job.engine == OFFLINE
        files = (
            self._film_maker.weights(folder)
            if is_film
            else weights_files(job.engine, self._settings.engine.weights_of(job.engine))
        )
        fingerprint = self._weights.fingerprint(files)
        hold(folder, fingerprint, str(job.token))
        if self._drawn_with.get(job.engine) != fingerprint:
            self._engines.pop(job.engine, None)
            if is_film:
                self._film_maker.forget()
            self._drawn_with[job.engine] = fingerprint

    def _draw_on_cluster(self, cluster: Cluster, job: Job, folder: JobFolder, lease: _Lease) -> None:
        missing = [index for index in range(job.chunks) if not folder.chunk(index).is_file()]
        before, begun_s = job.chunks - len(missing), time.monotonic()
        for done, (index, chunk) in enumerate(cluster.chunks(job, folder, missing, lease.check), start=1):
            with folder.aside(folder.chunk(index), str(job.token)) as part:
                part.write_bytes(chunk)
                lease.check()
            lease.frames_done = min(job.frames, (before + done) * job.chunk_frames)
            lease.seconds_left = (len(missing) - done) * (time.monotonic() - begun_s) / done
            if not self._store.stored(job, lease.frames_done):
                raise _StopError
            logger.info("Job %s: chunk %d is stored", job.id, index)

    def close(self) -> None:
        """End what was opened for the jobs."""
        if self._cluster is not None:
            self._cluster.close()

    def _pictures(self, job: Job, folder: JobFolder, lease: _Lease, first_frame: int) -> Iterator[NDArray[np.uint8]]:
        """I420 pictures from ``first_frame`` on."""
        sound = lease.guard(read_sound(folder.sound, from_stranger=True))
        if job.engine == OFFLINE:
            return self._film_maker.pictures(folder, sound, job.frames, first_frame, job.chunk_frames)
        engine, avatar = self._engine(job.engine), load_avatar(folder.only_avatar())
        return draw(engine, avatar, sound, first_frame=first_frame, chunk_frames=job.chunk_frames)

    def _engine(self, name: str) -> Engine:
        if name not in self._engines:
            self._engines[name] = load_engine(name, **self._settings.engine.loading(name))
            use_threads(self._settings.engine.threads or 1)
        return self._engines[name]

    def _let_go(self, job: Job, folder: JobFolder) -> None:
        """Back to the queue if it is still ours; gone if it was cancelled."""
        try:
            if self._store.release(job):
                logger.info("Job %s: given back", job.id)
                return
            current = self._store.get(job.id)
        except JobStoreError as error:
            logger.error("Job %s: %s", job.id, error)
            return
        if current is None or current.state == "cancelled":
            folder.remove()
            logger.info("Job %s: cancelled", job.id)

    def _fail(self, job: Job, folder: JobFolder, error: str) -> None:
        logger.error("Job %s: %s", job.id, error)
        try:
            if self._store.fail(job, error):
                folder.remove()
        except JobStoreError as trouble:
            logger.error("Job %s: %s", job.id, trouble)


class _Pace:
    """How many frames are done and how long the rest will take."""

    def __init__(self, lease: _Lease, first_frame: int, frames: int) -> None:
        self._lease, self._first_frame, self._frames = lease, first_frame, frames
        self._begun_s = time.monotonic()

    def counted(self, pictures: Iterator[T]) -> Iterator[T]:
        for done, picture in enumerate(pictures, start=1):
            yield picture
            left = self._frames - self._first_frame - done
            self._lease.frames_done = self._first_frame + done
            self._lease.seconds_left = left * (time.monotonic() - self._begun_s) / done


def _sentence(error: Exception) -> str:
    """For the job's user; what is not theirs to mend names no file of ours."""
    if isinstance(error, MediaError):
        return "The job's sound can no longer be read; send the job again."
    if isinstance(error, VisavisError):
        return str(error)
    if isinstance(error, OSError) and (error.errno == errno.ENOSPC or not isinstance(error, av.FFmpegError)):
        return f"The job's files could not be written ({error.strerror}); free some space and send the job again."
    return f"The job could not be rendered ({type(error).__name__}); the server's log tells more."


def work(settings: Settings, idle_s: float | None = None, stopping: threading.Event | None = None) -> None:
    """Run a worker in this process until SIGTERM or SIGINT."""
    stopping = stopping or threading.Event()
    worker = Worker(settings, stopping)
    for number in (signal.SIGTERM, signal.SIGINT):  # after the worker: Ray, where it starts, takes them for itself
        signal.signal(number, lambda *_: stopping.set())
    try:
        worker.run(idle_s)
    finally:
        worker.close()


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """``visavis work``'s."""
    parser.add_argument("--config", type=Path, help="YAML file with the settings you change")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any key of configs/default.yaml"
    )
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Render what is queued until stopped."""
    overrides: dict[str, object] = {}
    for text in args.set:
        overrides = merge(overrides, parse_override(text))
    settings = load_settings(args.config, overrides)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    print(f"visavis renders the jobs of {settings.jobs.place} (stop with Ctrl+C)", flush=True)
    work(settings)
    return 0


def main() -> None:
    """A server's worker: the settings come as a line of JSON on standard input, whose end is the server's end."""
    settings = load_settings(None, json.loads(sys.stdin.readline()))
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    stopping = threading.Event()

    def watch() -> None:
        sys.stdin.read()
        stopping.set()

    threading.Thread(target=watch, name="visavis-server-watch", daemon=True).start()
    os.nice(_NICENESS)
    work(settings, _IDLE_S, stopping)
    # The watch still reads standard input, and the interpreter would wait for its lock.
    logging.shutdown()
    os._exit(0)


if __name__ == "__main__":
    main()
