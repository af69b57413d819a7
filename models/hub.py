"""Files from a model hub, resumed where a download stopped.

``huggingface_hub`` knows the endpoint (HF_ENDPOINT), the token and the cache (HF_HOME); only the choice of where
the bytes go is ours, since its own download begins anew after a kill.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.errors import CheckpointError

_SHA256_DIGITS = 64


class DownloadError(CheckpointError):
    """A hub cannot be reached or does not give a file."""


@dataclass(frozen=True)
class HubFile:
    """One file of a hub's repository."""

    repo: str
    """owner/name."""
    path: str
    """Inside the repository."""
    revision: str = "main"

    def __str__(self) -> str:
        return f"{self.repo}/{self.path}"


@dataclass(frozen=True)
class Download:
    """A whole file, not yet checked."""

    path: Path
    sha256: str | None
    """What the hub says it should be; None where it does not say."""


def download(wanted: HubFile, folder: Path) -> Download:
    """Fetch a file into a folder of its version in ``folder``, from where an earlier try stopped, with a progress bar.

    The caller checks the file and moves it to its place.

    Raises:
        DownloadError: the hub cannot be reached, has no such file, or the disk is too full.
    """
    import huggingface_hub
    from huggingface_hub.file_download import http_get

    cached = huggingface_hub.try_to_load_from_cache(wanted.repo, wanted.path, revision=wanted.revision)
    if isinstance(cached, str):
        return Download(copied(Path(cached), folder), None)
    url = huggingface_hub.hf_hub_url(wanted.repo, wanted.path, revision=wanted.revision)
    # Lengths and ranges count the file's own bytes.
    headers = {"Accept-Encoding": "identity"}
    if token := huggingface_hub.get_token():
        headers["Authorization"] = f"Bearer {token}"
    try:
        facts = huggingface_hub.get_hf_file_metadata(url)
        etag = facts.etag or "unversioned"
        part = folder / etag[:12] / PurePosixPath(wanted.path).name
        _make_room(part, facts.size, wanted)
        with part.open("ab") as file:
            http_get(
                url,
                file,
                resume_size=file.tell(),
                headers=headers,
                expected_size=facts.size,
                displayed_filename=part.name,
            )
    except DownloadError:
        raise
    except Exception as error:  # each of its HTTP libraries, so far three, has errors of its own
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        raise DownloadError(
            f"{wanted} could not be fetched ({reason}); what has arrived is kept, so try again, or fetch it by other "
            "means and give it with --from FILE."
        ) from error
    return Download(part, etag if len(etag) == _SHA256_DIGITS else None)


def copied(source: Path, folder: Path) -> Path:
    """A copy of a file in a folder in ``folder``.

    Raises:
        DownloadError: it cannot be read, or the disk is too full.
    """
    part = folder / "copy" / source.name
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise DownloadError(f"{source} cannot be copied to {folder} ({error.strerror}); check the path.") from error
    return part


def _make_room(part: Path, size_bytes: int | None, wanted: HubFile) -> None:
    """Drop parts of other versions, and a part too long to be one of this; check the disk."""
    part.parent.mkdir(parents=True, exist_ok=True)
    for other in part.parents[1].glob(f"*/{part.name}"):
        if other != part or (size_bytes is not None and other.stat().st_size > size_bytes):
            other.unlink()
    missing = (size_bytes or 0) - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(part.parent).free
    if missing > free:
        raise DownloadError(
            f"{wanted} needs {missing / 1e6:.0f} MB more, and {part.parent} has {free / 1e6:.0f} MB free; make room, "
            "or name another folder in VISAVIS_MODELS."
        )
