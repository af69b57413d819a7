"""Codes corrected by pictures that the shipped generator draws of Ada, from codes that are known."""

import numpy as np
import pytest
import torch

from models.wav2lip.from_code import draw, face_features, planes
from models.wav2lip.objective import canvas
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.region import Cutout
from models.wav2lip.seen_code import seen_codes
from models.wav2lip.weights import ASSET, load_generator
from tests.unit.face.faces import ada


@pytest.fixture(scope="module")
def shown() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Faces at rest, the same talking, and the codes they talk by."""
    generator, info = load_generator(ASSET)
    generator.eval()
    cutout, rng = Cutout.of_mask(ada().mask, info.size), np.random.default_rng(1)
    idle = np.stack([scaled_crop(ada().crop_rgb(10 * index), info.size) for index in range(8)])
    codes = rng.uniform(0.1, 0.7, (8, 12)).astype(np.float32)
    whole = planes(idle)
    with torch.inference_mode():
        features = face_features(generator, cutout, whole)
        drawn = draw(generator, cutout, torch.from_numpy(codes), features, whole).picture
        talking = canvas(whole, drawn, cutout)
    return idle, (255 * talking).round().byte().permute(0, 2, 3, 1).numpy(), codes


def test_a_code_moves_to_what_is_seen(shown: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    idle, talking, codes = shown
    generator = load_generator(ASSET)[0].eval()
    heard = np.clip(codes + 0.15 * np.sign(np.random.default_rng(2).standard_normal(codes.shape)), 0, 1)
    heard = heard.astype(np.float32)
    seen = seen_codes(generator, ada().mask, idle, talking, heard)
    assert seen.min() >= 0
    assert seen.max() <= 1
    jaw_before, jaw = np.abs(heard - codes)[:, 0].mean(), np.abs(seen - codes)[:, 0].mean()
    assert jaw < 0.5 * jaw_before
    assert np.abs(seen - codes).mean() < 0.9 * np.abs(heard - codes).mean()


def test_a_code_that_is_right_stays(shown: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
    idle, talking, codes = shown
    seen = seen_codes(load_generator(ASSET)[0].eval(), ada().mask, idle, talking, codes)
    assert np.abs(seen - codes).max() < 0.06
    assert np.abs(seen - codes).mean() < 0.01
