"""The queue: one SQLite database, opened anew for every transaction, by as many processes as there are.

A worker holds a job by a lease: a token and a time until which it is its. It renews the lease while it works; when it
does not, another may take the job. Every change a worker makes names its token, so one that slept past its lease
changes nothing.

Calls block: on the event loop they go through ``asyncio.to_thread``. Times are seconds since 1970 by the wall clock;
machines that share a queue need clocks that agree to a fraction of the lease.
"""

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from models.errors import VisavisError
from server.errors import ServerFullError

FILE_NAME = "jobs.sqlite3"
_WAIT_S = 10.0
"""How long a transaction waits for others."""
_SCHEMA = """
CREATE TABLE IF NOT EXISTS jobs (
    id TEXT PRIMARY KEY,
    engine TEXT NOT NULL,
    avatar TEXT NOT NULL,
    frames INTEGER NOT NULL,
    chunk_frames INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('queued', 'running', 'done', 'failed', 'cancelled')),
    frames_done INTEGER NOT NULL DEFAULT 0,
    seconds_left REAL,
    error TEXT,
    created_s REAL NOT NULL,
    finished_s REAL,
    token TEXT,
    lease_until_s REAL,
    attempts INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS jobs_by_state ON jobs (state, created_s);
"""
_CLAIMABLE = "(state = 'queued' OR (state = 'running' AND lease_until_s < :now))"
_MINE = "id = :id AND token = :token AND state = 'running'"


class JobStoreError(VisavisError):
    """The database cannot be read or written."""


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_final(self) -> bool:
        """Nothing more will happen to it."""
        return self not in (JobState.QUEUED, JobState.RUNNING)


@dataclass(frozen=True)
class Job:
    """One row."""

    id: str
    engine: str
    avatar: str
    frames: int
    chunk_frames: int
    state: JobState
    frames_done: int
    seconds_left: float | None
    error: str | None
    created_s: float
    finished_s: float | None
    token: str | None
    lease_until_s: float | None
    attempts: int
    """Times it was claimed since it last stored a chunk."""

    @property
    def chunks(self) -> int:
        """How many it is drawn in."""
        return -(-self.frames // self.chunk_frames)


class JobStore:
    """Every transaction there is on jobs."""

    def __init__(self, folder: Path, now_s: Callable[[], float] = time.time) -> None:
        self._path = folder / FILE_NAME
        self._now_s = now_s

    def submit(self, job_id: str, engine: str, avatar: str, frames: int, chunk_frames: int, max_waiting: int) -> Job:
        """Queue a job.

        Raises:
            ServerFullError: ``max_waiting`` are not finished.
        """
        with self._transaction() as database:
            (waiting,) = database.execute("SELECT count(*) FROM jobs WHERE state IN ('queued', 'running')").fetchone()
            if waiting >= max_waiting:
                raise ServerFullError(f"All {max_waiting} places of the queue are taken; try again later.")
            row = database.execute(
                "INSERT INTO jobs (id, engine, avatar, frames, chunk_frames, state, created_s)"
                " VALUES (?, ?, ?, ?, ?, 'queued', ?) RETURNING *",
                (job_id, engine, avatar, frames, chunk_frames, self._now_s()),
            ).fetchone()
            return _job(row)

    def get(self, job_id: str) -> Job | None:
        """A job by its id."""
        if not self._path.is_file():
            return None
        with self._transaction("DEFERRED") as database:
            row = database.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        return None if row is None else _job(row)

    def ids(self) -> set[str]:
        """Every job's."""
        if not self._path.is_file():
            return set()
        with self._transaction("DEFERRED") as database:
            return {row["id"] for row in database.execute("SELECT id FROM jobs")}

    def has_work(self) -> bool:
        """Whether ``claim`` would find anything."""
        if not self._path.is_file():
            return False
        with self._transaction("DEFERRED") as database:
            query = f"SELECT 1 FROM jobs WHERE {_CLAIMABLE} LIMIT 1"
            return database.execute(query, {"now": self._now_s()}).fetchone() is not None

    def claim(self, lease_s: float, max_attempts: int) -> Job | None:
        """Take the oldest job that waits, or whose worker is gone. None where there is none.

        A job that was taken ``max_attempts`` times without storing a chunk fails instead.
        """
        if not self._path.is_file():
            return None
        values = {"now": self._now_s(), "most": max_attempts, "token": uuid.uuid4().hex}
        values["until"] = self._now_s() + lease_s
        values["error"] = f"Its worker died {max_attempts} times without getting on; the server's log may tell why."
        with self._transaction() as database:
            database.execute(
                "UPDATE jobs SET state = 'failed', error = :error, finished_s = :now, token = NULL"
                f" WHERE {_CLAIMABLE} AND attempts >= :most",
                values,
            )
            row = database.execute(
                "UPDATE jobs SET state = 'running', token = :token, lease_until_s = :until, attempts = attempts + 1"
                f" WHERE id = (SELECT id FROM jobs WHERE {_CLAIMABLE} ORDER BY created_s, id LIMIT 1) RETURNING *",
                values,
            ).fetchone()
        return None if row is None else _job(row)

    def renew(self, job: Job, lease_s: float, frames_done: int, seconds_left: float | None) -> bool:
        """Keep a claimed job, and say how far it is. False: it is no longer this worker's."""
        return self._change(
            "UPDATE jobs SET lease_until_s = :until, frames_done = :frames, seconds_left = :left",
            job,
            {"until": self._now_s() + lease_s, "frames": frames_done, "left": seconds_left},
        )

    def stored(self, job: Job, frames_done: int) -> bool:
        """A chunk is stored, so the job is getting on. False: it is no longer this worker's."""
        return self._change("UPDATE jobs SET attempts = 0, frames_done = :frames", job, {"frames": frames_done})

    def release(self, job: Job) -> bool:
        """Give a claimed job back to the queue; that does not count as an attempt."""
        return self._change(
            "UPDATE jobs SET state = 'queued', token = NULL, seconds_left = NULL, attempts = max(0, attempts - 1)",
            job,
            {},
        )

    def finish(self, job: Job) -> bool:
        """The result is there. False: the job is no longer this worker's."""
        return self._change(
            "UPDATE jobs SET state = 'done', frames_done = frames, seconds_left = 0, finished_s = :now, token = NULL",
            job,
            {},
        )

    def fail(self, job: Job, error: str) -> bool:
        """It cannot be done; ``error`` is a sentence for its user."""
        return self._change(
            "UPDATE jobs SET state = 'failed', error = :error, seconds_left = NULL, finished_s = :now, token = NULL",
            job,
            {"error": error},
        )

    def cancel(self, job_id: str) -> Job | None:
        """End a job that is not finished. Returns it as it was before; None where there is none."""
        if not self._path.is_file():
            return None
        with self._transaction() as database:
            row = database.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
            database.execute(
                "UPDATE jobs SET state = 'cancelled', finished_s = ?, seconds_left = NULL, token = NULL"
                " WHERE id = ? AND state IN ('queued', 'running')",
                (self._now_s(), job_id),
            )
        return None if row is None else _job(row)

    def expired(self, keep_s: float) -> list[str]:
        """Jobs that finished more than ``keep_s`` ago."""
        if not self._path.is_file():
            return []
        with self._transaction("DEFERRED") as database:
            rows = database.execute("SELECT id FROM jobs WHERE finished_s < ?", (self._now_s() - keep_s,))
            return [row["id"] for row in rows]

    def forget(self, job_id: str) -> None:
        """Remove a finished job's row."""
        with self._transaction() as database:
            database.execute("DELETE FROM jobs WHERE id = ? AND finished_s IS NOT NULL", (job_id,))

    def _change(self, update: str, job: Job, values: dict[str, object]) -> bool:
        with self._transaction() as database:
            named = {"now": self._now_s(), "id": job.id, "token": job.token} | values
            return database.execute(f"{update} WHERE {_MINE}", named).rowcount == 1

    @contextmanager
    def _transaction(self, kind: str = "IMMEDIATE") -> Iterator[sqlite3.Connection]:
        try:
            is_new = not self._path.is_file()
            if is_new:
                self._path.parent.mkdir(parents=True, exist_ok=True)
            database = sqlite3.connect(self._path, timeout=_WAIT_S, isolation_level=None)
            try:
                database.row_factory = sqlite3.Row
                if is_new:
                    database.executescript(_SCHEMA)
                database.execute(f"BEGIN {kind}")
                # A commit, or on any error the rollback of what was not committed.
                with database:
                    yield database
            finally:
                database.close()
        except (sqlite3.Error, OSError) as error:
            raise JobStoreError(
                f"The job database {self._path} cannot be used ({error}); check the folder and the space left."
            ) from error


def _job(row: sqlite3.Row) -> Job:
    values = dict(row)
    return Job(**(values | {"state": JobState(values["state"])}))
