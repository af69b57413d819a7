"""``visavis motion``: from a clip to a template to avatars, with small networks on disk."""

import pickle
import re
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import torch

from models.avatar import load_avatar
from models.avatar_writer import save_avatar
from models.liveportrait.motion_extractor import MotionExtractor
from models.liveportrait.template import load_template
from server.cli import main
from tests.fakes.landmarks import face_landmarks, landmark_model
from tests.fakes.portrait_weights import write_published
from tests.unit.liveportrait.networks import faces, small_networks
from tests.unit.liveportrait.test_template import published

FRAMES = 2


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_published(tmp_path_factory.mktemp("weights"), small_networks())


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 192, 128, "yuv420p"
        for index, face in enumerate(faces(FRAMES)):
            picture = np.pad(face, ((0, 0), (32, 32), (0, 0)))
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Faces M was asked about, one entry a call."""
    calls: list[int] = []
    forward = MotionExtractor.forward

    def counted(self: MotionExtractor, picture: torch.Tensor) -> object:
        calls.append(len(picture))
        return forward(self, picture)

    monkeypatch.setattr(MotionExtractor, "forward", counted)
    return calls


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_clip_becomes_a_template_that_moves_avatars_without_m(
    homes: Path, weights: Path, clip: Path, avatar_folder: Path, looked: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["motion", "extract", str(clip), "nod", "--weights", str(weights), "--licence", "CC0-1.0"]) == 0
    assert looked == [FRAMES]
    template = load_template(homes / "data" / "visavis" / "motions" / "nod.npz")
    assert (len(template), template.fps, template.source, template.licence) == (FRAMES, 25, "clip.mp4", "CC0-1.0")
    assert template.motion.exp.std(dim=0).max() > 1e-5

    # The same clip again is known by its key.
    assert main(["motion", "extract", str(clip), "nod", "--weights", str(weights)]) == 0
    assert looked == [FRAMES]
    assert "already" in capsys.readouterr().out

    chosen = ["--avatar", "disc", "--avatars", str(avatar_folder.parent), "--weights", str(weights)]
    assert main(["motion", "apply", "nod", str(homes / "disc.mp4"), *chosen]) == 0
    assert looked == [FRAMES, 1], "the avatar's own face, once"
    assert main(["motion", "apply", "nod", str(homes / "again.mp4"), *chosen, "--pose-friendly"]) == 0
    assert looked == [FRAMES, 1], "and never again"

    drawn, portrait = pictures(homes / "disc.mp4"), load_avatar(avatar_folder).frame_rgb(0)
    assert [picture.shape for picture in drawn] == [portrait.shape] * FRAMES
    x0, y0, x1, y1 = load_avatar(avatar_folder).boxes[0]
    changed = np.abs(drawn[0].astype(int) - portrait).mean(axis=2)
    assert changed[y0:y1, x0:x1].mean() > 10
    assert changed[-8:, :8].mean() < 10, "the corners lie outside of the crop"
    capsys.readouterr()
    assert main(["motion", "list"]) == 0
    assert "nod: nod, 2 frames at 25; CC0-1.0" in capsys.readouterr().out


def test_a_template_on_ten_avatars_is_never_looked_at_again(
    homes: Path, weights: Path, clip: Path, looked: list[int]
) -> None:
    assert main(["motion", "extract", str(clip), "nod", "--weights", str(weights)]) == 0
    names = [f"avatar-{number}" for number in range(10)]
    boxes, mask = np.array([[0, 0, 128, 128]], np.int32), np.full((128, 128), 255, np.uint8)
    for number, name in enumerate(names):
        face = np.roll(faces(1)[0], 3 * number, axis=1)
        save_avatar(
            homes / "avatars" / name, [cv2.resize(face, (128, 128))], boxes, mask,
            title=name, licence="CC0-1.0", source="drawn", fps=25,
        )  # fmt: skip

    def moved() -> list[np.ndarray]:
        chosen = ["--avatars", str(homes / "avatars"), "--weights", str(weights)]
        films = [homes / f"{name}.mp4" for name in names]
        for name, film in zip(names, films, strict=True):
            assert main(["motion", "apply", "nod", str(film), "--avatar", name, *chosen]) == 0
        return [pictures(film)[1] for film in films]

    looked.clear()
    first = moved()
    assert looked == [1] * 10, "each avatar's own face, and no frame of the clip"
    looked.clear()
    for one, same in zip(first, moved(), strict=True):
        np.testing.assert_array_equal(one, same)
    assert looked == []
    assert len({picture.tobytes() for picture in first}) == 10


def test_landmarks_let_eyes_and_lips_be_retargeted(
    homes: Path, clip: Path, avatar_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(homes / "models"))
    weights = write_published(homes / "weights", small_networks())
    extract = ["motion", "extract", str(clip), "nod", "--weights", str(weights)]
    apply = ["motion", "apply", "nod", str(homes / "out.mp4"), "--weights", str(weights)]
    apply += ["--avatar", "disc", "--avatars", str(avatar_folder.parent)]
    assert main([*extract, "--landmarks"]) == 2
    assert "visavis models pull liveportrait-landmarks" in capsys.readouterr().err
    landmark_model(weights / "landmark.onnx", face_landmarks(eyes=0.3, lips=0.1))

    assert main(extract) == 0
    assert main([*apply, "--eye-retargeting"]) == 2
    assert "Eye retargeting needs landmarks" in capsys.readouterr().err
    assert not (homes / "out.mp4").exists()

    assert main([*extract, "--landmarks", "--replace"]) == 0
    template = load_template(homes / "data" / "visavis" / "motions" / "nod.npz")
    assert template.eyes is not None
    assert template.lips is not None
    np.testing.assert_allclose(template.eyes, 0.3, atol=1e-3)
    np.testing.assert_allclose(template.lips, 0.1, atol=1e-3)
    shown = []
    for flags in ([], ["--normalize-lip"], ["--eye-retargeting"], ["--lip-retargeting"]):
        assert main([*apply, *flags]) == 0
        shown.append(pictures(homes / "out.mp4")[-1].astype(int))
    for index, one in enumerate(shown):
        assert all(np.abs(one - other).max() > 3 for other in shown[:index])


def test_a_published_template_needs_no_weights(homes: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (homes / "wink.pkl").write_bytes(pickle.dumps(published(), protocol=4))
    assert main(["motion", "extract", str(homes / "wink.pkl"), "wink"]) == 0
    assert "wink: 3 frames at 30 a second" in capsys.readouterr().out
    assert main(["motion", "extract", str(homes / "wink.pkl"), "wink"]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["motion", "extract", str(homes / "wink.pkl"), "wink", "--replace"]) == 0


def test_a_box_chooses_the_part_of_the_picture(homes: Path, weights: Path, clip: Path) -> None:
    folder = homes / "data" / "visavis" / "motions"
    for name, box in (("middle", None), ("same", "32,0,160,128"), ("other", "64,0,192,128")):
        given = [] if box is None else ["--box", box]
        assert main(["motion", "extract", str(clip), name, "--weights", str(weights), *given]) == 0
    middle, same, other = (load_template(folder / f"{name}.npz") for name in ("middle", "same", "other"))
    torch.testing.assert_close(middle.motion.exp, same.motion.exp)
    assert not torch.equal(middle.motion.exp, other.motion.exp)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["extract", "CLIP", "nod"], "--weights"),
        (["extract", "CLIP", "Nod/..", "--weights", "WEIGHTS"], "no template's name"),
        (["extract", "none.mp4", "nod", "--weights", "WEIGHTS"], "none.mp4 cannot be read"),
        (["extract", "TEXT", "nod", "--weights", "WEIGHTS"], "give an MP4"),
        (["extract", "CLIP", "nod", "--weights", "WEIGHTS", "--box", "0,0,129,129"], "no square inside of 192x128"),
        (["extract", "CLIP", "nod", "--weights", "WEIGHTS", "--box", "0,0,5"], "x0,y0,x1,y1"),
        (["extract", "CLIP", "nod", "--weights", "."], "holds no motion_extractor"),
        (["apply", "none", "out.mp4", "--weights", "WEIGHTS"], "no motion template none"),
    ],
)
def test_what_cannot_be_done_is_said_and_leaves_nothing(
    homes: Path,
    weights: Path,
    clip: Path,
    arguments: list[str],
    said: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(homes)
    (homes / "text.mp4").write_text("no video")
    names = {"CLIP": str(clip), "WEIGHTS": str(weights), "TEXT": str(homes / "text.mp4")}
    assert main(["motion", *(names.get(word, word) for word in arguments)]) == 2
    assert re.search(re.escape(said), capsys.readouterr().err)
    assert not list(homes.rglob("*.npz"))
    assert not list(homes.rglob("*.part"))


def test_an_avatar_that_is_not_there_is_named_with_those_that_are(
    homes: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (homes / "wink.pkl").write_bytes(pickle.dumps(published(), protocol=4))
    assert main(["motion", "extract", str(homes / "wink.pkl"), "wink"]) == 0
    assert main(["motion", "apply", "wink", "o.mp4", "--avatar", "nobody", "--weights", str(weights)]) == 2
    assert "choose one of: ada" in capsys.readouterr().err


def test_cv2_reads_what_was_written(homes: Path) -> None:
    from models.liveportrait.clip import write_clip

    assert write_clip(homes / "a.mp4", iter(faces(4)), 23.976) == 4
    video = cv2.VideoCapture(str(homes / "a.mp4"))
    assert round(video.get(cv2.CAP_PROP_FPS), 3) == 23.976
    video.release()
