"""Films by every runtime this machine can have: they draw the same, and what cannot be had is replaced in words."""

import hashlib
import json
import logging
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from models.runtime import compiled
from models.runtime.runtime import Runtime, choose
from models.sadtalker.fold import FastRenderer
from models.sadtalker.pipeline import Film, Pipeline
from models.sadtalker.portrait import read_portrait
from models.sadtalker.settings import Choices
from models.sadtalker.stand_in import lively_renderer
from server.cli import main
from server.config import EngineSettings, load_settings
from server.jobs import picture
from server.jobs.folder import JobFolder
from server.render import read_sound
from tests.unit.face.faces import portrait, write_photo
from tests.unit.jobs.speech import write_speech
from tests.unit.sadtalker.conftest import SIDE_PX

FRAMES = 3


def film_of(weights: Path, folder: Path, runtime: Runtime | None) -> Film:
    choices = Choices(pose_style=7, size_px=SIDE_PX)
    pipeline = Pipeline.load(weights, choices, runtime)
    sound = [np.random.default_rng(1).normal(size=1920).astype(np.float32) * 0.1] * 40
    return pipeline.film(read_portrait(write_photo(folder / "p.png", portrait()), "crop"), sound, 40, choices)


def drawn(film: Film) -> np.ndarray:
    return np.stack([picture for picture, _ in zip(film.pictures(), range(FRAMES), strict=False)]).astype(int)


@pytest.fixture
def scripted(tmp_path: Path, weights: Path) -> Film:
    return film_of(weights, tmp_path, choose("scripted", "cpu"))


def test_eager_draws_what_scripted_draws(tmp_path: Path, weights: Path, scripted: Film) -> None:
    eager = film_of(weights, tmp_path, choose("eager", "cpu"))
    assert np.abs(eager.driven - scripted.driven).max() < 1e-6
    expected = drawn(scripted)
    assert expected.std() > 10, "nothing is drawn, so nothing is compared"
    assert np.abs(drawn(eager) - expected).max() <= 1


def test_compiled_is_a_graph_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    graphs: list[torch.fx.GraphModule] = []

    def traced(graph: torch.fx.GraphModule, _example: list[torch.Tensor]) -> torch.fx.GraphModule:
        graphs.append(graph)
        return graph

    # Graphs are traced as ever; making C++ of them would take minutes.
    monkeypatch.setattr(compiled.torch, "compile", partial(torch.compile, backend=traced))
    renderer, way = lively_renderer(0.0625, 1), Runtime("compiled", torch.device("cpu"))
    fast = FastRenderer(renderer, torch.float32, way)
    with torch.inference_mode():  # as films are drawn; graphs tell such tensors from others
        source = torch.rand(1, 15, 3) - 0.5
        driving = source + 0.1 * torch.randn(3, 15, 3)  # as far as speech moves them
        features = fast.encode(torch.rand(1, 3, 128, 128))
        batch = features.repeated(3), source.expand(3, -1, -1), driving
        assert (fast.picture(*batch) - renderer.picture(*batch)).abs().max() < 1e-3
    assert way.name == "compiled"
    assert len(graphs) == 2, "one for single frames, one for all that are more"


def test_what_cannot_be_compiled_is_scripted(
    tmp_path: Path, weights: Path, scripted: Film, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def no_compiler(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("Found no C++ compiler")

    monkeypatch.setattr(compiled.torch, "compile", no_compiler)
    film = film_of(weights, tmp_path, Runtime("compiled", torch.device("cpu")))
    assert "compiling failed (Found no C++ compiler). scripted is used instead" in caplog.text
    assert (drawn(film) == drawn(scripted)).all()


def test_a_command_without_the_machine_for_it_says_so_and_draws_the_same(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    photo, speech = write_photo(tmp_path / "p.png", portrait()), write_speech(tmp_path / "s.wav", 0.23)
    made = []
    for name, options in (("plain", ()), ("asked", ("--device", "cuda", "--runtime", "tensorrt"))):
        out = tmp_path / f"{name}.mp4"
        files = [*map(str, (photo, speech, out)), "--weights", str(weights), "--size", str(SIDE_PX), "--quiet"]
        with caplog.at_level(logging.WARNING):
            assert main(["render", "--engine", "sadtalker", *files, *options]) == 0
        made.append(hashlib.sha256(out.read_bytes()).hexdigest())
    assert "There is no GPU that PyTorch" in caplog.text
    assert "The runtime tensorrt is not used" in caplog.text
    assert made[0] == made[1]


def test_jobs_run_as_the_settings_say(tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = JobFolder(tmp_path, "job")
    folder.path.mkdir()
    write_speech(folder.sound, 0.23)
    write_photo(tmp_path / "p.png", portrait()).rename(folder.picture)
    picture.accept({"size_px": str(SIDE_PX)}, folder, weights)
    used: list[Runtime | None] = []

    def load(folder: Path, choices: Choices, runtime: Runtime | None = None) -> Pipeline:
        used.append(runtime)
        return load_whole(folder, choices, runtime)

    load_whole = Pipeline.load
    monkeypatch.setattr(Pipeline, "load", load)
    engine: EngineSettings = load_settings(overrides={"engine": {"runtime": "eager", "device": "cpu"}}).engine
    frames = picture.FilmMaker(weights, engine).pictures(folder, read_sound(folder.sound), 6, 0, 8)
    assert next(frames).dtype == np.uint8
    assert [(way.name, way.device.type) for way in used if way] == [("eager", "cpu")]


def test_the_bench_names_device_and_runtime(tmp_path: Path, weights: Path) -> None:
    report = tmp_path / "speed.json"
    how = ["--device", "cpu", "--runtime", "eager", "--threads", "1", "--rounds", "1", "--size", str(SIDE_PX)]
    assert main(["bench", "sadtalker", "--weights", str(weights), *how, "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert (figures["device"], figures["runtime"]) == ("cpu", "eager")
    assert figures["error_mean"] < 10


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_nothing_stays_behind_on_the_cpu(dtype: torch.dtype) -> None:
    """On PyTorch's device without values, which as any other takes neither tensors of the CPU nor mixed numbers."""
    meta = Runtime("eager", torch.device("meta"))
    fast = FastRenderer(lively_renderer(0.0625, 1), dtype, meta)
    points = torch.zeros(3, 15, 3, device="meta")
    features = fast.encode(torch.zeros(1, 3, 128, 128, device="meta"))
    drawn = fast.picture(features.repeated(3), points, points)
    assert (drawn.device.type, drawn.dtype, tuple(drawn.shape)) == ("meta", torch.float32, (3, 3, 128, 128))
