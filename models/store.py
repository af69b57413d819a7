"""The checkpoints on this machine: a folder a name, and ``checksums.json`` beside them.

The folder is VISAVIS_MODELS, or else ``huggingface_hub``'s for files of other programs (HF_HOME, HF_ASSETS_CACHE).
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.aside import written_aside
from models.checkpoints import CHECKPOINTS, Checkpoint, PublishedFile
from models.errors import CheckpointError
from models.hub import Download, DownloadError, HubFile, copied, download

RECORDS = "checksums.json"
CONVERTED = ".safetensors"
_PARTS = ".parts"
"""Folder of files that are not whole or not checked yet."""
_BLOCK_BYTES = 1 << 20

Say = Callable[[str], None]


@dataclass(frozen=True)
class Record:
    """What is known of a pulled file."""

    sha256: str
    bytes: int
    source: str


def sha256_of(path: Path) -> str:
    """A file's sha256, as 64 hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Store:
    """Pulls, checks and finds checkpoints; ``folder`` None takes the machine's own."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or _default_folder()

    def path(self, checkpoint: Checkpoint, file: PublishedFile) -> Path:
        """Where a file of a checkpoint is, once pulled."""
        return self.folder / checkpoint.name / file.name

    def converted(self, checkpoint: Checkpoint) -> Path:
        """Where a checkpoint of one file is, once converted."""
        return self.path(checkpoint, checkpoint.files[0]).with_suffix(CONVERTED)

    def holds(self, checkpoint: Checkpoint) -> bool:
        """Whether all its files are here."""
        return all(self.path(checkpoint, file).is_file() for file in checkpoint.files)

    def record(self, checkpoint: Checkpoint, file: PublishedFile) -> Record | None:
        """What was recorded of a file when it was pulled.

        Raises:
            CheckpointError: the records are damaged.
        """
        entry = self._records().get(_key(checkpoint, file))
        return Record(**entry) if entry else None

    def pull(
        self,
        checkpoint: Checkpoint,
        file: PublishedFile,
        say: Say,
        origin: Path | HubFile | None = None,
        replace: bool = False,
    ) -> Path:
        """Bring a file here, unless it is; it is checked before it takes its name.

        Args:
            checkpoint: whose file.
            file: which of its files.
            say: told what happens, a sentence at a time.
            origin: a local file, or another repository's; None takes the published sources.
            replace: whether another file than the one pulled first may take its place.

        Raises:
            CheckpointError: it cannot be fetched, or is not what it should be; nothing of it is kept.
        """
        target = self.path(checkpoint, file)
        if origin is None and not replace and target.is_file():
            self.verify(checkpoint, file)
            say(f"{target} is here already, and whole.")
            return target
        parts = target.parent / _PARTS
        arrived, source = self._fetch(parts, file, origin, say)
        try:
            first = None if replace else self.record(checkpoint, file)
            digest = _accepted(file, arrived, first, origin is None, say)
            contents = checkpoint.check(arrived.path)
            self._write(_key(checkpoint, file), Record(digest, arrived.path.stat().st_size, source))
            arrived.path.replace(target)
        finally:
            shutil.rmtree(parts, ignore_errors=True)
        if target.suffix != CONVERTED:
            target.with_suffix(CONVERTED).unlink(missing_ok=True)  # it was made of another file
        say(f"{target}: {contents}, sha256 {digest}")
        return target

    def verify(self, checkpoint: Checkpoint, file: PublishedFile) -> str:
        """Read a pulled file whole: its sha256 is the recorded one and its weights fit. Returns what it holds.

        Raises:
            CheckpointError: it is missing, changed or damaged.
        """
        path, record = self.path(checkpoint, file), self.record(checkpoint, file)
        if not path.is_file() or record is None:
            raise CheckpointError(f"{checkpoint.name}: {file.name} was not pulled; {_pull(checkpoint)}.")
        digest = sha256_of(path)
        if digest != record.sha256:
            raise CheckpointError(
                f"{path} has changed since it was pulled: its sha256 is {digest}, recorded is {record.sha256}; delete "
                f"it and {_pull(checkpoint)}."
            )
        return checkpoint.check(path)

    def _fetch(
        self, folder: Path, file: PublishedFile, origin: Path | HubFile | None, say: Say
    ) -> tuple[Download, str]:
        if isinstance(origin, Path):
            if not origin.is_file():
                raise CheckpointError(f"There is no file {origin}; check the path after --from.")
            return Download(copied(origin, folder), None), "a local file"
        sources = [origin] if origin else list(file.sources)
        while sources:
            source = sources.pop(0)
            try:
                return download(source, folder), str(source)
            except DownloadError as error:
                if not sources:
                    raise
                say(f"{error} Trying {sources[0]}.")
        raise CheckpointError(f"No repository is known to hold {file.name}; give it with --from FILE.")

    def _records(self) -> dict[str, Any]:
        path = self.folder / RECORDS
        try:
            records = json.loads(path.read_text(encoding="utf-8"))
            return {key: asdict(Record(**entry)) for key, entry in records.items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise CheckpointError(f"{path} is damaged; delete it and pull again with --replace.") from error

    def _write(self, key: str, record: Record) -> None:
        records = self._records() | {key: asdict(record)}
        with written_aside(self.folder / RECORDS) as aside:
            aside.write_text(json.dumps(records, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def located(weights: Path | None) -> Path | None:
    """Weights as they are named in settings: a path, or a pulled checkpoint's name. None stays None.

    Returns:
        A path; a checkpoint's file, converted where it has been, or its folder where it has several.

    Raises:
        CheckpointError: a checkpoint of that name is known, but not here.
    """
    if weights is None or weights.exists() or str(weights) not in CHECKPOINTS:
        return weights
    checkpoint, store = CHECKPOINTS[str(weights)], Store()
    if not store.holds(checkpoint):
        raise CheckpointError(f"{checkpoint.title}, is not on this machine; {_pull(checkpoint)}.")
    if len(checkpoint.files) > 1:
        return store.folder / checkpoint.name
    converted = store.converted(checkpoint)
    return converted if converted.is_file() else store.path(checkpoint, checkpoint.files[0])


def pulled(name: str) -> Path | None:
    """A checkpoint's weights, as ``located`` gives them; None where they are not on this machine."""
    return located(Path(name)) if Store().holds(CHECKPOINTS[name]) else None


def _accepted(file: PublishedFile, arrived: Download, first: Record | None, published: bool, say: Say) -> str:
    """The sha256 of what arrived, if it may be kept.

    ``first`` is the record of the first pull; ``published`` says that it was to be the published file.
    """
    digest = sha256_of(arrived.path)
    if arrived.sha256 not in (None, digest):
        raise CheckpointError(f"{file.name} was damaged on its way (sha256 {digest}); pull it again.")
    if first is not None and first.sha256 != digest:
        raise CheckpointError(
            f"{file.name} is not the file pulled first: its sha256 is {digest}, recorded is {first.sha256}; "
            "add --replace if you mean another file."
        )
    if published and file.sha256 not in (None, digest):
        raise CheckpointError(
            f"{file.name} is not the published file: its sha256 is {digest}, not {file.sha256}; pull it again, or "
            "give a file you trust with --from FILE."
        )
    if file.sha256 is None:
        say(f"No sha256 of {file.name} is known; this one is recorded, and enforced from now on.")
    elif file.sha256 != digest:
        say(f"{file.name} is not the published file (sha256 {file.sha256}); it is recorded as yours.")
    return digest


def _key(checkpoint: Checkpoint, file: PublishedFile) -> str:
    return f"{checkpoint.name}/{file.name}"


def _pull(checkpoint: Checkpoint) -> str:
    return f"fetch it with: visavis models pull {checkpoint.name} --accept-licence"


def _default_folder() -> Path:
    if named := os.environ.get("VISAVIS_MODELS"):
        return Path(named)
    import huggingface_hub

    return Path(huggingface_hub.cached_assets_path("visavis", namespace="models"))
