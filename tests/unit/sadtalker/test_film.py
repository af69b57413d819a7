"""Films of a picture, with stand-in weights an eighth as wide: command, jobs, what is refused, speed."""

import json
import threading
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from PIL import Image

from models.sadtalker.fold import FastRenderer
from models.sadtalker.pipeline import Pipeline, References
from models.sadtalker.portrait import read_portrait
from models.sadtalker.settings import Choices
from models.sadtalker.stand_in import lively_renderer
from server.cli import main
from server.config import load_settings
from server.errors import ConflictError, RequestError
from server.jobs import picture
from server.jobs.folder import JobFolder
from server.jobs.store import JobState, JobStore
from server.jobs.worker import Worker
from tests.unit.face.faces import portrait, write_photo
from tests.unit.jobs.speech import write_speech
from tests.unit.sadtalker.conftest import SIDE_PX


def render(weights: Path, *arguments: object) -> int:
    options = ["--weights", str(weights), "--size", str(SIDE_PX), "--quiet"]
    return main(["render", "--engine", "sadtalker", *options, *map(str, arguments)])


def test_a_command_makes_a_film_as_long_as_its_sound(tmp_path: Path, weights: Path) -> None:
    photo, speech = write_photo(tmp_path / "p.png", portrait()), write_speech(tmp_path / "s.wav", 0.23)
    assert render(weights, photo, speech, tmp_path / "out.mp4", "--preprocess", "full") == 0
    with av.open(str(tmp_path / "out.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
        assert container.streams.audio
    assert len(frames) == 6
    assert frames[0].shape == (512, 512, 3)
    # What lies outside the head is the picture's own.
    assert np.abs(frames[0][:40, :40].astype(int) - portrait()[:40, :40]).mean() < 6
    assert not list(tmp_path.glob(".*"))


def test_references_are_added_and_still_heads_stay(tmp_path: Path, weights: Path) -> None:
    photo = write_photo(tmp_path / "p.png", portrait())
    sound = [np.random.default_rng(1).normal(size=48_000).astype(np.float32) * 0.1]
    choices = Choices(pose_style=45, size_px=SIDE_PX)
    pipeline = Pipeline.load(weights, choices)
    shown = read_portrait(photo, "crop")
    plain = pipeline.film(shown, sound, 25, choices).driven
    moved = np.zeros((2, 70), np.float32)
    moved[1, 64:] = 0.5
    added = pipeline.film(shown, sound, 25, choices, References(pose=moved)).driven
    assert np.allclose((added - plain)[:, 64:], moved[np.arange(25) % 2, 64:], atol=1e-5)
    still = pipeline.film(shown, sound, 25, Choices(still=True, size_px=SIDE_PX)).driven
    assert (still[:, 64:] == still[0, 64:]).all()


@pytest.mark.parametrize(
    ("photo", "speech", "options", "words"),
    [
        ("grey", "good", (), "No face was found"),
        ("text", "good", (), "no picture"),
        ("face", "short", (), "shorter than 0.2 s"),
        ("face", "silent", (), "is silent"),
        ("face", "text", (), "cannot be read as sound"),
        ("face", "good", ("--pose-style", 46), "choose 0 to 45"),
        ("face", "good", ("--preprocess", "none"), "choose crop, resize, full"),
        ("face", "good", ("--size", 300), "256 and 512"),
    ],
)
def test_what_is_refused_says_why(
    tmp_path: Path,
    weights: Path,
    capsys: pytest.CaptureFixture[str],
    photo: str,
    speech: str,
    options: tuple[object, ...],
    words: str,
) -> None:
    write_photo(tmp_path / "face.png", portrait())
    write_photo(tmp_path / "grey.png", np.full((200, 200, 3), 128, np.uint8))
    for name, seconds, gain in (("good", 0.5, 0.3), ("short", 0.1, 0.3), ("silent", 0.5, 0.0)):
        write_speech(tmp_path / f"{name}.wav", seconds, gain=gain)
    for name in ("text.png", "text.wav"):
        (tmp_path / name).write_text("neither")
    out = tmp_path / "out.mp4"
    assert render(weights, tmp_path / f"{photo}.png", tmp_path / f"{speech}.wav", out, *options) == 2
    assert words in capsys.readouterr().err
    assert not out.exists()


def test_a_picture_may_be_transparent_turned_and_is_refused_where_enormous(tmp_path: Path) -> None:
    plain = read_portrait(write_photo(tmp_path / "p.png", portrait()), "crop")
    rgba = np.dstack((portrait(), np.full((512, 512), 255, np.uint8)))
    assert read_portrait(write_photo(tmp_path / "a.png", rgba), "crop").box == plain.box
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = write_photo(tmp_path / "t.jpg", np.rot90(portrait()), exif=exif, quality=95)
    assert np.abs(np.array(read_portrait(turned, "crop").box) - plain.box).max() < 30
    from models.errors import MediaError
    from models.face.pictures import Limits

    with pytest.raises(MediaError, match="scale it down"):
        read_portrait(tmp_path / "p.png", "crop", limits=Limits(megapixels=0.1))


def test_missing_weights_name_the_command_that_fetches_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "none"))
    photo, speech = write_photo(tmp_path / "p.png", portrait()), write_speech(tmp_path / "s.wav", 0.4)
    assert main(["render", "--engine", "sadtalker", str(photo), str(speech), str(tmp_path / "o.mp4")]) == 2
    assert "visavis models pull sadtalker" in capsys.readouterr().err


def test_a_job_that_is_resumed_equals_one_that_is_not(tmp_path: Path, weights: Path) -> None:
    settings = load_settings(
        overrides={"jobs": {"folder": tmp_path / "jobs", "chunk_frames": 8, "sadtalker_weights": weights}}
    )
    store = JobStore(settings.jobs.place)

    def submit(name: str) -> JobFolder:
        folder = JobFolder(settings.jobs.place, name)
        folder.path.mkdir(parents=True)
        write_speech(folder.sound, 0.39)
        write_photo(folder.path / "p.png", portrait()).rename(folder.picture)
        picture.accept({"pose_style": "7", "size_px": str(SIDE_PX)}, folder, weights)
        store.submit(name, "sadtalker", "", 10, 8, 10)
        return folder

    whole = submit("whole")
    Worker(settings, threading.Event()).run(idle_s=0.0)
    broken = submit("broken")
    stopping = threading.Event()
    worker = Worker(settings, stopping)
    stored = worker._store.stored

    def stop_after(*arguments) -> bool:  # type: ignore[no-untyped-def]
        stopping.set()
        return stored(*arguments)

    worker._store.stored = stop_after  # type: ignore[method-assign]
    worker.run(idle_s=0.0)
    assert broken.chunk(0).is_file()
    assert not broken.result.exists()
    Worker(settings, threading.Event()).run(idle_s=0.0)
    job = store.get("broken")
    assert job is not None
    assert job.state is JobState.DONE, job.error
    assert broken.result.read_bytes() == whole.result.read_bytes()


def test_a_jobs_choices_are_checked_when_it_is_sent(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = JobFolder(tmp_path, "job")
    folder.path.mkdir()
    write_photo(tmp_path / "p.png", portrait()).rename(folder.picture)
    for names, words in (({"pose_style": "46"}, "0 to 45"), ({"still": "yes"}, "true or false"), ({"box": "x"}, "box")):
        with pytest.raises(RequestError, match=words):
            picture.accept(names, folder, weights)
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "none"))
    with pytest.raises(ConflictError, match="models pull sadtalker"):
        picture.accept({}, folder, None)


def test_the_fast_renderer_draws_what_the_plain_one_draws() -> None:
    renderer = lively_renderer(0.125, 1)
    source, driving = torch.rand(1, 15, 3) - 0.5, torch.rand(2, 15, 3) - 0.5
    fast = FastRenderer(renderer, torch.float32)
    features = fast.encode(torch.rand(1, 3, 128, 128))
    expected = renderer.picture(features.repeated(2), source.expand(2, -1, -1), driving)
    assert expected.std() > 0.05, "nothing is drawn, so nothing is compared"
    for count in (2, 1):
        drawn = fast.picture(features.repeated(count), source.expand(count, -1, -1), driving[:count])
        assert (drawn - expected[:count]).abs().max() < 1e-3


def test_the_bench_compares_both_renderers(tmp_path: Path, weights: Path) -> None:
    report = tmp_path / "speed.json"
    options = [
        "--weights",
        str(weights),
        "--threads",
        "1",
        "--rounds",
        "1",
        "--size",
        str(SIDE_PX),
        "--json",
        str(report),
    ]
    assert main(["bench", "sadtalker", *options]) == 0
    figures = json.loads(report.read_text())
    assert {"fps", "ms_per_frame", "eager_fp32_fps", "ratio_to_eager_fp32", "error_mean", "error_max"} <= set(figures)
    assert figures["error_mean"] < 10
