"""A server's workers, started when there is work and ended with it; and what is kept too long, removed."""

import asyncio
import logging
import os
import sys
import time
from asyncio.subprocess import Process
from pathlib import Path

from server.config import Settings
from server.jobs.folder import JobFolder
from server.jobs.store import JobStore, JobStoreError
from server.paths import PACKAGES

logger = logging.getLogger(__name__)
_LOOK_S = 1.0
"""How often the queue is looked at for work that came from elsewhere."""
_RESTART_S = 1.0
_END_S = 5.0
"""How long a worker may take to give its job back before it is killed."""
_SWEEP_S = 60.0
_ORPHAN_S = 3600.0
"""A folder that no row names is an upload under way, until it is this old."""


class Supervisor:
    """``start`` before use, ``aclose`` after."""

    def __init__(self, settings: Settings, store: JobStore) -> None:
        self._settings, self._store = settings, store
        self._work = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to look for work."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(self._keep_worker()) for _ in range(self._settings.jobs.workers)]
        self._tasks.append(loop.create_task(self._sweep_often()))

    async def aclose(self) -> None:
        """End the workers; their jobs go back to the queue."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def notice(self) -> None:
        """There is a new job: do not wait for the next look."""
        self._work.set()

    async def _keep_worker(self) -> None:
        while True:
            await self._wait_for_work()
            try:
                process = await self._start_worker()
            except OSError as error:
                logger.error("No worker can be started for the jobs: %s", error)
                await asyncio.sleep(_RESTART_S)
                continue
            try:
                code = await process.wait()
            finally:
                await _end(process)
            if code:
                logger.warning("A worker ended with code %d; another goes on where it stopped", code)
                await asyncio.sleep(_RESTART_S)

    async def _wait_for_work(self) -> None:
        while True:
            self._work.clear()
            try:
                if await asyncio.to_thread(self._store.has_work):
                    return
            except JobStoreError as error:
                logger.error("%s", error)
            try:
                await asyncio.wait_for(self._work.wait(), _LOOK_S)
            except TimeoutError:
                pass

    async def _start_worker(self) -> Process:
        # The worker runs the code that this server runs, wherever it was started from.
        path = os.pathsep.join(filter(None, (str(PACKAGES), os.environ.get("PYTHONPATH"))))
        command = (sys.executable, "-m", "server.jobs.worker")
        process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": path}
        )
        assert process.stdin is not None
        process.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        return process

    async def _sweep_often(self) -> None:
        while True:
            try:
                await asyncio.to_thread(sweep, self._settings.jobs.place, self._store, self._settings.jobs.keep_s)
            except JobStoreError as error:
                logger.error("%s", error)
            await asyncio.sleep(min(_SWEEP_S, self._settings.jobs.keep_s))


async def _end(process: Process) -> None:
    """Close a worker's standard input, which asks it to end; kill it if it does not."""
    if process.stdin is not None:
        process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), _END_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def sweep(place: Path, store: JobStore, keep_s: float) -> None:
    """Remove jobs that finished more than ``keep_s`` ago, and uploads that never became one."""
    for job_id in store.expired(keep_s):
        # First the files: a row whose files are gone is swept again, files without a row only much later.
        JobFolder(place, job_id).remove()
        store.forget(job_id)
    if not place.is_dir():
        return
    known = store.ids()
    for path in place.iterdir():
        if path.is_dir() and path.name not in known and time.time() - path.stat().st_mtime > _ORPHAN_S:
            JobFolder(place, path.name).remove()
            logger.info("Removed %s, which no job owns", path.name)
