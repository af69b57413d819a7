import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from models.avatar import load_avatar
from models.avatar_writer import save_avatar
from models.errors import AvatarError
from models.studio.avatar_builder import AVATARS
from models.studio.stage import Stage

BOXES = np.array([[8, 8, 40, 40]] * 3, np.int32)
MASK = np.full((32, 32), 200, np.uint8)
FACTS = {"title": "Test", "licence": "CC0-1.0", "source": "drawn here", "fps": 25}


def loop() -> list[np.ndarray]:
    ramp = np.linspace(40, 200, 64).astype(np.uint8)
    plain = np.stack([np.tile(ramp, (64, 1)), np.tile(ramp[:, None], (1, 64)), np.full((64, 64), 90)], -1)
    return [np.roll(plain, shift, 1).astype(np.uint8) for shift in (0, 4, 8)]


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    avatar = save_avatar(tmp_path / "mia", loop(), BOXES, MASK, **FACTS)
    again = load_avatar(tmp_path / "mia")
    assert (again.name, again.title, again.fps, len(again)) == ("mia", "Test", 25, 3)
    assert np.array_equal(again.frames_i420, avatar.frames_i420)
    assert np.array_equal(again.boxes, BOXES)
    assert np.array_equal(again.mask, MASK)
    inner = slice(16, 48)
    for index, frame in enumerate(loop()):
        assert np.abs(again.frame_rgb(index)[inner, inner].astype(int) - frame[inner, inner]).mean() < 4
    assert [path.name for path in tmp_path.iterdir()] == ["mia"]


@pytest.mark.parametrize("name", ["idle.mp4", "mask.png", "portrait.jpg"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    shutil.copytree(AVATARS / "ada", tmp_path / "ada")
    damaged = bytearray((tmp_path / "ada" / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "ada" / name).write_bytes(bytes(damaged))
    with pytest.raises(AvatarError, match=name):
        load_avatar(tmp_path / "ada")


def test_a_failed_write_leaves_the_old_avatar(tmp_path: Path) -> None:
    save_avatar(tmp_path / "mia", loop(), BOXES, MASK, **FACTS)

    def breaking() -> Iterator[np.ndarray]:
        yield loop()[0]
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        save_avatar(tmp_path / "mia", breaking(), BOXES, MASK, **FACTS)
    with pytest.raises(AvatarError, match="boxes"):
        save_avatar(tmp_path / "mia", loop()[:2], BOXES, MASK, **FACTS)
    assert len(load_avatar(tmp_path / "mia")) == 3
    assert [path.name for path in tmp_path.iterdir()] == ["mia"]


@pytest.mark.parametrize("name", sorted(path.name for path in AVATARS.iterdir()))
def test_shipped_avatars_fit_their_contract(name: str) -> None:
    avatar = load_avatar(AVATARS / name)
    assert (len(avatar), avatar.fps, avatar.width, avatar.height) == (250, 25, 512, 512)
    assert avatar.licence == "CC0-1.0"
    assert "MakeHuman" in avatar.source
    assert sum(path.stat().st_size for path in (AVATARS / name).iterdir()) < 3_000_000
    luma = avatar.frames_i420[:, :512].astype(np.int16)
    change = np.abs(np.diff(np.concatenate([luma, luma[:1]]), axis=0)).mean((1, 2))
    assert change[-1] <= change.max()
    assert change.max() < 2.0  # a blink of large eyes


def test_ada_is_what_the_stage_draws(stage: Stage) -> None:
    avatar = load_avatar(AVATARS / "ada")
    assert np.array_equal(avatar.boxes, stage.boxes)
    assert np.array_equal(avatar.mask, stage.blend_mask())
    for frame in (0, 34, 125):
        assert np.abs(avatar.crop_rgb(frame).astype(int) - stage.idle_crop(frame)).mean() < 2.0
