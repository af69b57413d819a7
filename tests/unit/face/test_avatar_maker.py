import json
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.avatar import Avatar, load_avatar, read_card
from models.errors import AvatarError, MediaError
from models.face import idle
from models.face.avatar_maker import Wish, _looped, _write, make_avatar
from models.face.idle import still_loop, there_and_back
from models.face.pictures import Limits, read_clip
from models.face.track import follow
from tests.unit.face.faces import ada, portrait, talking, write_clip, write_photo

QUIET_FROM = 40


@pytest.fixture(scope="module")
def of_photo(tmp_path_factory: pytest.TempPathFactory) -> Avatar:
    folder = tmp_path_factory.mktemp("photo")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idle, "STILL_FRAMES", 24)
        make_avatar(write_photo(folder / "me.png", portrait()), folder / "me", Wish(licence="CC0-1.0"))
    return load_avatar(folder / "me")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_clip(tmp_path_factory.mktemp("clip") / "talk.mp4", talking(80, QUIET_FROM))


def steps(frames: list[np.ndarray]) -> np.ndarray:
    """Mean difference of each frame to the next one, the first after the last."""
    loop = np.stack([*frames, frames[0]]).astype(np.int16)
    return np.abs(np.diff(loop, axis=0)).mean(axis=(1, 2, 3))


def test_photo_becomes_an_avatar_framed_like_the_shipped_ones(of_photo: Avatar) -> None:
    assert (of_photo.name, of_photo.title, of_photo.licence) == ("me", "Me", "CC0-1.0")
    assert max(of_photo.width, of_photo.height) <= 512
    assert of_photo.width % 2 == of_photo.height % 2 == 0
    x0, y0, x1, y1 = of_photo.boxes[0]
    assert x1 - x0 == y1 - y0 == 288
    factor = of_photo.width / 512
    assert np.abs(of_photo.boxes[0] - ada().boxes[0] * factor).max() < 14
    assert of_photo.mask.shape == (288, 288)


def test_still_moves_a_little_and_without_a_seam(of_photo: Avatar) -> None:
    frames = [of_photo.frame_rgb(index) for index in range(len(of_photo))]
    step = steps(frames)
    assert 0.05 < step.mean() < 4
    assert step.max() < 2.5 * np.median(step)


def test_still_loop_is_whole_and_keeps_its_border() -> None:
    frames = list(still_loop(portrait(), 256, 256, np.array([128.0, 147.0]), 144.0))
    assert len(frames) == idle.STILL_FRAMES
    half = np.abs(frames[0].astype(int) - frames[idle.STILL_FRAMES // 4])
    assert half[120:180, 90:170].mean() > 0.5
    assert half[:3].mean() < 0.3


def test_clip_idles_where_the_mouth_is_at_rest(clip: Path, tmp_path: Path) -> None:
    track = follow(read_clip(clip, Limits()), "talk.mp4", None)
    assert track.seen.all()
    left = 90 + np.round(20 * np.sin(np.arange(80) / 9))
    follows = track.centres[:, 0] - left - 480 / 512 * ada().boxes[:80, [0, 2]].mean(axis=1)
    assert np.abs(follows).max() < 12
    stretch = idle.quietest(track, track.seen)
    assert stretch is not None
    begin, end = stretch
    assert begin >= QUIET_FROM - 1
    avatar = make_avatar(clip, tmp_path / "clip", Wish(title="Clip"))
    assert len(avatar) == 2 * (end - begin)
    assert len(np.unique(avatar.boxes[:, 2] - avatar.boxes[:, 0])) == 1
    step = steps([avatar.frame_rgb(index) for index in range(len(avatar))])
    assert step[-1] < 2 * np.median(step)  # the last frame leads into the first
    assert (tmp_path / "clip" / "preview.jpg").stat().st_size > 10_000
    assert read_card(tmp_path / "clip").title == "Clip"


def test_a_clip_is_in_memory_once(tmp_path: Path) -> None:
    loop = there_and_back(0, 40)
    boxes = np.tile(np.int32([40, 40, 120, 120]), (len(loop), 1))
    tracemalloc.start()
    try:
        frames = _looped((np.full((320, 320, 3), 5 * index, np.uint8) for index in range(41)), loop)
        avatar = _write(tmp_path / "clip", frames, boxes, tmp_path / "clip.mp4", Wish())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(avatar) == len(loop)
    assert abs(int(avatar.frame_rgb(45)[0, 0, 0]) - 5 * 35) < 4
    assert most < 1.6 * avatar.frames_i420.nbytes


def test_loop_turns_without_showing_a_frame_twice() -> None:
    assert there_and_back(3, 6) == [3, 4, 5, 6, 5, 4]


def test_two_faces_are_listed_and_one_is_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    blue_on_the_right = np.hstack([portrait(), portrait(60)[..., ::-1]])
    both = write_photo(tmp_path / "both.jpg", blue_on_the_right)
    with pytest.raises(MediaError, match=r"both\.jpg shows 2 faces, at [\d,]+ and [\d,]+; choose one") as caught:
        make_avatar(both, tmp_path / "b")
    at = str(caught.value).split(" at ")[1].split(";")[0].split(" and ")
    boxes = sorted(tuple(map(int, text.split(","))) for text in at)
    assert boxes[1][0] > 512
    avatar = make_avatar(both, tmp_path / "b", Wish(box=boxes[1]))
    x0, y0, x1, y1 = avatar.boxes[0]
    red, _, blue = avatar.frame_rgb(0)[y0:y1, x0:x1].reshape(-1, 3).mean(axis=0)
    assert blue > red + 20


def test_a_box_stands_for_a_face_that_is_not_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    doll = np.full((600, 500, 3), (200, 180, 160), np.uint8)
    cv2.line(doll, (200, 380), (300, 380), (90, 40, 40), 8)
    path = write_photo(tmp_path / "doll.png", doll)
    with pytest.raises(MediaError, match=r"No face was found in doll\.png; .* --box"):
        make_avatar(path, tmp_path / "doll")
    avatar = make_avatar(path, tmp_path / "doll", Wish(box=(130, 180, 370, 420)))
    x0, y0, x1, y1 = avatar.boxes[0]
    dark = avatar.frame_rgb(0)[y0:y1, x0:x1, 1] < 100
    assert 0.5 < np.flatnonzero(dark.any(axis=1)).mean() / 288 < 0.75
    with pytest.raises(MediaError, match=r"The box 130,180,370,900 does not lie in doll\.png"):
        make_avatar(path, tmp_path / "doll2", Wish(box=(130, 180, 370, 900)))


def test_face_at_the_border_or_too_small(tmp_path: Path) -> None:
    cut = write_photo(tmp_path / "cut.png", portrait()[:350])
    with pytest.raises(MediaError, match=r"cut\.png is cut off at the lower edge; give a picture with room"):
        make_avatar(cut, tmp_path / "cut", Wish(box=(120, 100, 396, 350)))
    small = cv2.resize(portrait(), (160, 160), interpolation=cv2.INTER_AREA)
    with pytest.raises(MediaError, match=r"small\.png is too small"):
        make_avatar(write_photo(tmp_path / "small.png", small), tmp_path / "small")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.png", "small.png"]


def test_clip_without_a_face_and_one_too_short_to_idle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "STILL_FRAMES", 3)
    plain = write_clip(tmp_path / "plain.mp4", [np.full((240, 320, 3), 90, np.uint8)] * 20)
    with pytest.raises(MediaError, match=r"No face was found in plain\.mp4"):
        make_avatar(plain, tmp_path / "plain")
    short = write_clip(tmp_path / "short.mp4", talking(6, 0))
    assert len(make_avatar(short, tmp_path / "short")) == 3


def test_nothing_half_written_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    photo = write_photo(tmp_path / "me.png", portrait())
    before = make_avatar(photo, tmp_path / "own" / "me").boxes

    def broken(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr("models.avatar_writer.load_avatar", broken)
    with pytest.raises(OSError, match="no space"):
        make_avatar(photo, tmp_path / "own" / "me")
    assert [path.name for path in (tmp_path / "own").iterdir()] == ["me"]
    assert np.array_equal(load_avatar(tmp_path / "own" / "me").boxes, before)


@pytest.mark.parametrize(
    ("key", "value"), [("sha256", {}), ("sha256", []), ("boxes", "none"), ("fps", None), ("version", 99)]
)
def test_a_manifest_of_the_wrong_kind_is_refused(of_photo: Avatar, tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "me").mkdir()
    manifest = {"version": 1, "title": "a", "licence": "b", "source": "c", "fps": 25, "width": 2, "height": 2}
    manifest |= {"boxes": [], "sha256": {"idle.mp4": "", "mask.png": "", "portrait.jpg": ""}, key: value}
    (tmp_path / "me" / "avatar.json").write_text(json.dumps(manifest))
    with pytest.raises(AvatarError, match=r"Avatar 'me': avatar\.json is not of version 1"):
        read_card(tmp_path / "me")
