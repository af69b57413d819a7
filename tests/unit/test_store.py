"""Pulled checkpoints: recorded, enforced, refused, found."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from models.checkpoints import CHECKPOINTS, Checkpoint
from models.errors import CheckpointError
from models.liveportrait.files import FILES
from models.registry import load_engine, weights_files
from models.store import RECORDS, Store, located, sha256_of
from tests.unit.wav2lip.checkpoints import DISCRIMINATOR, light

UNKNOWN = CHECKPOINTS["wav2lip-disc"]
"""One whose sha256 is not known beforehand."""
KNOWN = CHECKPOINTS["wav2lip-gan"]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "store"))
    return Store()


def pull(store: Store, path: Path, checkpoint: Checkpoint = UNKNOWN, replace_it: bool = False) -> list[str]:
    told: list[str] = []
    store.pull(checkpoint, checkpoint.files[0], told.append, path, replace_it)
    return told


def saved(path: Path, **more: torch.Tensor) -> Path:
    torch.save(light(DISCRIMINATOR) | more, path)
    return path


def names(store: Store) -> set[str]:
    return {str(path.relative_to(store.folder)) for path in store.folder.rglob("*") if path.is_file()}


def test_the_first_pull_is_recorded_and_enforced(store: Store, tmp_path: Path) -> None:
    first, file = saved(tmp_path / "a.pth"), UNKNOWN.files[0]
    told = pull(store, first)
    assert "recorded" in told[0]
    assert sha256_of(first) in told[1]
    assert store.holds(UNKNOWN)
    assert store.verify(UNKNOWN, file) == "quality discriminator"
    record = json.loads((store.folder / RECORDS).read_text())["wav2lip-disc/visual_quality_disc.pth"]
    assert record == {"sha256": sha256_of(first), "bytes": first.stat().st_size, "source": "a local file"}

    other = tmp_path / "b.pth"
    torch.save({"state_dict": light(DISCRIMINATOR)}, other)
    with pytest.raises(CheckpointError, match="not the file pulled first.*--replace"):
        pull(store, other)
    assert sha256_of(store.path(UNKNOWN, file)) == sha256_of(first)
    pull(store, other, replace_it=True)
    assert sha256_of(store.path(UNKNOWN, file)) == sha256_of(other)
    assert store.verify(UNKNOWN, file)
    assert names(store) == {RECORDS, "wav2lip-disc/visual_quality_disc.pth"}


def test_what_is_refused_leaves_all_as_it_was(store: Store, tmp_path: Path) -> None:
    broken = tmp_path / "broken.pth"
    broken.write_bytes(saved(tmp_path / "a.pth").read_bytes()[:-2000])
    with pytest.raises(CheckpointError, match=r"broken\.pth is damaged"):
        pull(store, broken)
    assert names(store) == set()
    pull(store, tmp_path / "a.pth")
    before = names(store), (store.folder / RECORDS).read_text()
    with pytest.raises(CheckpointError, match=r"broken\.pth is damaged"):
        pull(store, broken, replace_it=True)
    with pytest.raises(CheckpointError, match="no file"):
        pull(store, tmp_path / "none.pth")
    assert (names(store), (store.folder / RECORDS).read_text()) == before


def test_changes_on_disk_are_noticed(store: Store, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="was not pulled"):
        store.verify(UNKNOWN, UNKNOWN.files[0])
    pull(store, saved(tmp_path / "a.pth"))
    path = store.path(UNKNOWN, UNKNOWN.files[0])
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)
    with pytest.raises(CheckpointError, match="has changed since"):
        store.verify(UNKNOWN, UNKNOWN.files[0])
    (store.folder / RECORDS).write_text("{")
    with pytest.raises(CheckpointError, match="checksums.json is damaged"):
        store.verify(UNKNOWN, UNKNOWN.files[0])


def test_a_local_file_that_is_not_the_published_one_is_taken_as_the_users_own(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "mine.pth"
    torch.save(light(), path)
    told = pull(store, path, KNOWN)
    assert "not the published file" in told[0]
    assert store.verify(KNOWN, KNOWN.files[0]) == "generator"


def test_weights_are_found_by_name(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert located(None) is None
    assert located(tmp_path) == tmp_path
    assert located(Path("some.safetensors")) == Path("some.safetensors")
    with pytest.raises(CheckpointError, match="models pull wav2lip-gan --accept-licence"):
        load_engine("wav2lip", Path("wav2lip-gan"))
    path = tmp_path / "w.pth"
    torch.save(light(), path)
    pull(store, path, KNOWN)
    assert located(Path("wav2lip-gan")) == store.folder / "wav2lip-gan" / "wav2lip_gan.pth"
    store.converted(KNOWN).touch()
    assert located(Path("wav2lip-gan")) == store.folder / "wav2lip-gan" / "wav2lip_gan.safetensors"
    pull(store, path, KNOWN, replace_it=True)
    assert not store.converted(KNOWN).exists(), "it was made of the file before"

    several = replace(UNKNOWN, name="several", files=(UNKNOWN.files[0], replace(UNKNOWN.files[0], name="b.pth")))
    monkeypatch.setitem(CHECKPOINTS, "several", several)
    for file in several.files:
        store.pull(several, file, lambda _text: None, saved(tmp_path / file.name))
    assert located(Path("several")) == store.folder / "several"


def test_the_table_is_sound() -> None:
    for name, checkpoint in CHECKPOINTS.items():
        assert name == checkpoint.name
        assert checkpoint.licence.terms
        for file in checkpoint.files:
            assert file.sha256 is None or (len(file.sha256) == 64 and int(file.sha256, 16))
            assert all(source.repo.count("/") == 1 for source in file.sources)


def test_an_engines_weights_are_files_of_its_kind(tmp_path: Path) -> None:
    (shipped,) = weights_files("wav2lip")
    assert shipped.stat().st_size > 1_000_000
    assert weights_files("probe") == ()
    for name in (*(f"{stem}.pth" for stem in FILES), "notes.txt"):
        (tmp_path / name).write_bytes(b"")
    assert sorted(path.stem for path in weights_files("liveportrait", tmp_path)) == sorted(FILES)
    with pytest.raises(CheckpointError, match=f"a folder of five files, and {shipped.name} is none"):
        weights_files("liveportrait", shipped)
    with pytest.raises(CheckpointError, match=f"takes a file of weights, and {tmp_path.name} is none"):
        weights_files("wav2lip", tmp_path)
