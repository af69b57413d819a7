"""``visavis train`` from the command line: each step runs and hands on to the next."""

from pathlib import Path

import numpy as np
import pytest

from server.cli import main
from server.train import STEPS


@pytest.mark.parametrize("step", STEPS)
def test_every_step_explains_itself(step: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["train", step, "--help"])
    assert exit_.value.code == 0
    assert f"visavis train {step}" in capsys.readouterr().out


def test_speech_then_ear(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    heard, held, ear = tmp_path / "heard.npz", tmp_path / "held.npz", tmp_path / "ear.safetensors"
    assert main(["train", "speech", "--minutes", "0.2", "--out", str(heard), "--curves", str(tmp_path / "c.npz")]) == 0
    assert main(["train", "speech", "--minutes", "0.1", "--held-out", "--out", str(held)]) == 0
    with np.load(heard) as data:
        assert data["mel"].shape[0] == 80
        assert data["code"].shape == (len(data["starts"]), 12)
    arguments = ["train", "ear", "--corpus", str(heard), "--held-out", str(held), "--out", str(ear)]
    assert main([*arguments, "--steps", "2", "--width", "0.125"]) == 0
    assert ear.is_file()
    assert '"jaw_correlation"' in capsys.readouterr().out


def test_what_is_no_corpus_is_a_sentence_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    avatar = Path(__file__).parents[2] / "models" / "assets" / "avatars" / "ada"
    arguments = ["train", "wav2lip", "--corpus", str(tmp_path), "--avatar", str(avatar), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--steps", "1"]) == 2
    assert "holds no shards" in capsys.readouterr().err
