"""Face restoration by networks made here: one that changes nothing, one that brightens, and some that are none."""

import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.errors import CheckpointError
from models.face.enhancer import FACE_PX, TEMPLATE_FIVE, FaceEnhancer, similarity
from models.sadtalker.pipeline import Film, Pipeline
from models.sadtalker.portrait import read_portrait
from models.sadtalker.settings import Choices
from server.cli import main
from server.config import load_settings
from server.errors import ConflictError
from server.jobs import picture
from server.jobs.folder import JobFolder
from server.jobs.store import JobState, JobStore
from server.jobs.worker import Worker
from tests.unit.face.faces import portrait, write_photo
from tests.unit.jobs.speech import write_speech
from tests.unit.sadtalker.conftest import SIDE_PX

FACE = (1, 3, FACE_PX, FACE_PX)
BRIGHTER = 0.2
"""Of a range of 2, so 25.5 of 255."""


def write_network(path: Path, *, added: float = 0.0, shape: tuple[object, ...] = FACE, inputs: int = 1) -> Path:
    """Adds a number; more than one input are added up."""
    names = [f"face{i}" for i in range(inputs)]
    nodes = [helper.make_node("Sum", [*names, "added"], ["restored"])]
    graph = helper.make_graph(
        nodes,
        "restoration",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in names],
        [helper.make_tensor_value_info("restored", TensorProto.FLOAT, shape)],
        [helper.make_tensor("added", TensorProto.FLOAT, (1,), [added])],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def noise() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 200, (300, 260, 3)).astype(np.uint8)


def about(scale: float, x: float, y: float) -> np.ndarray:
    """A face's five points, turned by some 20 degrees."""
    turned = (TEMPLATE_FIVE - 256) @ np.array([[0.94, 0.34], [-0.34, 0.94]])
    return turned * scale + (x, y)


def test_a_similarity_brings_points_to_where_they_belong() -> None:
    five = about(0.3, 130, 150)
    matrix = similarity(five, TEMPLATE_FIVE)
    assert np.allclose(five @ matrix[:, :2].T + matrix[:, 2], TEMPLATE_FIVE)


@pytest.mark.parametrize("scale", [0.2, 0.45, 1.5])
def test_a_network_that_changes_nothing_returns_the_picture(tmp_path: Path, scale: float) -> None:
    enhancer = FaceEnhancer(write_network(tmp_path / "same.onnx"))
    before = noise()
    assert np.array_equal(enhancer.enhance(before, about(scale, 130, 150)), before)


@pytest.mark.parametrize("shape", [FACE, ("batch", 3, "height", "width")], ids=["fixed", "open"])
def test_a_network_that_brightens_brightens_the_face_alone(tmp_path: Path, shape: tuple[object, ...]) -> None:
    enhancer = FaceEnhancer(write_network(tmp_path / "bright.onnx", added=BRIGHTER, shape=shape))
    before, five = noise(), about(0.25, 130, 150)
    change = enhancer.enhance(before, five).astype(int) - before
    to_face = similarity(five, TEMPLATE_FIVE)
    y, x = np.mgrid[:300, :260]
    aligned = np.stack((x, y), axis=-1) @ to_face[:, :2].T + to_face[:, 2]
    inward = np.minimum(aligned, FACE_PX - 1 - aligned).min(axis=-1)
    assert (change[inward < -10] == 0).all()
    middle = change[inward > 90]
    assert len(middle) > 2000
    assert (np.abs(middle - 255 * BRIGHTER / 2) <= 1).all()


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ({"shape": (1, 3, 256, 256)}, r"face0: tensor\(float\) \(1, 3, 256, 256\)"),
        ({"shape": (1, 512, 512, 3)}, "1, 512, 512, 3"),
        ({"inputs": 2}, "face0.* and face1"),
        ({"added": float("nan")}, "not finite"),
    ],
    ids=["size", "channels last", "two inputs", "nan"],
)
def test_other_networks_are_refused_by_name(tmp_path: Path, network: dict[str, object], words: str) -> None:
    path = write_network(tmp_path / "other.onnx", **network)  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match=rf"other.onnx is not an enhancer.*{words}"):
        FaceEnhancer(path).enhance(noise(), about(0.3, 130, 150))


def test_what_is_no_network_is_refused(tmp_path: Path) -> None:
    (tmp_path / "words.onnx").write_text("neither")
    with pytest.raises(CheckpointError, match="words.onnx is damaged or no ONNX file"):
        FaceEnhancer(tmp_path / "words.onnx")
    with pytest.raises(CheckpointError, match="no enhancer none.onnx"):
        FaceEnhancer(tmp_path / "none.onnx")


@pytest.mark.parametrize("preprocess", ["crop", "full"])
def test_a_films_faces_are_restored_where_they_are(tmp_path: Path, weights: Path, preprocess: str) -> None:
    choices = Choices(preprocess=preprocess, size_px=SIDE_PX)
    shown = read_portrait(write_photo(tmp_path / "p.png", portrait()), preprocess)
    pipeline = Pipeline.load(weights, choices)
    sound = [np.random.default_rng(1).normal(size=1920).astype(np.float32) * 0.1] * 5

    def film(enhancer: FaceEnhancer | None) -> Film:
        return pipeline.film(shown, sound, 5, choices, enhancer=enhancer)

    plain = next(film(None).pictures())
    assert np.array_equal(next(film(FaceEnhancer(write_network(tmp_path / "same.onnx"))).pictures()), plain)
    # The picture's own eyes are where the template has them, as long as no head moves.
    resting = shown.shown(shown.five(), SIDE_PX)
    to_face = similarity(resting, TEMPLATE_FIVE)
    assert np.abs(resting @ to_face[:, :2].T + to_face[:, 2] - TEMPLATE_FIVE)[:2].max() < 12
    bright = film(FaceEnhancer(write_network(tmp_path / "bright.onnx", added=BRIGHTER)))
    change = next(bright.pictures()).astype(int) - plain
    assert change.max() > 20
    assert change.min() >= 0


def test_a_command_restores_faces_only_where_it_is_asked_to(
    tmp_path: Path, weights: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo, speech = write_photo(tmp_path / "p.png", portrait()), write_speech(tmp_path / "s.wav", 0.23)
    files = ["--weights", str(weights), "--size", str(SIDE_PX), "--quiet"]

    def film(name: str, *options: str) -> bytes:
        out = tmp_path / name
        assert main(["render", "--engine", "sadtalker", str(photo), str(speech), str(out), *files, *options]) == 0
        return out.read_bytes()

    same = film("same.mp4", "--enhancer", str(write_network(tmp_path / "same.onnx")))
    bright = film("bright.mp4", "--enhancer", str(write_network(tmp_path / "bright.onnx", added=BRIGHTER)))
    assert film("plain.mp4") == same != bright
    wrong = ["--enhancer", str(write_network(tmp_path / "wrong.onnx", inputs=2))]
    assert main(["render", "--engine", "sadtalker", str(photo), str(speech), "o.mp4", *files, *wrong]) == 2
    assert "wrong.onnx is not an enhancer" in capsys.readouterr().err


def test_a_job_may_ask_for_it_where_the_server_has_it(tmp_path: Path, weights: Path) -> None:
    enhancer = write_network(tmp_path / "bright.onnx", added=BRIGHTER)
    jobs = {"folder": tmp_path / "jobs", "chunk_frames": 8, "sadtalker_weights": weights, "enhancer": enhancer}
    settings = load_settings(overrides={"jobs": jobs})
    store = JobStore(settings.jobs.place)
    made = []
    for name, asked in (("plain", {}), ("bright", {"enhance": "true"})):
        folder = JobFolder(settings.jobs.place, name)
        folder.path.mkdir(parents=True)
        write_speech(folder.sound, 0.23)
        write_photo(folder.path / "p.png", portrait()).rename(folder.picture)
        with pytest.raises(ConflictError, match="jobs.enhancer"):
            picture.accept({"enhance": "true"}, folder, weights)
        picture.accept({"size_px": str(SIDE_PX), **asked}, folder, weights, enhancer)
        files = picture.FilmMaker(weights, settings.engine, enhancer).weights(folder)
        assert (enhancer in files) == bool(asked)
        store.submit(name, "sadtalker", "", 6, 8, 10)
        Worker(settings, threading.Event()).run(idle_s=0.0)
        job = store.get(name)
        assert job is not None
        assert job.state is JobState.DONE, job.error
        made.append(folder)
    assert made[0].result.read_bytes() != made[1].result.read_bytes()
