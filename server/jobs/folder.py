"""A job's folder: what came in, the chunks stored so far, the result.

::

    <job id>/
      sound              as uploaded
      avatar/<name>/     a copy, so that the job does not change with the avatar; or
      picture            as uploaded, and
      choices.json       what was asked for
      weights            sha256 and name of every file it is drawn with
      chunk-00000.mp4    frames of a chunk; there or not, never half
      result.mp4
      .*.part            what a worker is writing
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from models.avatar import MANIFEST
from models.errors import AvatarError

_PART = ".part"


class JobFolder:
    """Paths of one job."""

    def __init__(self, jobs: Path, job_id: str) -> None:
        self.path = jobs / job_id
        self.sound = self.path / "sound"
        self.avatars = self.path / "avatar"
        self.picture = self.path / "picture"
        self.choices = self.path / "choices.json"
        self.weights = self.path / "weights"
        self.result = self.path / "result.mp4"

    def chunk(self, index: int) -> Path:
        """Where chunk ``index`` is, once it is stored."""
        return self.path / f"chunk-{index:05d}.mp4"

    def only_avatar(self) -> Path:
        """The avatar's folder.

        Raises:
            AvatarError: it is gone.
        """
        found = sorted(self.avatars.glob(f"*/{MANIFEST}"))
        if not found:
            raise AvatarError("The job's avatar is gone from its folder; send the job again.")
        return found[0].parent

    def stored_chunks(self) -> int:
        """How many are stored, counted from the first."""
        count = 0
        while self.chunk(count).is_file():
            count += 1
        return count

    def has_chunks(self) -> bool:
        """Whether any is stored."""
        return any(self.path.glob("chunk-*"))

    @contextmanager
    def aside(self, path: Path, token: str) -> Iterator[Path]:
        """A place to write ``path`` to; at the end it takes its place, or on any error goes away.

        The name is the claim's own: a worker that lost its job writes to no file of its successor.
        """
        part = path.with_name(f".{path.name}.{token}{_PART}")
        try:
            yield part
            with part.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def clear_parts(self) -> None:
        """Remove what workers before left half-written."""
        for part in self.path.glob(f".*{_PART}"):
            part.unlink(missing_ok=True)

    def keep_result(self) -> None:
        """Remove all but the result."""
        for path in self.path.iterdir():
            if path == self.result:
                continue
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.path, ignore_errors=True)
