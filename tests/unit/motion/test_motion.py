"""The motion network, its corpus, its training, and what the shipped one hears."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.audio.mel import SILENCE, mel_spectrogram
from models.errors import CheckpointError
from models.motion import train as training
from models.motion.corpus import PIECE_FRAMES, SpeechCorpus, tilted, warped
from models.motion.judge import judge
from models.motion.network import COLUMNS, MotionNetwork
from models.motion.weights import load_motion
from models.studio.arkit import INDEX
from models.studio.visemes import MOUTH_NAMES
from models.timebase import SPEECH_RATE_HZ

LEAD = COLUMNS - 5
PRESS = MOUTH_NAMES.index("mouthPress")


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> object:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def file(tmp_path: Path, frames: int = 320) -> Path:
    """Loud windows open the jaw: enough for a network to learn something. One column too many after each clip."""
    rng = np.random.default_rng(1)
    level = np.repeat(rng.random(frames // 8), 8).astype(np.float32)
    level[16::32] = 0.0
    starts = np.arange(frames) * 16 // 5 + np.arange(frames) // 50
    mel = np.broadcast_to(8 * np.interp(np.arange(starts[-1] + 8), starts, level) - 4, (80, starts[-1] + 8))
    code = np.tile(level[:, None], (1, len(MOUTH_NAMES))) * 0.5
    code[:, PRESS] = 0.5 * (level == 0)
    path = tmp_path / "corpus.npz"
    np.savez(path, mel=mel.astype(np.float16), code=code.astype(np.float16), starts=starts, names=np.array(MOUTH_NAMES))
    return path


def test_a_window_hears_what_the_whole_recording_hears() -> None:
    torch.manual_seed(0)
    network = MotionNetwork(12, 16)
    mel = torch.randn(1, 1, 80, COLUMNS + 30)
    with torch.inference_mode():
        whole = network(mel)
        windows = torch.cat([network(mel[..., i : i + COLUMNS]) for i in range(31)], dim=2)
    assert whole.shape == (1, 12, 31)
    torch.testing.assert_close(whole, windows, rtol=1e-4, atol=1e-5)


def test_pieces_are_the_recording_and_its_codes(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.motion.corpus._WARPED", 0.0)
    monkeypatch.setattr("models.motion.corpus._TILTED", 0.0)
    corpus = SpeechCorpus(file, LEAD)
    batch = corpus.batch(6, np.random.default_rng(0))
    for mel, moments, code in zip(batch.mel, batch.moments, batch.code, strict=True):
        assert len(moments) == PIECE_FRAMES
        own = mel[0, 40, moments + LEAD]  # the column at each frame's start is as loud as the jaw is open
        np.testing.assert_allclose((own + 4) / 16, code[:, 0], atol=0.02)
        assert moments[-1] + COLUMNS <= mel.shape[2]


def test_the_whole_recording_comes_in_parts_that_meet(file: Path) -> None:
    corpus = SpeechCorpus(file, LEAD)
    network = MotionNetwork(len(MOUTH_NAMES), 16)
    with torch.inference_mode():
        parts = torch.cat([network(part) for part in corpus.whole(200)], dim=2)
        (at_once,) = [network(part) for part in corpus.whole()]
    torch.testing.assert_close(parts, at_once, rtol=1e-4, atol=1e-5)
    assert parts.shape[2] > corpus.first[-1]


def test_other_mouths_and_microphones_keep_silence() -> None:
    silence = np.full((80, 5), SILENCE, np.float32)
    np.testing.assert_array_equal(warped(silence, 0.05, -2.0), silence)
    np.testing.assert_array_equal(tilted(silence, 0.3, 0.3), silence)
    one_band = silence.copy()
    one_band[40] = 2.0
    assert warped(one_band, 0.0, 2.0)[38, 0] == 2.0
    assert tilted(one_band, 0.0, 0.5)[40, 0] == 2.5


def test_training_goes_on_where_it_stopped(file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    corpus, out = SpeechCorpus(file, LEAD), tmp_path / "motion.safetensors"
    training.train(corpus, corpus, out, 2, LEAD, 16)
    assert torch.load(out.with_suffix(".state.pt"), weights_only=True)["step"] == 2
    training.train(corpus, corpus, out, 4, LEAD, 16)
    ended = torch.load(out.with_suffix(".state.pt"), weights_only=True)
    assert ended["step"] == 4
    assert float(ended["optimiser"]["state"][0]["step"]) == 4, "the optimiser's moments were carried over"
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2", "4"]
    assert not list(tmp_path.glob("*.part")), "files appear whole or not at all"
    motion = load_motion(out)
    assert (motion.window.columns, motion.window.lead_columns) == (COLUMNS, LEAD)
    with torch.inference_mode():
        expected = training.hear(training.Training(corpus, out, 4, 16).network, corpus)
    windows = np.stack([corpus.mel[:, first : first + COLUMNS] for first in corpus.first[:9]]).astype(np.float32)
    np.testing.assert_allclose(motion.code(windows), expected[:9], atol=0.03)


def test_lag_is_what_it_was_shifted_by(file: Path) -> None:
    corpus = SpeechCorpus(file, LEAD)
    figures = judge(np.roll(corpus.code, 1, axis=0), corpus.code)
    assert figures["lag_ms"] == pytest.approx(40, abs=12)
    exact = judge(corpus.code, corpus.code)
    assert exact["lag_ms"] == pytest.approx(0, abs=12)
    assert exact["jaw_correlation"] == pytest.approx(1)


def test_the_shipped_network_opens_the_jaw_for_a_vowel_and_not_for_silence() -> None:
    motion = load_motion()
    time_s = np.arange(SPEECH_RATE_HZ) / SPEECH_RATE_HZ
    pulses = np.sin(2 * np.pi * 120 * time_s) > 0.98
    vowel = np.zeros_like(time_s)
    for formant_hz, width_hz in ((750, 90), (1150, 110), (2500, 160)):  # an open a
        decay = np.exp(-np.pi * width_hz * time_s[:800])
        vowel += np.convolve(pulses, decay * np.sin(2 * np.pi * formant_hz * time_s[:800]))[: len(vowel)]
    mel = mel_spectrogram((0.3 * vowel / np.abs(vowel).max()).astype(np.float32))[:, -COLUMNS - 4 : -4]
    silence = np.full_like(mel, SILENCE)
    said, silent = motion.weights(np.stack([mel, silence]))
    assert said[INDEX["jawOpen"]] > 0.15
    assert silent.max() < 0.05


def test_a_file_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="visavis train motion"):
        load_motion(tmp_path / "none.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"damaged\.safetensors"):
        load_motion(tmp_path / "damaged.safetensors")
