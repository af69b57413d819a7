"""Jobs against SIGKILL: a real server and its workers die together, again and again, and nothing may be lost.

    python -m tests.bench.job_kills

Twenty jobs of the shipped wav2lip engine are sent, the server's whole process group is killed ten times at random and
started anew. Every film must come, equal byte for byte to one drawn in peace, and no stored chunk may be drawn again.
Takes some minutes; the exit code is 1 where a bar is missed.
"""

import argparse
import asyncio
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import aiohttp

from server.config import Settings, load_settings
from server.jobs.folder import JobFolder
from server.jobs.store import JobState, JobStore
from server.jobs.submission import check_sound, copy_avatar
from server.jobs.worker import Worker
from server.paths import AVATARS
from tests.unit.jobs.speech import write_speech

ROOT = Path(__file__).parents[2]
_CHUNK_FRAMES = 8
_PATIENCE_S = 1200.0


class Server:
    """``visavis serve`` in a process group of its own."""

    def __init__(self, place: Path, log: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._place, self._log = place, log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        chosen = {
            "http.port": self.port,
            "jobs.folder": self._place,
            "jobs.chunk_frames": _CHUNK_FRAMES,
            "jobs.lease_s": 2,
            "jobs.workers": 2,
            "jobs.max_waiting": 1000,
            "jobs.max_attempts": 100,
            "engine.name": "probe",  # of live sessions: the jobs name theirs, and the server starts sooner
            "engine.threads": 1,
            "engine.runtime": "eager",
        }
        options = [part for key, value in chosen.items() for part in ("--set", f"{key}={value}")]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "server.cli", "serve", *options],
                cwd=ROOT, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self) -> None:
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def reference(settings: Settings, sound: Path, name: str) -> bytes:
    """A film drawn in peace, in this process."""
    folder = JobFolder(settings.jobs.place, name)
    folder.path.mkdir(parents=True)
    folder.sound.write_bytes(sound.read_bytes())
    copy_avatar(AVATARS / "ada", folder)
    store = JobStore(settings.jobs.place)
    store.submit(name, "wav2lip", "ada", check_sound(folder.sound, 600), _CHUNK_FRAMES, 1000)
    Worker(settings, threading.Event()).run(idle_s=0.0)
    return folder.result.read_bytes()


async def send(port: int, sounds: list[Path]) -> list[str]:
    """Queue a job for each sound; the server may still be starting."""
    ids = []
    async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as http:
        for sound in sounds:
            for _ in range(600):
                form = aiohttp.FormData(default_to_multipart=True)
                form.add_field("sound", sound.read_bytes(), filename=sound.name)
                form.add_field("avatar", "ada")
                form.add_field("engine", "wav2lip")
                try:
                    async with http.post("/jobs", data=form) as response:
                        assert response.status == 201, await response.text()
                        ids.append((await response.json())["id"])
                        break
                except aiohttp.ClientConnectionError:
                    await asyncio.sleep(0.2)
    return ids


def chunks(place: Path, ids: list[str]) -> dict[tuple[str, str], tuple[int, int]]:
    """Inode and time of every stored chunk."""
    found = {}
    for job_id in ids:
        for path in (place / job_id).glob("chunk-*.mp4"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found[job_id, path.name] = (status.st_ino, status.st_mtime_ns)
    return found


def main() -> int:
    """Run and print; 0 where every bar holds."""
    parser = argparse.ArgumentParser(description="Kill a server again and again while it renders jobs.")
    parser.add_argument("--jobs", type=int, default=20)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each job's sound, at least (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the sounds and of when it is killed (%(default)s)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    with tempfile.TemporaryDirectory(prefix="visavis-kills-") as name:
        return _run(Path(name), options.jobs, options.kills, options.seconds, rng)


def _run(home: Path, count: int, kills: int, seconds: float, rng: random.Random) -> int:
    begun_s = time.monotonic()
    sounds = [write_speech(home / f"{n}.wav", seconds + rng.random(), seed=n) for n in range(count)]
    calm = load_settings(
        overrides={
            "jobs": {"folder": home / "calm", "chunk_frames": _CHUNK_FRAMES},
            "engine": {"threads": 1, "runtime": "eager"},
        }
    )
    expected = [reference(calm, sound, f"calm{n}") for n, sound in enumerate(sounds)]
    print(f"{count} films drawn in peace after {time.monotonic() - begun_s:.0f} s", flush=True)
    place, log = home / "jobs", home / "log"
    server, store = Server(place, log), JobStore(place)
    server.start()
    again, seen = 0, {}  # type: int, dict[tuple[str, str], tuple[int, int]]
    try:
        ids = asyncio.run(send(server.port, sounds))
        done_kills = 0
        while True:
            # Somewhere after the next chunk that is stored: a server that is killed while it starts proves little.
            aim, wait_s = len(seen) + 1, rng.uniform(0.0, 2.0)
            until_s = time.monotonic() + _PATIENCE_S
            while time.monotonic() < until_s and not _are_final(store, ids):
                again += _take_in(seen, chunks(place, ids))
                if done_kills < kills and len(seen) >= aim:
                    break
                time.sleep(0.02)
            if _are_final(store, ids) or time.monotonic() >= until_s:
                break
            time.sleep(wait_s)
            server.kill()
            done_kills += 1
            again += _take_in(seen, chunks(place, ids))
            print(f"killed {done_kills} times, {len(seen)} chunks stored", flush=True)
            server.start()
    finally:
        server.kill()
    jobs = [store.get(job_id) for job_id in ids]
    finished = sum(job is not None and job.state is JobState.DONE for job in jobs)
    results = [JobFolder(place, job_id).result for job_id in ids]
    equal = sum(path.is_file() and path.read_bytes() == film for path, film in zip(results, expected, strict=True))
    told = Counter(re.findall(r"Job (\w+): frames (\d+) to \d+ are stored", log.read_text(encoding="utf-8")))
    again += sum(times - 1 for times in told.values())
    left = len(list(place.glob("*/.*")))
    print(
        f"{count} jobs, killed {done_kills} times: {finished} done, {equal} equal byte for byte, chunks stored again: "
        f"{again}, half-written files left: {left}; {time.monotonic() - begun_s:.0f} s, "
        f"load average {os.getloadavg()[0]:.1f}"
    )
    return 0 if finished == equal == count and done_kills == kills and not again and not left else 1


def _are_final(store: JobStore, ids: list[str]) -> bool:
    return all((job := store.get(job_id)) is not None and job.state.is_final for job_id in ids)


def _take_in(seen: dict[tuple[str, str], tuple[int, int]], found: dict[tuple[str, str], tuple[int, int]]) -> int:
    """Add what is new; returns how many chunks were stored a second time."""
    return sum(seen.setdefault(key, value) != value for key, value in found.items())


if __name__ == "__main__":
    sys.exit(main())
