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
    options = ["--weights", str(weights), "--threads", "1", "--seconds", "0.5", "--json", str(report)]
    options += ["--device", "cpu", "--runtime", "eager", "--batch", "1", "--batch", "3"]
    assert main(["bench", "wav2lip", *options]) == 0
    figures = json.loads(report.read_text())
    assert set(figures["batches"]) == {"1", "3"}
    assert figures["fps"] == max(each["fps"] for each in figures["batches"].values())
    assert figures["ms_per_frame"] == pytest.approx(1000 / figures["fps"])
    assert figures["ratio_to_eager_fp32"] == pytest.approx(figures["fps"] / figures["eager_fp32_fps"])
    assert figures["ratio_to_eager_fp32"] > 1
    assert figures["error_mean"] < 1.5
    assert figures["error_max"] < 40
    assert (figures["device"], figures["runtime"], figures["gpu_mb"]) == ("cpu", "eager", None)
    assert 50 < figures["rss_mb"] < 20_000
    assert (figures["chapter_shape"]["batch"], figures["chapter_shape"]["frames"]) == (1, 5)
    assert figures["chapter_shape"]["fps"] > figures["chapter_shape"]["eager_fp32_fps"]
    told = capsys.readouterr().out
    assert "times faster" in told
    assert "batch 1 x 5 frames" in told


def test_a_batch_of_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "wav2lip", "--batch", "0"]) == 2
    assert "--batch takes 1 to 512 frames" in capsys.readouterr().err


def test_a_length_that_measures_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "wav2lip", "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
