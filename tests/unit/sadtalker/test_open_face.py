"""The open face basis, its fit to landmarks, and pictures of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from models.errors import CheckpointError, MediaError
from models.face.detector import FaceDetector
from models.liveportrait.crop import Square, cut, move_points
from models.sadtalker.alignment import STANDARD_FIVE, five_points
from models.sadtalker.coefficients import FaceCoefficients
from models.sadtalker.face_model import FaceModel, posed, to_camera
from models.sadtalker.face_picture import DAYLIGHT, draw_face
from models.sadtalker.landmark_fit import fit_landmarks
from models.sadtalker.open_face import ASSET, open_face
from models.sadtalker.portrait import landmarks_of as guessed
from models.studio import face_basis
from models.studio.arkit import INDEX
from server.cli import main
from tests.fakes.landmarks import landmark_model
from tests.unit.face.faces import portrait, write_photo


@pytest.fixture(scope="module")
def model() -> FaceModel:
    return open_face()


def landmarks_of(model: FaceModel, coefficients: np.ndarray) -> np.ndarray:
    face = FaceCoefficients.split(coefficients[None])
    return model.landmarks(to_camera(posed(model.shape(face), face)))[0].astype(float)


def shape_of(model: FaceModel, coefficients: np.ndarray) -> np.ndarray:
    return model.shape(FaceCoefficients.split(coefficients[None]))[0]


def somebody(rng: np.random.Generator) -> np.ndarray:
    drawn = np.zeros(257, np.float32)
    drawn[:80] = rng.normal(size=80)
    drawn[80:132] = np.clip(rng.normal(size=52) * 0.15, 0, 1)
    drawn[224:227] = rng.normal(size=3) * 0.2
    drawn[254:] = rng.normal(size=3) * (0.2, 0.2, 0.5)
    return drawn


def rms(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.sqrt(((one - other) ** 2).sum(axis=-1).mean()))


def form(shape: np.ndarray) -> np.ndarray:
    """A shape without its size and place: one picture does not tell a large face from a near one."""
    centred = shape - shape.mean(axis=0)
    return np.asarray(centred / np.sqrt((centred**2).sum(axis=1).mean()))


def test_the_mean_faces_landmarks_lie_where_a_faces_do(model: FaceModel) -> None:
    x, y = landmarks_of(model, np.zeros(257, np.float32)).T
    assert (y[17:27].min(), y[36:48].min()) > (y[36:48].max(), y[30])
    assert y[27] > y[28] > y[29] > y[30] > y[33] > y[51] > y[62] > y[66] > y[57] > y[8]
    assert (np.diff(x[:17]) > -3).all()
    assert (np.diff(x[17:27]) > 0).all()
    assert (np.diff(x[48:55]) > 0).all()
    assert (np.diff(x[54:60]) < 0).all()
    mirrored = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, *range(35, 30, -1)]
    mirrored += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40, *range(54, 47, -1), *range(59, 54, -1)]
    mirrored += [64, 63, 62, 61, 60, 67, 66, 65]
    assert np.abs(x + x[mirrored] - 224).max() < 0.5
    assert np.abs(y - y[mirrored]).max() < 0.5
    five = five_points(model.mean_shape[model.keypoints].astype(float))
    assert np.abs(five - STANDARD_FIVE).max() < 0.1  # decimetres: both are faces of one size, in one place
    eyes = x[42:48].mean() - x[36:42].mean()
    assert 50 < eyes < 70


def test_coefficients_do_what_they_are_named_for(model: FaceModel) -> None:
    still = landmarks_of(model, np.zeros(257, np.float32))
    for name, place, towards in (("jawOpen", 57, (0, -1)), ("mouthSmileLeft", 54, (1, 1)), ("browInnerUp", 22, (0, 1))):
        moved = np.zeros(257, np.float32)
        moved[80 + INDEX[name]] = 1
        away = landmarks_of(model, moved) - still
        assert away[place] @ towards > 3, name
        assert np.abs(away[27:30]).max() < 2, name
    assert not model.expression[:, 52:].any()
    normals = model.normals(model.mean_shape[None])[0]
    assert normals[model.keypoints[30], 2] > 0.8
    turned = np.zeros(257, np.float32)
    turned[254:] = (1, 0.5, 0)
    assert np.allclose(landmarks_of(model, turned)[30] - still[30], (107, 53), atol=3)


def test_faces_are_recovered_from_their_landmarks(model: FaceModel) -> None:
    rng = np.random.default_rng(1)
    found = {0.0: [], 0.5: []}  # type: ignore[var-annotated]
    for noise in found:
        for _ in range(12):
            truth = somebody(rng)
            landmarks = landmarks_of(model, truth)
            fit = fit_landmarks(model, landmarks + noise * rng.normal(size=(68, 2)), noise_px=max(noise, 0.1))
            angles = np.rad2deg(np.abs(fit.coefficients[224:227] - truth[224:227])).max()
            shape, mean = form(shape_of(model, truth)), form(model.mean_shape)
            share = rms(form(shape_of(model, fit.coefficients)), shape) / rms(mean, shape)
            found[noise].append((rms(fit.landmarks, landmarks), angles, share))
    clean, noisy = (np.array(found[noise]) for noise in (0.0, 0.5))
    assert clean[:, 0].max() < 0.1  # pixels
    assert clean[:, 1].max() < 1.0  # degrees
    assert clean[:, 2].mean() < 0.25  # of the mean face's distance
    assert noisy[:, 0].max() < 0.7
    assert noisy[:, 1].max() < 2.5
    assert noisy[:, 2].mean() < 0.55


def test_unknown_landmarks_are_not_looked_at(model: FaceModel) -> None:
    landmarks = landmarks_of(model, somebody(np.random.default_rng(2)))
    weights = np.ones(68)
    weights[:17] = 0
    whole = fit_landmarks(model, landmarks, weights)
    landmarks[:17] = np.nan
    assert np.array_equal(fit_landmarks(model, landmarks, weights).coefficients, whole.coefficients)
    assert whole.error_px < 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda points: points[:67], "68 landmarks"),
        (lambda points: points * np.nan, "far outside"),
        (lambda points: points + 9000, "far outside"),
        (lambda points: points * (1, 0) + 50, "one line"),
    ],
)
def test_what_is_no_face_is_refused(model: FaceModel, change, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(MediaError, match=words):
        fit_landmarks(model, change(landmarks_of(model, np.zeros(257, np.float32))))


def test_a_face_is_drawn_where_its_landmarks_are(model: FaceModel) -> None:
    coefficients = np.zeros(257, np.float32)
    coefficients[227:254] = DAYLIGHT
    coefficients[254] = 0.3
    paper = np.full((224, 224, 3), (0, 0, 255), np.uint8)
    drawn = draw_face(model, coefficients, paper)
    assert (paper == (0, 0, 255)).all()
    x, y = landmarks_of(model, coefficients).T
    rows, columns = np.nonzero((drawn != paper).any(axis=2))
    assert abs(columns.min() - x.min()) < 3
    assert abs(columns.max() - x.max()) < 3
    assert abs(rows.max() - (224 - y.min())) < 4
    cheek, lip = drawn[224 - int(y[30]), int(x[30]) - 30], drawn[224 - int(y[57]) - 1, int(x[57])]
    assert cheek[0] > cheek[1] > cheek[2] > 40
    assert lip[0] / lip[1] > 1.04 * cheek[0] / cheek[1], "lips are redder"
    coefficients[80 + INDEX["jawOpen"]] = 1
    x, y = landmarks_of(model, coefficients).T
    mouth = 224 - round((y[62] + y[66]) / 2), round(x[62])
    assert (draw_face(model, coefficients, paper)[mouth] == (0, 0, 255)).all(), "one sees through an open mouth"
    assert not (drawn[mouth] == (0, 0, 255)).all()


def test_the_basis_is_what_the_rig_gives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(face_basis, "_colours", lambda person, shape, *rest: np.zeros_like(shape))
    face_basis.build(tmp_path / "basis.npz")
    assert [path.name for path in tmp_path.iterdir()] == ["basis.npz"]
    with np.load(ASSET) as shipped, np.load(tmp_path / "basis.npz") as built:
        for name in ("tri", "point_buf", "keypoints", "exBase"):
            assert np.array_equal(shipped[name], built[name]), name
        assert np.allclose(shipped["meanshape"], built["meanshape"], atol=1e-5)
        assert np.allclose(shipped["idBase"][:, :40], built["idBase"][:, :40], atol=1e-3)
    assert ASSET.stat().st_size < 2_000_000


def test_a_damaged_basis_says_how_to_build_it(tmp_path: Path) -> None:
    (tmp_path / "a.npz").write_bytes(b"no basis")
    np.savez(tmp_path / "b.npz", tri=np.zeros(3))
    for name, words in (("a.npz", "damaged"), ("b.npz", "damaged"), ("c.npz", "missing")):
        with pytest.raises(CheckpointError, match=f"{words}.*face_basis builds it"):
            open_face(tmp_path / name)


def test_a_photo_is_fitted_by_command(tmp_path: Path, model: FaceModel, capsys: pytest.CaptureFixture[str]) -> None:
    truth = somebody(np.random.default_rng(5))
    truth[227:254] = DAYLIGHT
    photo = write_photo(tmp_path / "p.png", draw_face(model, truth, np.full((448, 448, 3), 90, np.uint8)))
    landmarks = landmarks_of(model, truth)
    np.savetxt(tmp_path / "l.txt", (landmarks * (1, -1) + (0, 224)) * 2 - (0, 1))
    options = ["--landmarks", tmp_path / "l.txt", "--preview", tmp_path / "s.png", "--json", tmp_path / "c.json"]
    assert main(["face", "fit", str(photo), "--noise", "0.1", *map(str, options)]) == 0
    assert "px from its landmarks" in capsys.readouterr().out
    found = np.array(json.loads((tmp_path / "c.json").read_text()), np.float32)
    assert np.rad2deg(np.abs(found[224:227] - truth[224:227])).max() < 2
    assert np.abs(found[80:144] - truth[80:144]).mean() < 0.1
    assert (tmp_path / "s.png").stat().st_size > 50_000
    assert not list(tmp_path.glob(".*"))


def test_landmarks_that_a_model_finds_tell_of_eyes_and_lips(
    tmp_path: Path, model: FaceModel, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = write_photo(tmp_path / "p.png", portrait())
    near = guessed(FaceDetector().find(portrait())[0])
    crop = cut(portrait().copy(), Square.about(near.astype(np.float32), 1.5, 0.0, -0.1), side_px=224)
    truth = np.zeros(257, np.float32)
    truth[80 + INDEX["jawOpen"]] = 0.6
    seen = landmarks_of(model, truth)
    eyes = near[[36, 42]]
    scale = (eyes[1, 0] - eyes[0, 0]) / (seen[42:48, 0].mean() - seen[36:42, 0].mean())
    seen = (seen - seen[36:48].mean(axis=0)) * (scale, -scale) + eyes.mean(axis=0)
    wanted = np.full((203, 2), 1e3)
    wanted[[0, 12, 24, 36, 90, 102, 48, 66]] = seen[[36, 39, 42, 45, 62, 66, 48, 54]]
    inside = move_points(wanted.astype(np.float32), np.linalg.inv(crop.to_picture)) / 224
    options = ["--landmark-model", landmark_model(tmp_path / "m.onnx", inside), "--json", tmp_path / "c.json"]
    assert main(["face", "fit", str(photo), *map(str, options)]) == 0
    assert "px from its landmarks" in capsys.readouterr().out
    found = np.array(json.loads((tmp_path / "c.json").read_text()), np.float32)
    lips = landmarks_of(model, found)
    assert lips[62, 1] - lips[66, 1] > 5, "the mouth is open"
    assert main(["face", "fit", str(photo), "--landmark-model", "none.onnx"]) == 2
    assert main(["face", "fit", str(photo), "--landmark-model", "none.onnx", "--landmarks", "l.txt"]) == 2
    assert "not both" in capsys.readouterr().err


def test_without_landmarks_the_eyes_tell_where_a_face_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = write_photo(tmp_path / "p.png", portrait())
    assert main(["face", "fit", str(photo), "--preview", str(tmp_path / "s.jpg")]) == 0
    assert "the mean's" in capsys.readouterr().out
    (tmp_path / "few.txt").write_text("1 2\n3 4\n")
    (tmp_path / "words.txt").write_text("no numbers")
    np.savetxt(tmp_path / "unknown.txt", np.full((68, 2), np.nan))
    np.savetxt(tmp_path / "far.txt", np.random.default_rng(1).uniform(9000, 9999, (68, 2)))
    write_photo(tmp_path / "grey.png", np.full((200, 200, 3), 128, np.uint8))
    for arguments, words in (
        (("--landmarks", "few.txt"), "holds 2 lines"),
        (("--landmarks", "words.txt"), "cannot be read as landmarks"),
        (("--landmarks", "far.txt"), "no face in p.png"),
        (("--landmarks", "unknown.txt"), "corners of the eyes"),
        (("--landmarks", "none.txt"), "cannot be read"),
        (("--noise", "0"), "more than 0"),
        (("--preview", "s.gif"), "must end in"),
        (("--preview", "none/s.png"), "cannot be written"),
    ):
        path = arguments[1] if arguments[0] == "--noise" else str(tmp_path / arguments[1])
        assert main(["face", "fit", str(photo), arguments[0], path]) == 2
        assert words in capsys.readouterr().err
    assert main(["face", "fit", str(tmp_path / "grey.png")]) == 2
    assert "No face was found" in capsys.readouterr().err
