import json
from pathlib import Path

import numpy as np
import pytest

from models.avatar import MATTE, load_avatar, load_matte
from models.avatar_writer import save_avatar
from models.errors import AvatarError
from models.studio.stage import Stage
from tests.unit.studio.test_studio_avatar import BOXES, FACTS, MASK, loop


def mattes(size: int = 64) -> list[np.ndarray]:
    """A disc on nothing, drifting; soft at its rim."""
    y, x = np.mgrid[:size, :size]
    return [np.clip((22 - np.hypot(x - 30 - shift, y - 32)) * 80 + 128, 0, 255).astype(np.uint8) for shift in (0, 2, 4)]


def test_the_matte_is_figure_and_nothing_else(anyone: Stage) -> None:
    matte = anyone.matte(0)
    assert matte.shape == (512, 512)
    assert not matte[:40, :40].any()
    assert not matte[:40, -40:].any()
    assert not matte[0].any()
    assert (matte[230:400, 200:312] == 255).all()
    assert (matte[-1, 60:450] == 255).all()
    assert ((matte > 0) & (matte < 255)).sum() > 300


def test_the_matte_follows_the_head(stage: Stage) -> None:
    first, later = stage.matte(0).astype(int), stage.matte(60).astype(int)
    assert np.abs(later - first).mean() > 0.2
    assert np.array_equal(stage.matte(250), stage.matte(0))


def test_a_matte_is_kept_in_full_range(tmp_path: Path) -> None:
    avatar = save_avatar(tmp_path / "mia", loop(), BOXES, MASK, mattes=mattes(), **FACTS)
    read = load_matte(tmp_path / "mia")
    assert read.shape == (3, 64, 64)
    assert read.dtype == np.uint8
    drawn = np.stack(mattes()).astype(int)
    assert np.abs(read.astype(int) - drawn).mean() < 2
    assert read[drawn == 0].mean() < 2
    assert read[drawn == 255].mean() > 253
    assert MATTE in json.loads((tmp_path / "mia" / "avatar.json").read_text())["sha256"]
    assert not any(isinstance(value, np.ndarray) and value.shape == read.shape for value in vars(avatar).values())


def test_an_avatar_without_a_matte_says_so(tmp_path: Path) -> None:
    save_avatar(tmp_path / "mia", loop(), BOXES, MASK, **FACTS)
    assert len(load_avatar(tmp_path / "mia")) == 3
    with pytest.raises(AvatarError, match=r"has no matte\.mp4; build it again"):
        load_matte(tmp_path / "mia")


def test_a_damaged_or_short_matte_is_refused(tmp_path: Path) -> None:
    save_avatar(tmp_path / "mia", loop(), BOXES, MASK, mattes=mattes(), **FACTS)
    with pytest.raises(AvatarError, match="matte does not fit"):
        save_avatar(tmp_path / "mia", loop(), BOXES, MASK, mattes=mattes()[:2], **FACTS)
    path = tmp_path / "mia" / MATTE
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(bytes(damaged))
    with pytest.raises(AvatarError, match=r"matte\.mp4 is missing or damaged"):
        load_matte(tmp_path / "mia")
