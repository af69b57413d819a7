"""The ear: its corpus, its training, its files, and what the shipped one hears."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soxr
import torch

from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import SILENCE, mel_spectrogram
from models.errors import CheckpointError
from models.motion.corpus import SpeechCorpus, masked, tilted, warped
from models.motion.ear import ASSET, HEARD_COLUMNS, Ear, EarShape, begin_as, load_ear, load_encoder
from models.motion.judge import judge
from models.motion.train_ear import Training, hear, main, train
from models.studio.arkit import INDEX
from models.studio.visemes import MOUTH_NAMES
from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ, first_column
from models.wav2lip.weights import ASSET as GENERATOR
from server.paths import STATIC
from server.render import read_sound

pytestmark = pytest.mark.usefixtures("one_thread")

SHAPE = EarShape(0.05)
PRESS = MOUTH_NAMES.index("mouthPress")


@pytest.fixture
def file(tmp_path: Path, frames: int = 320) -> Path:
    """Loud windows open the jaw: enough for a network to learn something."""
    rng = np.random.default_rng(1)
    level = np.repeat(rng.random(frames // 8), 8).astype(np.float32)
    level[16::32] = 0.0
    columns = np.interp(np.arange(frames * 16 // 5 + 16) * 5 / 16, np.arange(frames), level)
    mel = np.broadcast_to(8 * columns - 4, (80, len(columns))).astype(np.float16)
    code = np.tile(level[:, None], (1, len(MOUTH_NAMES))) * 0.5
    code[:, PRESS] = 0.5 * (level == 0)
    path, starts = tmp_path / "corpus.npz", np.arange(frames) * 16 // 5
    np.savez(path, mel=mel, code=code.astype(np.float16), starts=starts, names=np.array(MOUTH_NAMES))
    return path


@pytest.fixture
def corpus(file: Path) -> SpeechCorpus:
    return SpeechCorpus(file, SHAPE)


def test_windows_begin_before_the_frame(file: Path, corpus: SpeechCorpus) -> None:
    lead = SHAPE.lead_columns
    window = corpus.windows(np.array([0, 100]))
    assert window.shape == (2, 1, 80, 16)
    assert (window[0, :, :, :lead] == SILENCE).all(), "before the sound there is silence"
    first = 100 * 16 // 5 - lead
    with np.load(file) as data:
        assert np.array_equal(window[1, 0].numpy(), data["mel"][:, first : first + 16].astype(np.float32))


def test_other_mouths_and_microphones_keep_silence() -> None:
    silence = np.full((80, 5), SILENCE, np.float32)
    np.testing.assert_array_equal(warped(silence, 0.05, -2.0), silence)
    np.testing.assert_array_equal(tilted(silence, 0.3, 0.3), silence)
    one_band = silence.copy()
    one_band[40] = 2.0
    assert warped(one_band, 0.0, 2.0)[38, 0] == 2.0
    assert tilted(one_band, 0.0, 0.5)[40, 0] == 2.5


def test_masks_take_whole_bands_and_few_of_them() -> None:
    rng = np.random.default_rng(3)
    mel = rng.uniform(-3, 3, (80, 5)).astype(np.float32)
    before = mel.copy()
    for bands in range(1, 13):
        changed = (masked(mel, bands, rng) != mel).all(axis=1)
        assert (masked(mel, bands, rng) != mel).any(axis=1).sum() == bands == changed.sum()
        assert np.ptp(np.flatnonzero(changed)) == bands - 1, "side by side"
    np.testing.assert_array_equal(mel, before)


def test_training_goes_on_where_it_stopped(
    corpus: SpeechCorpus, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "ear.safetensors"
    train(Training(corpus, out, 2, SHAPE), corpus)
    assert torch.load(out.with_suffix(".state.pt"), weights_only=True)["step"] == 2
    train(Training(corpus, out, 4, SHAPE), corpus)
    ended = torch.load(out.with_suffix(".state.pt"), weights_only=True)
    assert ended["step"] == 4
    assert float(ended["optimiser"]["state"][0]["step"]) == 4, "the optimiser's moments were carried over"
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["2", "4"]
    assert not list(tmp_path.glob("*.part")), "files appear whole or not at all"


def test_a_deeper_ear_begins_as_the_one_it_starts_from(corpus: SpeechCorpus, tmp_path: Path) -> None:
    out, deeper_out = tmp_path / "ear.safetensors", tmp_path / "deeper.safetensors"
    train(Training(corpus, out, 1, SHAPE), corpus)
    deeper = EarShape(SHAPE.width, residuals=3)
    encoder = deeper.build()
    begin_as(encoder, out)
    _, shallow = load_encoder(out)
    assert np.abs(hear(encoder, corpus) - hear(shallow, corpus)).max() < 1e-5
    train(Training(corpus, deeper_out, 1, deeper, out), corpus)
    assert load_encoder(deeper_out)[0] == deeper, "its file says how deep it is"
    with pytest.raises(CheckpointError, match="deeper"):
        begin_as(SHAPE.build(), deeper_out)


def test_half_way_is_the_mean_of_where_it_began_and_where_it_is(corpus: SpeechCorpus, tmp_path: Path) -> None:
    began, became, between = (tmp_path / f"{name}.safetensors" for name in ("began", "became", "between"))
    train(Training(corpus, began, 2, SHAPE), corpus)
    train(Training(corpus, became, 3, SHAPE, began), corpus)
    train(Training(corpus, between, 3, SHAPE, began, half_way=True), corpus)
    first, last, mean = (load_encoder(path)[1].state_dict() for path in (began, became, between))
    for name, tensor in mean.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, (first[name] + last[name]) / 2, rtol=0.02, atol=1e-3)
    assert any(not torch.equal(tensor, first[name]) for name, tensor in mean.items())


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_norms_keep_their_statistics_while_the_ear_learns(
    corpus: SpeechCorpus, tmp_path: Path, frozen: bool
) -> None:
    began, became = tmp_path / "began.safetensors", tmp_path / "became.safetensors"
    train(Training(corpus, began, 2, SHAPE), corpus)
    train(Training(corpus, became, 3, SHAPE, began, freeze_norms=frozen), corpus)
    before, after = (load_encoder(path)[1].state_dict() for path in (began, became))
    same = {name: torch.equal(tensor, before[name]) for name, tensor in after.items() if tensor.is_floating_point()}
    assert {kept for name, kept in same.items() if "running_" in name} == {frozen}
    assert not same["0.conv_block.0.weight"]


def test_frozen_norms_of_an_ear_want_one_to_begin_with(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["--corpus", str(file), "--held-out", str(file), "--out", str(tmp_path / "ear"), "--freeze-norms"])
    assert "--freeze-norms needs --start" in capsys.readouterr().err


def test_an_ear_that_hears_more_of_the_past_begins_with_what_is_new(file: Path, tmp_path: Path) -> None:
    out, longer_out = tmp_path / "ear.safetensors", tmp_path / "longer.safetensors"
    corpus = SpeechCorpus(file, SHAPE)
    train(Training(corpus, out, 1, SHAPE), corpus)
    longer = replace(SHAPE, steps=3)
    encoder = longer.build()
    begin_as(encoder, out)
    joined = encoder[-1].get_parameter("conv_block.0.weight")
    assert joined.shape[-1] == 3
    assert not joined[..., :-1].any(), "the past says nothing yet"
    assert torch.equal(joined[..., -1:], load_encoder(out)[1][-1].get_parameter("conv_block.0.weight"))
    wide = SpeechCorpus(file, longer)
    assert torch.equal(wide.windows(np.array([9]))[..., -WINDOW_COLUMNS:], corpus.windows(np.array([9])))
    train(Training(wide, longer_out, 1, longer, out), wide)
    assert load_encoder(longer_out)[0] == longer, "its file says how far it hears"
    with pytest.raises(CheckpointError, match="more of the past"):
        begin_as(SHAPE.build(), longer_out)


@pytest.mark.parametrize("shipped", [GENERATOR, ASSET])
def test_an_ear_hears_the_end_of_its_window(tmp_path: Path, shipped: Path) -> None:
    shape, encoder = load_encoder(shipped)
    sound = np.concatenate(list(read_sound(STATIC / "sample.wav")))
    mel = mel_spectrogram(np.asarray(soxr.resample(sound, WIRE_RATE_HZ, SPEECH_RATE_HZ), np.float32))
    starts = np.arange(100) * 16 // 5
    path, code = tmp_path / "corpus.npz", np.zeros((100, len(MOUTH_NAMES)), np.float16)
    np.savez(path, mel=mel.astype(np.float16), code=code, starts=starts, names=np.array(MOUTH_NAMES))
    expected = hear(encoder, SpeechCorpus(path, shape)).clip(0, 1)
    ear = Ear(encoder, shape)
    assert ear.window.start(100) + HEARD_COLUMNS == first_column(100, shape.lead_columns) + WINDOW_COLUMNS
    heard = ear.codes(mel, 100)
    other = np.abs(heard[1:] - expected[:-1]).mean()
    assert other > 0.02, "another window says something else"
    assert np.abs(heard - expected).mean() < other / 5, "half precision aside"


def test_lag_is_what_it_was_shifted_by(corpus: SpeechCorpus) -> None:
    code = corpus.code.numpy()
    assert judge(np.roll(code, 1, axis=0), code)["lag_ms"] == pytest.approx(40, abs=12)
    exact = judge(code, code)
    assert exact["lag_ms"] == pytest.approx(0, abs=12)
    assert exact["jaw_correlation"] == pytest.approx(1)


def test_the_shipped_ear_opens_the_jaw_for_a_vowel_and_not_for_silence() -> None:
    ear = load_ear()
    time_s = np.arange(SPEECH_RATE_HZ) / SPEECH_RATE_HZ
    pulses = np.sin(2 * np.pi * 120 * time_s) > 0.98
    vowel = np.zeros_like(time_s)
    for formant_hz, width_hz in ((750, 90), (1150, 110), (2500, 160)):  # an open a
        decay = np.exp(-np.pi * width_hz * time_s[:800])
        vowel += np.convolve(pulses, decay * np.sin(2 * np.pi * formant_hz * time_s[:800]))[: len(vowel)]
    mel = mel_spectrogram((0.3 * vowel / np.abs(vowel).max()).astype(np.float32))[:, -HEARD_COLUMNS - 4 : -4]
    said, silent = ear.weights(np.stack([mel, np.full_like(mel, SILENCE)]))
    assert said[INDEX["jawOpen"]] > 0.15
    assert silent.max() < 0.05


def test_a_file_that_is_missing_or_damaged_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="visavis train ear"):
        load_ear(tmp_path / "none.safetensors")
    (tmp_path / "damaged.safetensors").write_bytes(b"damaged")
    with pytest.raises(CheckpointError, match=r"damaged\.safetensors"):
        load_ear(tmp_path / "damaged.safetensors")
