"""Jobs on a local Ray, in processes of their own; needs the extra 'ray'."""

import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest

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


def start_worker(place: Path, **jobs: object) -> subprocess.Popen[bytes]:
    options = [part for name, value in {"folder": place, **jobs}.items() for part in ("--set", f"jobs.{name}={value}")]
    return subprocess.Popen([sys.executable, "-m", "server.cli", "work", *options])


def drawing(parent: psutil.Process) -> list[psutil.Process]:
    """Ray's processes under this one that draw just now."""
    found = []
    for process in parent.children(recursive=True):
        try:
            if "ray::render_chunk" in " ".join(process.cmdline()):
                found.append(process)
        except psutil.NoSuchProcess:
            continue
    return found


def film_of(place: Path, avatar_folder: Path, backend: str, disturb: bool = False) -> bytes:
    submit(place, avatar_folder)
    store, folder = JobStore(place), JobFolder(place, "job")
    worker = start_worker(place, backend=backend)
    try:
        if disturb:
            processes = psutil.Process(worker.pid)
            until(lambda: len(list(folder.path.glob("chunk-*.mp4"))) >= 2 and bool(drawing(processes)))
            first = min(folder.path.glob("chunk-*.mp4"))
            written_ns = first.stat().st_mtime_ns
            drawing(processes)[0].kill()
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


def test_a_lost_node_changes_no_byte_and_a_chunk_takes_its_share_of_a_gpu(tmp_path: Path, avatar_folder: Path) -> None:
    """Ray counts GPUs as it is told to, so nodes may have some that are not there."""
    from ray.cluster_utils import Cluster

    alone = film_of(tmp_path / "alone", avatar_folder, "local")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "num_gpus": 0})
    nodes = [cluster.add_node(num_cpus=4, num_gpus=1) for _ in range(2)]
    place = tmp_path / "ray"
    submit(place, avatar_folder)
    store, folder, together = JobStore(place), JobFolder(place, "job"), [0]

    def is_past(chunks: int) -> bool:
        together.append(len(drawing(psutil.Process(1))))  # Ray's daemons are nobody's children
        return len(list(folder.path.glob("chunk-*.mp4"))) >= chunks

    worker = start_worker(place, backend="ray", ray_address=cluster.address, ray_gpus=0.5)
    try:
        until(lambda: is_past(2))
        cluster.remove_node(nodes[0], allow_graceful=False)
        until(lambda: is_past(0) and (job := store.get("job")) is not None and job.state.is_final)
    finally:
        worker.terminate()
        worker.wait(30)
        cluster.shutdown()
    job = store.get("job")
    assert job is not None
    assert job.state is JobState.DONE, job.error
    assert folder.result.read_bytes() == alone
    assert 1 <= max(together) <= 4, "eight processors, but two GPUs for two chunks each"
