"""A model hub on loopback, as far as fetching a file goes: redirect-free, with ranges, and bad days to order."""

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0" * 39 + "1"
_BLOCK_BYTES = 1 << 20


class Hub(ThreadingHTTPServer):
    """Serves ``files``, "owner/name/path" -> contents."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files = files
        self.ranges: list[str] = []
        """The Range header of each download asked for, "" where there is none."""
        self.stop_after: int | None = None
        """Bytes after which the next download stops; None sends all."""
        self.hangs = False
        """Whether a download that stops keeps its connection, or drops it."""
        self.says_etag: str | None = None
        """What is said of every file's sha256, instead of the truth."""

    def environment(self, home: Path) -> dict[str, str]:
        """Environment of a process that takes this for its hub and keeps everything in ``home``."""
        endpoint = f"http://127.0.0.1:{self.server_address[1]}"
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "VISAVIS_"))}
        return kept | {"HF_ENDPOINT": endpoint, "HF_HOME": str(home), "NO_PROXY": "127.0.0.1", "TQDM_POSITION": "-1"}


@contextmanager
def serving(files: dict[str, bytes]) -> Iterator[Hub]:
    hub = Hub(files)
    thread = threading.Thread(target=hub.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield hub
    finally:
        hub.shutdown()
        hub.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._head()

    def do_GET(self) -> None:
        hub = self.server
        hub.ranges.append(self.headers.get("Range", ""))
        first = int(hub.ranges[-1].removeprefix("bytes=").removesuffix("-") or 0)
        contents = self._head(first)
        if contents is None:
            hub.ranges.pop()
            return
        end, hub.stop_after = hub.stop_after, None
        stops = end is not None
        for at in range(first, len(contents) if end is None else end, _BLOCK_BYTES):
            self.wfile.write(contents[at : min(at + _BLOCK_BYTES, len(contents) if end is None else end)])
        if stops:
            self.wfile.flush()
            deadline = time.monotonic() + 30
            while hub.hangs and time.monotonic() < deadline:
                time.sleep(0.02)
            self.close_connection = True

    def _head(self, first: int = 0) -> bytes | None:
        """Send the head of an answer; returns what its body is cut from, or None if there is no such file."""
        owner, name, *rest = self.path.strip("/").split("/")
        known = rest[:2] in (["resolve", "main"], ["resolve", COMMIT])
        contents = self.server.files.get("/".join((owner, name, *rest[2:]))) if known else None
        if contents is None:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        self.send_response(206 if first else 200)
        if first:
            self.send_header("Content-Range", f"bytes {first}-{len(contents) - 1}/{len(contents)}")
        self.send_header("Content-Length", str(len(contents) - first))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", f'"{self.server.says_etag or hashlib.sha256(contents).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        return contents

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""
