"""Chunks of a job as tasks of a Ray cluster (https://docs.ray.io).

The worker that holds the job's lease hands them out and is the only one to store them, so cancelling, taking over and
what is on the disk are as without a cluster. A task whose process or node dies is given to another. A chunk is drawn
from the sound and its number alone, so its bytes do not tell who drew it.

Every node has visavis installed and sees the folder of jobs under the same path.
"""

import io
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from models.avatar import load_avatar
from models.engine import Engine
from models.errors import MediaError, VisavisError
from models.registry import load_engine
from server.config import EngineSettings, Settings
from server.jobs import film
from server.jobs.folder import JobFolder
from server.jobs.store import Job
from server.render import draw, read_sound, use_threads

_LOOK_S = 0.25
"""How soon a job that was cancelled ends its tasks."""
_MOST_TASKS = 256
"""Tasks of one job that are handed out at a time; their chunks wait in the cluster's memory until they are stored."""


class Cluster:
    """A connection to Ray. ``close`` after use."""

    def __init__(self, settings: Settings) -> None:
        """Connect to ``jobs.ray_address``, or start a Ray of this machine alone.

        Raises:
            VisavisError: Ray is not installed, or does not answer.
        """
        try:
            import ray
        except ImportError as error:
            raise VisavisError(
                "jobs.backend is ray, but Ray is not installed; pip install 'visavis[ray]', or set it to local."
            ) from error
        self._ray: Any = ray
        options = {} if settings.jobs.ray_address else {"include_dashboard": False}
        try:
            ray.init(address=settings.jobs.ray_address or "local", logging_level="warning", **options)
        except Exception as error:  # what Ray raises when it cannot start has no type of its own
            where = settings.jobs.ray_address or "of this machine"
            raise VisavisError(f"The Ray cluster {where} does not answer ({error}); check jobs.ray_address.") from error
        self._settings = settings
        threads = settings.engine.threads or 1
        self._task = ray.remote(
            num_cpus=threads, num_gpus=settings.jobs.ray_gpus, max_retries=settings.jobs.max_attempts
        )(render_chunk)

    def chunks(
        self, job: Job, folder: JobFolder, indices: Iterable[int], check: Callable[[], None]
    ) -> Iterator[tuple[int, bytes]]:
        """Draw chunks; yields index and MP4 bytes of each as it is done, in any order.

        Args:
            job: whose they are.
            folder: its folder.
            indices: the chunks to draw.
            check: called often; when it raises, the tasks under way are ended.

        Raises:
            VisavisError: what a task raised, or a chunk's processes died again and again.
        """
        coming = iter(indices)
        running: dict[Any, int] = {}
        try:
            while True:
                for index in islice(coming, _MOST_TASKS - len(running)):
                    running[self._start(job, folder, index)] = index
                if not running:
                    return
                check()
                done, _ = self._ray.wait(list(running), timeout=_LOOK_S)
                for task in done:
                    yield running.pop(task), self._result(task)
        finally:
            for task in running:
                self._ray.cancel(task, force=True)

    def close(self) -> None:
        """Disconnect; a Ray that was started here ends."""
        self._ray.shutdown()

    def _start(self, job: Job, folder: JobFolder, index: int) -> Any:
        frames = min(job.chunk_frames, job.frames - index * job.chunk_frames)
        engine = job.engine, self._settings.engine.model_dump_json()
        return self._task.remote(engine, str(folder.path), index * job.chunk_frames, frames, job.chunk_frames)

    def _result(self, task: Any) -> bytes:
        try:
            chunk: bytes = self._ray.get(task)
        except self._ray.exceptions.RayTaskError as error:
            raise error.cause from error
        except self._ray.exceptions.RayError as error:
            raise VisavisError(
                f"The cluster lost a part of the job for good ({type(error).__name__}); send the job again."
            ) from error
        return chunk


def render_chunk(engine: tuple[str, str], folder: str, first_frame: int, frames: int, chunk_frames: int) -> bytes:
    """Draw one chunk: the task that runs on a node.

    Args:
        engine: its name, and the settings of engines as JSON.
        folder: the job's.
        first_frame: of the chunk.
        frames: how many are drawn.
        chunk_frames: how many every chunk but the last has.

    Returns:
        The chunk as an MP4 file.

    Raises:
        MediaError: the sound is shorter than it was.
    """
    place = JobFolder(Path(folder).parent, Path(folder).name)
    sound = read_sound(place.sound, from_stranger=True)
    avatar = load_avatar(place.only_avatar())
    pictures = draw(_engine(*engine), avatar, sound, first_frame=first_frame, chunk_frames=chunk_frames)
    part = io.BytesIO()
    if film.write_chunk(part, islice(pictures, frames)) != frames:
        raise MediaError("The sound ended before its time; send it again.")
    return part.getvalue()


@cache
def _engine(name: str, settings: str) -> Engine:
    """Loaded once a process."""
    how = EngineSettings.model_validate_json(settings)
    engine = load_engine(name, **how.loading(name))
    use_threads(how.threads or 1)
    return engine
