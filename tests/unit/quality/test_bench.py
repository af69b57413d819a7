"""``visavis bench quality``: one small run of the whole, and what is answered to what cannot be."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.avatar import Avatar
from models.quality import bars, opening, report
from models.quality import truth as truth_module
from models.quality.opening import Renders
from models.quality.speech_set import speak_set
from models.quality.truth import Truth
from models.studio.degrade import burst_losses
from server import bench, cli
from tests.unit.quality.test_recording import write_float_wav

KEYS = {
    "mouth_correlation", "lag_ms", "amplitude_ratio", "closure_recall", "psnr_db", "ssim", "sharpness_ratio",
    "silence_opening", "babble_opening", "leak_correlation", "label_lag_ms", "ms_per_frame_one_core", "weights_mb",
}  # fmt: skip
SPEECH_KEYS = {bar.key for bar in bars.SPEECH_BARS}


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, truth: Truth, renders: Renders) -> None:
    """The tests' one stage and renders in place of new ones."""
    monkeypatch.setattr(report, "NOISE_S", 2.0)
    monkeypatch.setattr(report, "Truth", lambda avatar: truth)
    monkeypatch.setattr(truth_module, "Truth", lambda avatar: truth)
    for module in (report, opening):
        monkeypatch.setattr(module, "speech_renders", lambda *arguments: renders)


@pytest.mark.usefixtures("quick")
def test_a_small_run_writes_every_figure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figures, plot = tmp_path / "quality.json", tmp_path / "quality.png"
    flags = ["--seconds", "2", "--voice", "espeak:en-us+m7", "--quiet", "--json", str(figures), "--plot", str(plot)]
    assert cli.main(["bench", "quality", *flags]) == 0
    printed = capsys.readouterr().out
    assert all(bar.title in printed for bar in (*bars.SPEECH_BARS, *bars.CONTROL_BARS))
    found = json.loads(figures.read_text())
    assert found.keys() >= KEYS
    assert found["opus_loss"].keys() >= SPEECH_KEYS
    assert [row["voice"] for row in found["voices"]] == ["espeak:en-us+m7"]
    assert len(found["load_average"]) == 3
    assert found["gauge_correlation"] >= 0.97
    assert found["render_closure_recall"] == 1.0
    assert found["mouth_correlation"] > 0.5
    assert 20 < found["psnr_db"] < 60
    assert 0 < found["sharpness_ratio"] < 2
    assert found["silence_opening"] < 0.1
    assert found["weights_mb"] > 0
    assert cv2.imread(str(plot)).shape[1] > 1000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["quality.json", "quality.png"]


@pytest.mark.usefixtures("quick")
def test_a_recording_gives_a_sheet_and_a_curve(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = speak_set(("espeak:en-us+m7",), 1.0, seed=1).sound
    speech = write_float_wav(tmp_path / "talk.wav", sound, 48_000)
    out = tmp_path / "out"
    flags = ["--audio", str(speech), "--out", str(out), "--json", str(tmp_path / "f.json"), "--quiet"]
    assert cli.main(["bench", "quality", *flags]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["talk-opening.csv", "talk-opening.png", "talk-sheet.png"]
    assert json.loads((tmp_path / "f.json").read_text())["loud_opening_mean"] > 0.1
    assert "pauses" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--seconds", "0"], "--seconds"),
        (["--every-ms", "5"], "--every-ms"),
        (["--seed", "-1"], "--seed"),
        (["--avatar", "nobody"], "nobody"),
        (["--weights", "no-such.safetensors"], "no-such"),
        (["--voice", "espeak:ja+m7"], "held-out sentences in 'ja'"),
    ],
)
def test_what_cannot_run_is_a_sentence_and_exit_2(
    flags: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", "quality", "--quiet", *flags]) == 2
    assert named in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["models.quality.report", "models.quality.plots"])
def test_without_the_studio_the_extra_is_named(
    missing: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    assert cli.main(["bench", "quality", "--plot", "unwritten.png"]) == 2
    assert "pip install visavis[studio]" in capsys.readouterr().err


def test_the_commands_do_not_import_the_studio() -> None:
    code = (
        "import sys; from server import cli; cli.build_parser(); from server import app; "
        "sys.exit(' '.join(n for n in sys.modules if n in ('numba', 'matplotlib', 'models.studio.stage')) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.usefixtures("spoken")
def test_speech_stays_in_its_place_over_the_network() -> None:
    sound = speak_set(("espeak:en-us+m7",), 3.0, seed=1).sound
    heard = bench.through_network(sound, seed=2)
    assert len(heard) == len(sound)
    reach = 480
    middle = sound[reach:-reach]
    scores = [float(middle @ heard[reach + lag : len(heard) - reach + lag]) for lag in range(-reach, reach + 1)]
    assert abs(int(np.argmax(scores)) - reach) <= 12  # a quarter of a millisecond
    assert np.corrcoef(sound, heard)[0, 1] > 0.8
    assert not np.array_equal(heard, bench.through_network(sound, seed=3))


def test_losses_come_in_bursts_and_in_the_share_asked_for() -> None:
    lost = burst_losses(20_000, 0.05, np.random.default_rng(1))
    begins = np.count_nonzero(np.diff(lost.astype(int)) == 1)
    assert lost.mean() == pytest.approx(0.05, abs=0.01)
    assert lost.sum() / begins == pytest.approx(2.0, abs=0.3)


def test_a_bar_says_what_it_asks() -> None:
    lag = bars.Bar("lag", "lag", low=-20, high=20, unit=" ms")
    assert (lag.words, lag.verdict(-21.0), lag.verdict(3.0), lag.verdict(None)) == ("0 ± 20 ms", "FAIL", "pass", "FAIL")
    assert bars.Bar("x", "x", low=0.8, high=1.2).words == "0.8 to 1.2"
    assert bars.Bar("x", "x", high=0.2).verdict(0.3) == "FAIL"
    assert (bars.Bar("x", "x").words, bars.Bar("x", "x").verdict(1.0)) == ("for information", "")


def test_no_infinity_reaches_json(ada: Avatar) -> None:
    assert report._finite({"a": [float("inf"), 1.0], "b": {"c": float("nan")}}) == {"a": [None, 1.0], "b": {"c": None}}
