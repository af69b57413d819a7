"""``visavis train`` from the command line: each step runs and hands on to the next."""

from pathlib import Path

import numpy as np
import pytest

from models.studio.arkit import weights
from models.studio.cast import HELD_OUT_FROM
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


def test_the_cast_then_a_face_without_an_avatar(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    curves, cast = tmp_path / "curves.npz", tmp_path / "cast"
    np.savez(curves, curves=np.stack([weights(jawOpen=step / 10) for step in range(6)]))
    with pytest.raises(SystemExit):
        main(
            ["train", "corpus", "--avatar", "ada", "--held-out", "--curves", str(curves), "--out", "x", "--count", "1"]
        )
    assert "--held-out is for --cast" in capsys.readouterr().err
    arguments = ["train", "corpus", "--cast", "--held-out", "--curves", str(curves), "--out", str(cast)]
    assert main([*arguments, "--count", "6", "--made-up", "0"]) == 0
    with np.load(cast / "shard-00000.npz") as data:
        assert data["member"].min() >= HELD_OUT_FROM
    arguments = ["train", "wav2lip", "--corpus", str(cast), "--out", str(tmp_path / "out"), "--steps", "2"]
    assert main([*arguments, "--batch", "2", "--width", "0.125"]) == 0
    assert (tmp_path / "out" / "sheet-000002.png").is_file()
    with pytest.raises(SystemExit):
        main([*arguments, "--avatar", str(tmp_path)])
    assert "not of the cast" in capsys.readouterr().err


def test_what_is_no_corpus_is_a_sentence_and_exit_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    avatar = Path(__file__).parents[2] / "models" / "assets" / "avatars" / "ada"
    arguments = ["train", "wav2lip", "--corpus", str(tmp_path), "--avatar", str(avatar), "--out", str(tmp_path / "out")]
    assert main([*arguments, "--steps", "1"]) == 2
    assert "holds no shards" in capsys.readouterr().err
