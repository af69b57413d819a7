"""Motion templates: written and read back, published ones read safely, bad ones refused."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.errors import MediaError
from models.liveportrait.keypoints import angles_of, rotation_matrix
from models.liveportrait.published_template import read_published
from models.liveportrait.ranges import motion_ranges
from models.liveportrait.template import MotionTemplate, load_template, save_template

PUBLISHED = Path(__file__).parents[4] / "shared" / "media" / "motion_templates"


def template(frames: int = 5, **extra: np.ndarray) -> MotionTemplate:
    rng = np.random.default_rng(2)
    arrays = {
        "scale": rng.uniform(1.1, 1.6, (frames, 1)),
        "R": rotation_matrix(torch.from_numpy(rng.uniform(-20, 20, (frames, 3)))).numpy(),
        "exp": rng.normal(0, 0.02, (frames, 21, 3)),
        "t": rng.normal(0, 0.05, (frames, 3)),
    } | extra
    return MotionTemplate.of_arrays({k: v.astype(np.float32) for k, v in arrays.items()}, 25, "Nod", "clip.mp4", "CC0")


def published(count: int = 3, lists: bool = True, rotation: str = "R") -> dict[str, Any]:
    """The layout of the published files, with numpy arrays of our own."""
    motion = template(count).arrays()
    frames = [
        {
            "scale": motion["scale"][i][None],
            rotation: motion["R"][i][None],
            "exp": motion["exp"][i][None],
            "t": motion["t"][i][None],
            "kp": np.zeros((1, 21, 3), np.float32),
        }
        for i in range(count)
    ]
    content: dict[str, Any] = {"n_frames": count, "output_fps": 30, "motion": frames}
    if lists:
        content["c_eyes_lst"] = [np.full((1, 2), 0.3, np.float32)] * count
        content["c_lip_lst"] = [np.full((1, 1), 0.1, np.float32)] * count
    return content


def written(path: Path, content: object) -> Path:
    path.write_bytes(pickle.dumps(content, protocol=4))
    return path


def test_what_is_saved_is_read_back(tmp_path: Path) -> None:
    made = template(eyes=np.full((5, 2), 0.3), lips=np.zeros((5, 1)))
    save_template(tmp_path / "nod.npz", made)
    read = load_template(tmp_path / "nod.npz")
    assert (read.fps, read.title, read.source, read.licence, len(read)) == (25, "Nod", "clip.mp4", "CC0", 5)
    for name, array in made.arrays().items():
        np.testing.assert_array_equal(read.arrays()[name], array)
    assert [path.name for path in tmp_path.iterdir()] == ["nod.npz"]


def test_a_template_without_ratios_and_its_still(tmp_path: Path) -> None:
    save_template(tmp_path / "nod.npz", template())
    read = load_template(tmp_path / "nod.npz")
    assert read.eyes is None
    assert read.frame(2).lips is None
    assert len(read.still()) == 1
    torch.testing.assert_close(read.still().motion.exp, read.motion.exp[:1])


@pytest.mark.parametrize(
    ("name", "array", "said"),
    [
        ("exp", np.zeros((5, 15, 3)), "exp of float32 (5, 15, 3)"),
        ("exp", np.full((5, 21, 3), np.nan), "no numbers"),
        ("scale", np.zeros((5, 1)), "not positive"),
        ("R", np.zeros((5, 3, 3)), "rotations"),
        ("t", np.zeros((4, 3)), "t of float32 (4, 3)"),
        ("lips", np.zeros((5, 2)), "lips of"),
        ("hat", np.zeros((5, 2)), "unknown hat"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(name: str, array: np.ndarray, said: str) -> None:
    with pytest.raises(MediaError, match="motion template") as caught:
        template(**{name: array})
    assert said in str(caught.value)


def test_a_changed_number_a_damaged_file_and_objects_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nod.npz"
    save_template(path, template())
    arrays = dict(np.load(path))
    arrays["exp"][0, 0, 0] += 1e-3
    np.savez(path, **arrays)
    with pytest.raises(MediaError, match="changed since"):
        load_template(path)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MediaError, match="damaged"):
        load_template(path)
    np.savez(path, **(arrays | {"exp": np.array([{}], dtype=object)}))
    with pytest.raises(MediaError, match="damaged"):
        load_template(path)
    with pytest.raises(MediaError, match="There is no motion template"):
        load_template(tmp_path / "none.npz")


@pytest.mark.parametrize(("lists", "rotation"), [(True, "R"), (False, "R_d")])
def test_the_published_layout_is_read(tmp_path: Path, lists: bool, rotation: str) -> None:
    content = published(lists=lists, rotation=rotation)
    read = read_published(written(tmp_path / "nod.pkl", content))
    assert (len(read), read.fps, read.eyes is None) == (3, 30, not lists)
    np.testing.assert_array_equal(read.motion.exp[1].numpy(), content["motion"][1]["exp"][0])
    np.testing.assert_array_equal(read.motion.rotation[2].numpy(), content["motion"][2][rotation][0])


class _Runs:
    """A pickle of it makes a folder when it is loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        import os

        return os.mkdir, (str(self.folder),)


def test_a_template_that_would_run_something_does_not(tmp_path: Path) -> None:
    for place in ("motion", "extra"):
        path = written(tmp_path / "evil.pkl", published() | {place: [_Runs(tmp_path / "made")]})
        with pytest.raises(MediaError, match="mkdir"):
            read_published(path)
    assert not (tmp_path / "made").exists()


def test_published_templates_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    objects = published()
    objects["motion"][1]["exp"] = np.array([[None] * 3] * 21, dtype=object)[None]
    integers = published()
    integers["motion"][0]["t"] = np.zeros((1, 3), np.int32)
    fewer = published()
    fewer["motion"][0]["exp"] = np.zeros((1, 15, 3), np.float32)
    empty = published() | {"n_frames": 0, "motion": []}
    cases = (objects, integers, fewer, published() | {"n_frames": 4}, [1, 2], {"motion": []}, empty)
    for content in cases:
        with pytest.raises(MediaError, match="template"):
            read_published(written(tmp_path / "odd.pkl", content))
    whole = pickle.dumps(published(), protocol=4)
    for cut in range(0, len(whole), 37):
        (tmp_path / "cut.pkl").write_bytes(whole[:cut])
        with pytest.raises(MediaError, match="no published motion template"):
            read_published(tmp_path / "cut.pkl")


@pytest.mark.media
@pytest.mark.parametrize(("name", "frames", "fps"), [("d8", 275, 30), ("laugh", 54, 25), ("talking", 100, 20)])
def test_real_published_templates(name: str, frames: int, fps: int) -> None:
    if not PUBLISHED.is_dir():
        pytest.skip(f"Published templates are not kept here; put them at {PUBLISHED}.")
    read, ranges = read_published(PUBLISHED / f"{name}.pkl"), motion_ranges()
    assert (len(read), read.fps) == (frames, fps)
    exp = read.motion.exp.numpy()
    assert (exp >= ranges.exp_min - 1e-6).all()
    assert (exp <= ranges.exp_max + 1e-6).all()
    moving = (exp - exp[:1]).std(axis=0) > 1e-4
    assert not (moving & ~ranges.active).any()
    angles = angles_of(read.motion.rotation).numpy()
    assert (angles >= ranges.pitch_yaw_roll_deg_min - 1e-2).all()
    assert (angles <= ranges.pitch_yaw_roll_deg_max + 1e-2).all()


def test_ranges_name_the_offsets_that_move() -> None:
    active = motion_ranges().active
    assert active.sum() == 36
    assert not active[[6, 8, 9, 12, 18]].any()
