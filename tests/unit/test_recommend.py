"""``visavis recommend``: from measured figures to words."""

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from models import machine_figures
from models.errors import CheckpointError
from models.machine_figures import Figure, load, machine, save
from models.recommendation import missing, recommend
from models.sadtalker import figure as sadtalker
from models.sadtalker.stand_in import write_stand_in
from models.sadtalker.weights import NETWORK_FILES
from server.cli import main

MOUTH = Figure("wav2lip", "Wav2Lip", moves_head=False, random_weights=False, side_px=96, ms_per_frame=8.0)
HEAD = Figure("liveportrait", "LivePortrait", moves_head=True, random_weights=True, side_px=512, ms_per_frame=4000.0)
FILM = Figure("sadtalker", "SadTalker", moves_head=True, random_weights=True, side_px=256, ms_per_frame=9000.0)


def test_a_slow_machine_gets_the_mouth_live_and_the_head_in_films() -> None:
    rows = {row.need: row for row in recommend([MOUTH, HEAD, FILM], has_gpu=False)}
    assert {need: row.engine for need, row in rows.items()} == {
        "real-time": "wav2lip",
        "quality": "liveportrait",
        "head motion": "liveportrait",
        "budget": "wav2lip",
    }
    assert rows["real-time"].live
    assert "125 frames a second" in rows["real-time"].reason
    assert "A GPU is missing" in rows["real-time"].reason
    assert not rows["head motion"].live
    assert "a second of video takes 100 s" in rows["head motion"].reason
    assert "visavis models pull liveportrait" in rows["quality"].reason
    assert "visavis models pull sadtalker" in missing(FILM)


def test_the_figures_decide() -> None:
    quick = replace(HEAD, ms_per_frame=9.0, random_weights=False)
    rows = {row.need: row for row in recommend([MOUTH, quick, replace(FILM, ms_per_frame=7.0)], has_gpu=True)}
    assert rows["real-time"].engine == "liveportrait"
    assert rows["head motion"].engine == rows["budget"].engine == "sadtalker"
    assert "GPU" not in rows["quality"].reason
    assert "weights" not in rows["quality"].reason


def test_a_machine_too_slow_for_all_is_told_so() -> None:
    row = recommend([replace(MOUTH, ms_per_frame=50.0)], has_gpu=False)[0]
    assert (row.engine, row.live) == (None, False)
    assert "No engine draws 25 frames a second here. The fastest, wav2lip, draws 20." in row.reason


def test_figures_hold_for_the_machine_they_were_measured_on(tmp_path: Path) -> None:
    path = tmp_path / "cache" / "engines.json"
    assert load(path) is None
    save(path, (MOUTH, HEAD))
    assert load(path) == (MOUTH, HEAD)
    assert [entry.name for entry in path.parent.iterdir()] == ["engines.json"]
    content = json.loads(path.read_text())
    path.write_text(json.dumps(content | {"machine": machine() | {"processor": "another"}}))
    assert load(path) is None
    for damaged in ("{", "[]", json.dumps(content | {"figures": [{}]})):
        path.write_text(damaged)
        assert load(path) is None


def test_the_command_measures_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "engines.json"
    # One engine's real measurement: the others take seconds.
    monkeypatch.setattr(machine_figures, "_MEASURES", (("models.wav2lip.figure", "measure"),))
    assert main(["recommend", "--figures", str(path)]) == 0
    assert "budget: wav2lip" in capsys.readouterr().out
    written = path.read_bytes()
    assert main(["recommend", "--figures", str(path), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert path.read_bytes() == written
    assert told["measured"]
    assert told["engines"][0]["engine"] == "wav2lip"
    assert told["engines"][0]["fps"] > 1


def test_figures_of_a_busy_machine_are_told_as_such(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "engines.json"
    monkeypatch.setattr(machine_figures, "_MEASURES", (("models.wav2lip.figure", "measure"),))
    for average, busy in ((7.5, True), (0.1, False)):
        monkeypatch.setattr(os, "getloadavg", lambda average=average: (average, 0.0, 0.0))
        assert main(["recommend", "--again", "--figures", str(path)]) == 0
        told = capsys.readouterr().out
        assert ("The load average was 7.5" in told, "--again" in told) == (busy, busy)


def test_pulled_weights_make_old_figures_void_and_are_the_ones_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    path = tmp_path / "engines.json"
    save(path, (MOUTH, FILM))
    assert load(path) is not None
    write_stand_in(tmp_path / "models" / "sadtalker", 1 / 16)
    assert load(path) is None
    assert not Figure(**sadtalker.measure()).random_weights
    (tmp_path / "models" / "sadtalker" / NETWORK_FILES[256]).write_bytes(b"damaged")
    with pytest.raises(CheckpointError):
        sadtalker.measure()


def test_a_film_engine_can_be_measured() -> None:
    measured = Figure(**sadtalker.measure(1 / 16, 128))
    assert measured.random_weights
    assert measured.fps > 0
