"""``visavis models`` as it is called."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from server.cli import main
from tests.fakes.hub import serving
from tests.unit.wav2lip.checkpoints import DISCRIMINATOR, light, training_state


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "store"))
    torch.save(training_state(light(), "module."), tmp_path / "face.pth")
    return tmp_path


def test_from_a_file_to_weights_that_serve(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pull = ["models", "pull", "wav2lip", "--from", str(home / "face.pth")]
    assert main(pull) == 2
    refused = capsys.readouterr()
    assert "non-commercial" in refused.out
    assert "--accept-licence" in refused.err
    assert not (home / "store").exists()

    assert main([*pull, "--accept-licence"]) == 0
    assert main(["models", "verify"]) == 0
    assert main(["models", "convert", "wav2lip"]) == 0
    assert (home / "store" / "wav2lip" / "wav2lip.safetensors").stat().st_size > 140e6
    capsys.readouterr()
    assert main(["models", "list"]) == 0
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert "converted" in rows["wav2lip"]
    assert "not here" in rows["wav2lip-gan"]
    assert "non-commercial" in rows["wav2lip-gan"]


def test_verify_names_each_fault(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (home / "bad.pth").write_bytes(b"nothing")
    assert main(["models", "verify", str(home / "face.pth"), str(home / "bad.pth"), "wav2lip", "none"]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert [line[:4] for line in lines] == ["ok  ", "FAIL", "FAIL", "FAIL"]
    assert "generator, sha256" in lines[0]
    assert "bad.pth is damaged" in lines[1]
    assert "was not pulled" in lines[2]
    assert main(["models", "verify"]) == 2
    assert "No checkpoint is here" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["pull", "none"], "choose one of: wav2lip"),
        (["pull", "wav2lip", "--accept-licence", "--repo", "o/n"], "--file PATH"),
        (["convert", "none.pth"], "no checkpoint none.pth"),
        (["convert", "{home}/face.pth", "--out", "{home}/face.pth"], "would be written over"),
        (["export", "wav2lip", "--weights", "none.pth"], "no checkpoint none.pth"),
        (["export", "wav2lip", "--avatar", "nobody"], "nobody"),
    ],
)
def test_faults_are_sentences(arguments: list[str], said: str, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", *(argument.format(home=home) for argument in arguments)]) == 2
    assert said in capsys.readouterr().err


def test_pull_from_a_hub(home: Path) -> None:
    torch.save(light(DISCRIMINATOR), home / "d.pth")
    contents = (home / "d.pth").read_bytes()
    command = [sys.executable, "-m", "server.cli", "models", "pull", "wav2lip-disc", "--accept-licence"]
    with serving({"Nekochu/Wav2Lip/visual_quality_disc.pth": contents, "o/n/x/d.pth": contents[:-1]}) as hub:
        environment = hub.environment(home / "home") | {"VISAVIS_MODELS": ""}
        cut = subprocess.run(
            [*command, "--repo", "o/n", "--file", "x/d.pth"], env=environment, capture_output=True, text=True
        )
        whole = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert cut.returncode == 2
    assert "d.pth is damaged" in cut.stderr
    assert whole.returncode == 0, whole.stderr
    store = home / "home" / "assets" / "visavis" / "models" / "default"
    assert (store / "wav2lip-disc" / "visual_quality_disc.pth").read_bytes() == contents
    assert sorted(path.name for path in store.rglob("*") if path.is_file()) == [
        "checksums.json",
        "visual_quality_disc.pth",
    ]
    assert '"source": "Nekochu/Wav2Lip/visual_quality_disc.pth"' in (store / "checksums.json").read_text()
