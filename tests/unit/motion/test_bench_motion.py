"""``visavis bench motion``: held-out speech through the shipped motion network."""

import json
from pathlib import Path

import pytest

from server.cli import main


def test_the_shipped_network_follows_voices_it_never_heard(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "motion.json"
    assert main(["bench", "motion", "--seconds", "10", "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert figures["jaw_correlation"] > 0.8
    assert figures["mouth_correlation"] > 0.65
    assert abs(figures["lag_ms"]) < 20
    assert figures["lookahead_ms"] <= 80
    assert 0 < figures["ms_per_frame_one_core"] < 40
    assert len(figures["voices"]) == 8
    assert "look-ahead" in capsys.readouterr().out


def test_a_length_that_measures_nothing_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "motion", "--seconds", "0"]) == 2
    assert "--seconds" in capsys.readouterr().err
