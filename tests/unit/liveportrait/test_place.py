"""A place pastes what ``crop.paste`` does."""

import numpy as np
import pytest
import torch

from models.liveportrait.crop import Matrix, paste, paste_mask, place_mask
from models.liveportrait.place import Place

CPU = torch.device("cpu")


def moved(scale: float, turn: float, x: float, y: float) -> Matrix:
    """From a crop's pixels to the picture's."""
    cos, sin = scale * np.cos(turn), scale * np.sin(turn)
    return np.array(((cos, -sin, x), (sin, cos, y), (0, 0, 1)), np.float32)


@pytest.mark.parametrize(
    "to_picture",
    [moved(0.6, 0.1, 30, 12), moved(1.1, -0.2, -40, 60), moved(2.5, 0.0, -60, -60)],
    ids=["inside", "over the border", "larger than the picture"],
)
def test_a_drawn_crop_is_pasted_as_offline(to_picture: Matrix) -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (180, 240, 3)).astype(np.uint8)
    drawn = rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)
    expected = paste(drawn, picture, place_mask(paste_mask(128), to_picture, (240, 180)), to_picture)
    place, before = Place.of(picture, to_picture, 128, CPU), picture.copy()
    np.testing.assert_array_equal(place.pasted(torch.from_numpy(drawn)), expected)
    np.testing.assert_array_equal(picture, before)


def test_a_crop_beside_the_picture_shows_nowhere() -> None:
    picture = np.full((60, 80, 3), 7, np.uint8)
    place = Place.of(picture, moved(0.5, 0.0, 500, 500), 128, CPU)
    np.testing.assert_array_equal(place.pasted(torch.zeros(128, 128, 3, dtype=torch.uint8)), picture)
