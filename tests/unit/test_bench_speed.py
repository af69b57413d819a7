"""``visavis bench wav2lip`` on a small network: the figures are there and the two networks agree."""

import json
from pathlib import Path

import pytest

from models.wav2lip.weights import GeneratorInfo, save_generator
from server.cli import main
from tests.unit.wav2lip.avatars import filled_generator


def test_the_engine_is_timed_against_the_plain_network(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights, report = tmp_path / "w.safetensors", tmp_path / "speed.json"
    info = GeneratorInfo(width=0.25, size=96, lead_columns=8, colour="rgb", licence="CC0-1.0")
    save_generator(weights, filled_generator(size=96).state_dict(), info)
    options = ["--weights", str(weights), "--threads", "1", "--seconds", "1", "--json", str(report)]
    assert main(["bench", "wav2lip", *options]) == 0
    figures = json.loads(report.read_text())
    assert set(figures["fps"]) == {"1", "4", "8"}
    assert figures["times_faster"] > 1
    assert figures["error_mean"] < 1.5
    assert "times faster" in capsys.readouterr().out


def test_a_length_that_measures_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "wav2lip", "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
