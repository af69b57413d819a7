"""The weights a job began with: written into its folder, so that no other ones go on with it.

A job that is resumed after an upgrade of the weights would show another face from some chunk on.
"""

from collections.abc import Iterable
from pathlib import Path

from models.errors import CheckpointError
from models.store import sha256_of
from server.jobs.folder import JobFolder


class WeightsReader:
    """Reads what files of weights are; each once, as long as it stays as it is."""

    def __init__(self) -> None:
        self._known: dict[Path, tuple[tuple[int, int], str]] = {}

    def fingerprint(self, files: Iterable[Path]) -> str:
        """A line a file: its sha256 and its name. Blocks, about a second a gigabyte.

        Raises:
            CheckpointError: one cannot be read.
        """
        return "".join(f"{self._sha256(path)}  {path.name}\n" for path in files)

    def _sha256(self, path: Path) -> str:
        try:
            status = path.stat()
            stamp = status.st_size, status.st_mtime_ns
            if path not in self._known or self._known[path][0] != stamp:
                self._known[path] = stamp, sha256_of(path)
        except OSError as error:
            raise CheckpointError(f"The weights {path.name} cannot be read ({error.strerror}); check them.") from error
        return self._known[path][1]


def hold(folder: JobFolder, fingerprint: str, token: str) -> None:
    """Begin a job with these weights, or make sure that it began with them.

    Raises:
        CheckpointError: chunks were drawn with others.
    """
    try:
        before = folder.weights.read_text(encoding="utf-8")
    except FileNotFoundError:
        before = None
    if before == fingerprint:
        return
    if before is not None and folder.has_chunks():
        changed = sorted({line.split()[1] for line in set(before.splitlines()) ^ set(fingerprint.splitlines())})
        raise CheckpointError(
            f"The weights have changed since the job began ({', '.join(changed)}), and its film would change with "
            "them; send the job again."
        )
    with folder.aside(folder.weights, token) as part:
        part.write_text(fingerprint, encoding="utf-8")
