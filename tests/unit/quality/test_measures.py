"""Each measure against an answer that is known."""

import cv2
import numpy as np
import pytest

from models.quality import measures


@pytest.fixture
def picture() -> np.ndarray:
    rng = np.random.default_rng(1)
    noise = cv2.GaussianBlur(rng.uniform(0, 255, (60, 80, 3)).astype(np.float32), (0, 0), 1.5)
    return np.clip((noise - 127) * 3 + 127, 20, 235).astype(np.uint8)


EVERYWHERE = np.ones((60, 80), dtype=bool)


def speech_like(shift_frames: float, count: int = 300) -> np.ndarray:
    times = np.arange(count) - shift_frames
    return np.sin(0.23 * times) + 0.6 * np.sin(0.61 * times + 1.0)


def test_psnr_of_a_difference_of_16_is_24_db(picture: np.ndarray) -> None:
    other = picture + np.uint8(16)
    assert measures.psnr_db(measures.mean_square_error(picture, other, EVERYWHERE)) == pytest.approx(24.05, abs=0.01)
    assert measures.psnr_db(0.0) == np.inf


def test_only_the_pixels_inside_count(picture: np.ndarray) -> None:
    other = picture.copy()
    other[:20] = 0
    inside = EVERYWHERE.copy()
    inside[:20] = False
    assert measures.mean_square_error(picture, other, inside) == 0
    assert measures.sharpness(measures.luma(picture), inside) != measures.sharpness(measures.luma(picture), EVERYWHERE)


def test_ssim_is_1_for_equal_pictures_and_falls_with_blur_and_noise(picture: np.ndarray) -> None:
    grey = measures.luma(picture)
    assert measures.ssim(grey, grey, EVERYWHERE) == pytest.approx(1.0, abs=1e-6)
    soft, softer = (cv2.GaussianBlur(grey, (0, 0), sigma) for sigma in (1.0, 3.0))
    scores = [measures.ssim(other, grey, EVERYWHERE) for other in (soft, softer, 255 - grey)]
    assert 1.0 > scores[0] > scores[1] > scores[2]
    assert scores[2] < 0


def test_ssim_of_flat_pictures_is_the_luminance_term() -> None:
    a, b = np.full((30, 30), 100, np.uint8), np.full((30, 30), 150, np.uint8)
    expected = (2 * 100 * 150 + 2.55**2) / (100**2 + 150**2 + 2.55**2)
    assert measures.ssim(a, b, np.ones((30, 30), dtype=bool)) == pytest.approx(expected, abs=1e-3)


def test_blurred_pictures_are_less_sharp(picture: np.ndarray) -> None:
    grey = measures.luma(picture)
    sharp = measures.sharpness(grey, EVERYWHERE)
    assert measures.sharpness(cv2.GaussianBlur(grey, (0, 0), 1.0), EVERYWHERE) < 0.5 * sharp
    assert measures.sharpness(np.full_like(grey, 90), EVERYWHERE) == 0


@pytest.mark.parametrize("shift", [-3.0, -0.4, 0.0, 0.5, 2.0])
def test_a_late_curve_has_a_positive_lag(shift: float) -> None:
    lag = measures.best_lag(speech_like(0), speech_like(shift), np.ones(300, dtype=bool), 40.0)
    assert lag is not None
    assert lag.lag_ms == pytest.approx(40.0 * shift, abs=2.0)
    assert lag.correlation > 0.98


def test_no_lag_where_there_is_no_peak() -> None:
    every = np.ones(300, dtype=bool)
    assert measures.best_lag(speech_like(0), np.zeros(300), every, 40.0) is None
    assert measures.best_lag(np.arange(300.0), np.arange(300.0), every[:8], 40.0) is None


def test_correlation_of_what_does_not_move_is_0() -> None:
    assert measures.correlation(np.ones(9), np.arange(9.0)) == 0
    assert measures.correlation(np.arange(9.0), -np.arange(9.0)) == pytest.approx(-1)
    assert measures.correlation(np.zeros(0), np.zeros(0)) == 0


def test_amplitude_is_a_ratio_of_spreads() -> None:
    assert measures.amplitude_ratio(0.5 * speech_like(0) + 3, speech_like(0)) == pytest.approx(0.5)
    assert measures.amplitude_ratio(speech_like(0), np.ones(300)) == 0


def test_frames_near_a_time_are_those_whose_centre_is() -> None:
    assert measures.frames_near(1.0, 0.040, 25, 100).tolist() == [24, 25]
    assert measures.frames_near(1.02, 0.040, 25, 100).tolist() == [24, 25, 26]
    assert measures.frames_near(9.0, 0.040, 25, 100).tolist() == []


def test_closure_recall_counts_a_closure_two_frames_late_as_missed() -> None:
    opening = np.full(100, 5.0)
    opening[[25, 52]] = 0.0
    closures = [1.02, 2.02]  # frame 25 itself, and frame 50
    assert measures.closure_recall(opening, closures, 0.6, 0.040, 25) == 0.5
    assert measures.closure_recall(opening, [], 0.6, 0.040, 25) is None


def test_a_frame_of_lag_is_no_false_closure_but_a_shut_vowel_is() -> None:
    render = np.full(60, 6.0)
    render[20:23] = 0.0
    every = np.ones(60, dtype=bool)
    late = np.roll(render, 1)
    assert measures.false_closures(late, render, 0.6, 2.0, every) == 0
    late[40:46] = 0.1
    assert measures.false_closures(late, render, 0.6, 2.0, every) == pytest.approx(6 / 55)
    assert measures.false_closures(late, np.zeros(60), 0.6, 2.0, every) is None


def test_dilation_reaches_both_ways() -> None:
    chosen = np.zeros(9, dtype=bool)
    chosen[4] = True
    assert np.flatnonzero(measures.dilated(chosen, 2)).tolist() == [2, 3, 4, 5, 6]
