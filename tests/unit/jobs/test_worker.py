"""Workers with real files, engines and encoders; some are killed."""

import json
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import av
import pytest

from models.registry import weights_files
from models.store import sha256_of
from server.config import Settings
from server.jobs.folder import JobFolder
from server.jobs.store import FILE_NAME, Job, JobState, JobStore
from server.jobs.supervisor import sweep
from server.jobs.worker import Worker
from tests.unit.jobs.conftest import Submit

ROOT = Path(__file__).parents[3]


def render(settings: Settings, stopping: threading.Event | None = None) -> None:
    """Everything that is queued, in this process."""
    Worker(settings, stopping or threading.Event()).run(idle_s=0.0)


def state_of(settings: Settings, job_id: str) -> Job:
    job = JobStore(settings.jobs.place).get(job_id)
    assert job is not None
    return job


class Workers:
    """Worker processes as a server starts them, and what they logged."""

    def __init__(self, settings: Settings, log: Path) -> None:
        self._settings, self._log = settings, log
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self) -> None:
        with self._log.open("ab") as log:
            command = [sys.executable, "-m", "server.jobs.worker"]
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=log, cwd=ROOT)
        assert process.stdin is not None
        process.stdin.write(self._settings.model_dump_json().encode() + b"\n")
        process.stdin.flush()
        self._running.append(process)

    def kill(self, index: int = 0) -> None:
        process = self._running.pop(index)
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert process.stdin is not None
        process.stdin.close()

    def send(self, number: int) -> None:
        self._running[0].send_signal(number)

    def end(self) -> list[int]:
        for process in self._running:
            assert process.stdin is not None
            process.stdin.close()
        return [process.wait(20) for process in self._running]

    def stored(self) -> Counter[tuple[str, str]]:
        """How often each (job, first frame) was stored."""
        found = re.findall(r"Job (\w+): frames (\d+) to \d+ are stored", self._log.read_text())
        return Counter(found)


def wait_until(condition, seconds: float = 60) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        time.sleep(0.02)


def chunks(settings: Settings) -> dict[tuple[str, int], tuple[int, int]]:
    """Inode and time of every stored chunk."""
    found = {}
    for path in settings.jobs.place.glob("*/chunk-*.mp4"):
        try:
            status = path.stat()
        except FileNotFoundError:
            continue
        found[path.parent.name, int(path.stem[-5:])] = (status.st_ino, status.st_mtime_ns)
    return found


def test_a_film_is_as_long_as_its_sound_and_plays(job_settings: Settings, submit: Submit) -> None:
    job = submit("a", seconds=2.03)
    render(job_settings)
    assert state_of(job_settings, "a").state is JobState.DONE
    folder = JobFolder(job_settings.jobs.place, "a")
    assert [path.name for path in folder.path.iterdir()] == ["result.mp4"]
    with av.open(str(folder.result)) as container:
        times = [frame.pts * frame.time_base for frame in container.decode(video=0)]
    assert len(times) == job.frames == 51
    assert [round(t * 25) for t in times] == list(range(51))
    with av.open(str(folder.result)) as container:
        assert abs(sum(frame.samples for frame in container.decode(audio=0)) / 48_000 - 2.03) < 0.05


def test_what_is_resumed_equals_what_was_not_interrupted(job_settings: Settings, submit: Submit) -> None:
    for name in ("whole", "broken"):
        submit(name, seconds=1.3, engine="wav2lip")
    render(job_settings)
    whole = JobFolder(job_settings.jobs.place, "whole").result.read_bytes()
    assert JobFolder(job_settings.jobs.place, "broken").result.read_bytes() == whole
    submit("again", seconds=1.3, engine="wav2lip")
    stopping = threading.Event()
    worker = threading.Thread(target=render, args=(job_settings, stopping))
    worker.start()
    wait_until(lambda: ("again", 1) in chunks(job_settings))
    stopping.set()
    worker.join()
    before = {key: value for key, value in chunks(job_settings).items() if key[0] == "again"}
    assert len(before) >= 2
    job = state_of(job_settings, "again")
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)
    assert not list(JobFolder(job_settings.jobs.place, "again").path.glob(".*"))
    render(job_settings)
    assert JobFolder(job_settings.jobs.place, "again").result.read_bytes() == whole


def test_a_job_goes_on_with_the_weights_it_began_with_or_not_at_all(
    job_settings: Settings, submit: Submit, tmp_path: Path
) -> None:
    shipped = weights_files("wav2lip")[0]
    other = tmp_path / "other.safetensors"
    other.write_bytes(shipped.read_bytes()[::-1])
    changed = job_settings.model_copy(update={"engine": job_settings.engine.model_copy(update={"weights": other})})
    submit("a", seconds=0.7, engine="wav2lip")
    folder = JobFolder(job_settings.jobs.place, "a")
    stop_after_a_chunk(job_settings)
    assert folder.stored_chunks() == 1
    assert folder.weights.read_text() == f"{sha256_of(shipped)}  wav2lip.safetensors\n"
    render(changed)
    job = state_of(job_settings, "a")
    assert job.state is JobState.FAILED
    assert "weights have changed since the job began (other.safetensors, wav2lip.safetensors)" in str(job.error)
    assert not folder.path.exists()
    submit("b", seconds=0.3, engine="wav2lip")
    JobFolder(job_settings.jobs.place, "b").weights.write_text("of a worker that died before its first chunk")
    render(job_settings)
    assert state_of(job_settings, "b").state is JobState.DONE


def stop_after_a_chunk(settings: Settings) -> None:
    """Render until a first chunk is stored."""
    stopping = threading.Event()
    worker = Worker(settings, stopping)
    stored = worker._store.stored

    def stop(job: Job, frames_done: int) -> bool:
        stopping.set()
        return stored(job, frames_done)

    worker._store.stored = stop  # type: ignore[method-assign]
    worker.run(idle_s=0.0)


def test_killed_workers_lose_nothing_and_draw_nothing_twice(
    job_settings: Settings, submit: Submit, tmp_path: Path
) -> None:
    place = job_settings.jobs.place
    names = ["a", "b", "c"]
    for name in names:
        submit(f"{name}0", seconds=2, seed=ord(name))
    render(job_settings)
    for name in names:
        submit(name, seconds=2, seed=ord(name))
    workers = Workers(job_settings, tmp_path / "log")
    rng = random.Random(1)
    seen: dict[tuple[str, int], tuple[int, int]] = {}
    try:
        for _ in range(2):
            workers.start()
        for _ in range(3):
            aim = len(seen.keys() | chunks(job_settings).keys()) + rng.randint(1, 3)
            wait_until(lambda aim=aim: len(seen.keys() | chunks(job_settings).keys()) >= aim)
            workers.kill()
            for key, value in chunks(job_settings).items():
                assert seen.setdefault(key, value) == value, f"chunk {key} was stored twice"
            workers.start()
        wait_until(lambda: all(state_of(job_settings, name).state.is_final for name in names))
    finally:
        codes = workers.end()
    assert codes == [0, 0]
    for name in names:
        assert state_of(job_settings, name).state is JobState.DONE
        film = JobFolder(place, name).result.read_bytes()
        assert film == JobFolder(place, f"{name}0").result.read_bytes()
    assert set(workers.stored().values()) == {1}
    assert not list(place.glob("*/.*"))


def put_to_sleep(workers: Workers, settings: Settings) -> None:
    """Stop a worker between two transactions: asleep in one, it would hold the database, and that is not the test."""
    while True:
        workers.send(signal.SIGSTOP)
        database = sqlite3.connect(settings.jobs.place / FILE_NAME, timeout=0.2, isolation_level=None)
        try:
            database.execute("BEGIN EXCLUSIVE")
            database.execute("ROLLBACK")
            return
        except sqlite3.OperationalError:
            workers.send(signal.SIGCONT)
            time.sleep(0.05)
        finally:
            database.close()


def test_a_worker_that_slept_past_its_lease_leaves_the_job_to_its_successor(
    job_settings: Settings, submit: Submit, tmp_path: Path
) -> None:
    submit("a", seconds=3)
    workers = Workers(job_settings, tmp_path / "log")
    workers.start()
    try:
        wait_until(lambda: chunks(job_settings))
        put_to_sleep(workers, job_settings)
        first = state_of(job_settings, "a")
        assert first.state is JobState.RUNNING
        wait_until(JobStore(job_settings.jobs.place).has_work, 5)
        workers.start()
        wait_until(lambda: state_of(job_settings, "a").token not in (first.token, None))
        workers.send(signal.SIGCONT)
        wait_until(lambda: state_of(job_settings, "a").state.is_final)
    finally:
        workers.send(signal.SIGCONT)
        workers.end()
    assert state_of(job_settings, "a").state is JobState.DONE
    assert set(workers.stored().values()) == {1}


def test_the_end_of_the_server_is_the_end_of_its_worker(job_settings: Settings, submit: Submit, tmp_path: Path) -> None:
    submit("a", seconds=60)
    workers = Workers(job_settings, tmp_path / "log")
    workers.start()
    wait_until(lambda: chunks(job_settings))
    assert workers.end() == [0]
    job = state_of(job_settings, "a")
    assert (job.state, job.token) == (JobState.QUEUED, None)
    assert 0 < job.frames_done < job.frames


def test_cancel_stops_a_running_job_within_a_second_and_clears_its_folder(
    job_settings: Settings, submit: Submit
) -> None:
    submit("a", seconds=60)
    stopping = threading.Event()
    worker = threading.Thread(target=Worker(job_settings, stopping).run)
    worker.start()
    try:
        wait_until(lambda: chunks(job_settings))
        JobStore(job_settings.jobs.place).cancel("a")
        folder = JobFolder(job_settings.jobs.place, "a")
        wait_until(lambda: not folder.path.exists(), seconds=1)
        submit("b", seconds=0.5)
        wait_until(lambda: state_of(job_settings, "b").state is JobState.DONE)
    finally:
        stopping.set()
        worker.join()
    assert state_of(job_settings, "a").state is JobState.CANCELLED


def test_what_cannot_be_rendered_fails_with_a_sentence_and_the_queue_goes_on(
    job_settings: Settings, submit: Submit
) -> None:
    for name in ("sound", "avatar", "engine", "short", "good"):
        submit(name, engine="none" if name == "engine" else "probe", seconds=0.8)
    place = job_settings.jobs.place
    JobFolder(place, "sound").sound.write_bytes(b"no longer a sound")
    (JobFolder(place, "avatar").avatars / "disc" / "idle.mp4").unlink()
    JobFolder(place, "short").sound.write_bytes(JobFolder(place, "good").sound.read_bytes()[:16000])
    render(job_settings)
    said = {
        "sound": "no longer be read",
        "avatar": "missing or damaged",
        "engine": "choose one of",
        "short": "ended before",
    }
    for name, words in said.items():
        job = state_of(job_settings, name)
        assert job.state is JobState.FAILED
        assert words in str(job.error)
        assert str(place) not in str(job.error)
        assert not JobFolder(place, name).path.exists()
    assert state_of(job_settings, "good").state is JobState.DONE


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full, a device that is always full")
def test_a_full_disk_fails_the_job_and_leaves_no_half_of_it(
    job_settings: Settings, submit: Submit, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit("a", seconds=0.8)
    submit("b", seconds=0.8)
    place = job_settings.jobs.place
    take = JobFolder.chunk

    def full(self: JobFolder, index: int) -> Path:
        path = take(self, index)
        if self.path.name == "a":  # the part's name is on the full device
            for part in self.path.glob(".*"):
                part.unlink()
            token = state_of(job_settings, "a").token
            part = path.with_name(f".{path.name}.{token}.part")
            if token and not part.is_symlink():
                os.symlink("/dev/full", part)
        return path

    monkeypatch.setattr(JobFolder, "chunk", full)
    render(job_settings)
    job = state_of(job_settings, "a")
    assert job.state is JobState.FAILED
    assert "free some space" in str(job.error)
    assert not JobFolder(place, "a").path.exists()
    assert state_of(job_settings, "b").state is JobState.DONE


def test_finished_jobs_and_orphans_are_removed_after_their_time(job_settings: Settings, submit: Submit) -> None:
    place = job_settings.jobs.place
    submit("old", seconds=0.4)
    render(job_settings)
    submit("new", seconds=0.4)
    for name, age_s in (("orphan", 7200), ("upload", 10)):
        JobFolder(place, name).path.mkdir()
        os.utime(place / name, (time.time() - age_s,) * 2)
    store = JobStore(place, lambda: time.time() + 100)
    sweep(place, store, keep_s=200)
    assert {path.name for path in place.iterdir() if path.is_dir()} == {"old", "new", "upload"}
    sweep(place, store, keep_s=50)
    assert {path.name for path in place.iterdir() if path.is_dir()} == {"new", "upload"}
    assert store.ids() == {"new"}


def test_a_workers_settings_are_the_servers(job_settings: Settings) -> None:
    from server.config import load_settings

    assert load_settings(None, json.loads(job_settings.model_dump_json())).model_dump() == job_settings.model_dump()
