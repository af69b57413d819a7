"""A server in a process of its own, and ``visavis loadtest`` beside it."""

import contextlib
import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
HOST = "127.0.0.1"
HEADINGS = "fps mean   p5  delay p95  server CPU   (of the worst session; ms; cores)"
_PATIENCE_S = 120.0


@dataclass(frozen=True)
class Load:
    """What to ask of a server."""

    engine: str
    sessions: int
    seconds: float
    audio: Path
    pause_s: float = 0.0


@contextlib.contextmanager
def served(arguments: Sequence[str]) -> Iterator[str]:
    """The address of a ready server: Python with these arguments, and a port after them."""
    with socket.create_server((HOST, 0)) as free:
        port = int(free.getsockname()[1])
    process = subprocess.Popen(
        [sys.executable, *arguments, str(port)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    url = f"http://{HOST}:{port}"
    try:
        end_s = time.monotonic() + _PATIENCE_S
        while not _is_ready(url):
            if time.monotonic() > end_s or process.poll() is not None:
                raise RuntimeError(f"The server did not become ready; run it to see why: {' '.join(arguments)} {port}")
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait()


def _is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=5) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False


def load(url: str, asked: Load, report: Path) -> dict[str, Any]:
    """What ``visavis loadtest`` reports, and leaves in the file ``report``."""
    command = [sys.executable, "-m", "server.cli", "loadtest", "--url", url, "--engine", asked.engine]
    command += ["--audio", str(asked.audio), "--sessions", str(asked.sessions), "--seconds", str(asked.seconds)]
    command += ["--pause-s", str(asked.pause_s), "--json", str(report)]
    subprocess.run(command, cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    figures: dict[str, Any] = json.loads(report.read_text(encoding="utf-8"))
    return figures


def row(report: dict[str, Any]) -> str:
    """A report under ``HEADINGS``."""
    worst = report["summary"]
    return (
        f"{worst['fps_mean']:8.1f}  {worst['fps_p5']:3.0f}  {worst['delay_ms_p95'] or 0:9.0f}  "
        f"{report['server_cpu_cores']:10}"
    )
