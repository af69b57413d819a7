"""Downloads through the real client, from a hub on loopback; it reads its endpoint once, hence the processes."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fakes.hub import Hub, serving

FETCH = """
import sys
from pathlib import Path
from models.errors import VisavisError
from models.hub import HubFile, download
try:
    got = download(HubFile(sys.argv[1], sys.argv[2]), Path(sys.argv[3]))
    print(got.path, got.sha256)
except VisavisError as error:
    sys.exit(str(error))
"""
BIG = os.urandom(1 << 20) * 25
CHUNK = 10 << 20
"""The client writes what arrives in pieces of this size."""


@pytest.fixture
def hub() -> Iterator[Hub]:
    with serving({"o/n/deep/big.pth": BIG, "o/n/small.txt": b"small"}) as hub:
        yield hub


def start(hub: Hub, tmp_path: Path, path: str, code: str = FETCH) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, "o/n", path, str(tmp_path / "store")]
    environment = hub.environment(tmp_path / "home")
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def fetch(hub: Hub, tmp_path: Path, path: str) -> tuple[Path, str]:
    process = start(hub, tmp_path, path)
    out, progress = process.communicate(timeout=60)
    assert process.returncode == 0, progress
    assert path.rsplit("/", 1)[-1] in progress
    name, sha256 = out.split()
    return Path(name), sha256


def test_a_killed_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.stop_after, hub.hangs = CHUNK + (1 << 20), True
    process = start(hub, tmp_path, "deep/big.pth")
    deadline = time.monotonic() + 30
    while not any(part.stat().st_size for part in (tmp_path / "store").glob("*/big.pth")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    # The kill may have fallen into the middle of a write.
    (kept,) = (part.stat().st_size for part in (tmp_path / "store").glob("*/big.pth"))
    hub.hangs = False
    path, sha256 = fetch(hub, tmp_path, "deep/big.pth")
    assert hub.ranges == ["", f"bytes={kept}-"]
    assert path.read_bytes() == BIG
    assert len(sha256) == 64


def test_a_dropped_connection_is_taken_up_again(hub: Hub, tmp_path: Path) -> None:
    hub.stop_after = CHUNK + 5000
    path, _ = fetch(hub, tmp_path, "deep/big.pth")
    assert path.read_bytes() == BIG
    assert hub.ranges[1].startswith("bytes=")


def test_a_file_that_changed_meanwhile_begins_anew(hub: Hub, tmp_path: Path) -> None:
    first, _ = fetch(hub, tmp_path, "small.txt")
    hub.files["o/n/small.txt"] = b"other"
    second, _ = fetch(hub, tmp_path, "small.txt")
    assert second.read_bytes() == b"other"
    assert not first.exists()


def test_what_the_hubs_cache_holds_is_not_fetched_again(hub: Hub, tmp_path: Path) -> None:
    cache = "import sys, huggingface_hub as h; h.hf_hub_download(sys.argv[1], sys.argv[2])"
    process = start(hub, tmp_path, "small.txt", cache)
    assert process.communicate(timeout=60)[1] is not None
    assert process.returncode == 0
    del hub.files["o/n/small.txt"]
    process = start(hub, tmp_path, "small.txt")
    out, _ = process.communicate(timeout=60)
    assert Path(out.split()[0]).read_bytes() == b"small"


def test_what_cannot_be_had_is_said_in_a_sentence(hub: Hub, tmp_path: Path) -> None:
    missing = start(hub, tmp_path, "none.pth")
    environment = hub.environment(tmp_path / "home") | {"HF_ENDPOINT": "http://127.0.0.1:9"}
    command = [sys.executable, "-c", FETCH, "o/n", "small.txt", str(tmp_path / "store")]
    unreachable = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    _, said = missing.communicate(timeout=60)
    for text in (said, unreachable.stderr):
        assert text.count("\n") == 1
        assert "could not be fetched" in text
        assert "--from FILE" in text
    assert "o/n/none.pth" in said
    assert not list((tmp_path / "store").glob("**/*.*"))
