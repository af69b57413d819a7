"""Jobs on a local Ray, in processes of their own; needs the extra 'ray'."""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

from server.config import load_settings
from server.jobs.folder import JobFolder
from server.jobs.store import Job, JobState, JobStore
from server.jobs.submission import check_sound, copy_avatar
from tests.unit.jobs.speech import write_speech

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the extra 'ray'")
SECONDS = 8.0


def submit(place: Path, avatar_folder: Path, engine: str = "probe") -> Job:
    folder = JobFolder(place, "job")
    folder.path.mkdir(parents=True)
    write_speech(folder.sound, SECONDS)
    copy_avatar(avatar_folder, folder)
    return JobStore(place).submit("job", engine, "disc", check_sound(folder.sound, 600), 24, 10)


def until(condition: Callable[[], bool], limit_s: float = 100) -> None:
    end_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < end_s, f"it did not come about in {limit_s} s"
        time.sleep(0.02)


def start_worker(place: Path, backend: str) -> subprocess.Popen[bytes]:
    options = ("--set", f"jobs.folder={place}", "--set", f"jobs.backend={backend}")
    return subprocess.Popen([sys.executable, "-m", "server.cli", "work", *options])


def drawing(worker: subprocess.Popen[bytes]) -> list[psutil.Process]:
    """Ray's processes that draw just now."""
    found = []
    for process in psutil.Process(worker.pid).children(recursive=True):
        try:
            if "ray::render_chunk" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def film_of(place: Path, avatar_folder: Path, backend: str, disturb: bool = False) -> bytes:
    submit(place, avatar_folder)
    store, folder = JobStore(place), JobFolder(place, "job")
    worker = start_worker(place, backend)
    try:
        if disturb:
            until(lambda: len(list(folder.path.glob("chunk-*.mp4"))) >= 2 and bool(drawing(worker)))
            first = min(folder.path.glob("chunk-*.mp4"))
            written_ns = first.stat().st_mtime_ns
            drawing(worker)[0].kill()
            until(lambda: len(list(folder.path.glob("chunk-*.mp4"))) >= 4)
            assert first.stat().st_mtime_ns == written_ns
        until(lambda: (job := store.get("job")) is not None and job.state.is_final)
    finally:
        worker.terminate()
        worker.wait(30)
    job = store.get("job")
    assert job is not None
    assert job.state is JobState.DONE, job.error
    return folder.result.read_bytes()


def test_a_killed_ray_worker_changes_no_byte(tmp_path: Path, avatar_folder: Path) -> None:
    alone = film_of(tmp_path / "alone", avatar_folder, "local")
    assert film_of(tmp_path / "ray", avatar_folder, "ray", disturb=True) == alone


def test_a_fraction_of_a_gpu_is_a_setting() -> None:
    assert load_settings(overrides={"jobs": {"ray_gpus": 0.25}}).jobs.ray_gpus == 0.25
