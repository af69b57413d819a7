import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.audio.mel import N_MELS, SILENCE, MelStream, column_count, filter_bank, mel_spectrogram


def speechlike(samples: int, seed: int = 0) -> np.ndarray:
    """Voiced sound with pauses: harmonics of a gliding pitch under a slow envelope, and some breath."""
    time_s = np.arange(samples) / 16_000
    pitch = 2 * np.pi * np.cumsum(120 + 40 * np.sin(5 * time_s)) / 16_000
    envelope = np.clip(np.sin(13 * time_s + seed), 0, 1)
    voice = sum(np.sin(k * pitch) / k for k in range(1, 20)) * 0.1
    noise = np.random.default_rng(seed).normal(0, 0.005, samples)
    return (envelope * (voice + noise)).astype(np.float32)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 9_000), st.lists(st.integers(0, 2_500), max_size=25), st.integers(0, 3))
def test_any_split_equals_the_whole_file(total: int, sizes: list[int], seed: int) -> None:
    samples = speechlike(total, seed)
    stream = MelStream(capacity=64)
    at = new = 0
    for size in [*sizes, total]:
        new += stream.push(samples[at : at + size])
        at = min(total, at + size)
    assert new == stream.columns == max(0, (total - 400) // 200 + 1)
    new += stream.flush()
    assert new == stream.columns == column_count(total)
    whole = mel_spectrogram(samples)
    np.testing.assert_allclose(stream.window(0, stream.columns), whole, rtol=0, atol=1e-5)


def test_a_column_comes_with_its_last_sample() -> None:
    stream = MelStream()
    assert stream.push(np.zeros(399, np.float32)) == 0
    assert stream.push(np.zeros(1, np.float32)) == 1
    assert stream.push(np.zeros(199, np.float32)) == 0
    assert stream.push(np.zeros(1, np.float32)) == 1


def test_ring_keeps_the_newest_columns_and_says_what_it_lacks() -> None:
    samples = speechlike(32_000)
    stream = MelStream(capacity=32)
    for at in range(0, len(samples), 320):
        stream.push(samples[at : at + 320])
    whole = mel_spectrogram(samples)
    newest = stream.columns - 32
    np.testing.assert_allclose(stream.window(newest, 32), whole[:, newest : newest + 32], rtol=0, atol=1e-5)
    with pytest.raises(IndexError, match="discarded"):
        stream.window(newest - 1, 16)
    with pytest.raises(IndexError, match="computed"):
        stream.window(stream.columns - 15, 16)


def test_a_push_longer_than_the_ring_keeps_its_end() -> None:
    samples = speechlike(400_000)
    stream = MelStream(capacity=40)
    assert stream.push(samples) == stream.columns
    whole = mel_spectrogram(samples)
    start = stream.columns - 40
    np.testing.assert_allclose(stream.window(start, 40), whole[:, start : start + 40], rtol=0, atol=1e-5)


def test_before_the_beginning_is_silence() -> None:
    stream = MelStream()
    stream.push(speechlike(3_200, seed=1))
    window = stream.window(-6, 16)
    assert (window[:, :6] == SILENCE).all()
    np.testing.assert_array_equal(window[:, 6:], stream.window(0, 10))
    assert (MelStream().window(-16, 16) == SILENCE).all()


def test_reflection_changes_only_the_outer_two_columns() -> None:
    samples = speechlike(16_000, seed=1) + np.float32(0.01)
    zeros, reflected = mel_spectrogram(samples), mel_spectrogram(samples, padding="reflect")
    np.testing.assert_array_equal(zeros[:, 2:-2], reflected[:, 2:-2])
    assert np.abs(zeros[:, [0, 1]] - reflected[:, [0, 1]]).max() > 0.01


def test_a_tone_lights_the_band_it_lies_in() -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(16_000) / 16_000).astype(np.float32)
    mel = mel_spectrogram(tone)
    assert mel.shape == (N_MELS, 81)
    assert mel.dtype == np.float32
    band = filter_bank()[:, 50].argmax()  # bin 50 of 401 is 1 kHz
    assert mel[:, 40].argmax() == band


def test_bad_sound_is_refused() -> None:
    for bad in (np.array([0.0, np.nan], np.float32), np.zeros((4, 2), np.float32)):
        with pytest.raises(ValueError):
            mel_spectrogram(bad)
        with pytest.raises(ValueError):
            MelStream().push(bad)
    stream = MelStream()
    stream.flush()
    with pytest.raises(ValueError, match="flushed"):
        stream.push(np.zeros(320, np.float32))


def test_a_push_is_cheap() -> None:
    samples = speechlike(320 * 500)
    stream = MelStream()
    spent = []
    for at in range(0, len(samples), 320):
        started = time.perf_counter()
        stream.push(samples[at : at + 320])
        spent.append(time.perf_counter() - started)
    assert 1000 * float(np.median(spent)) < 0.3
