"""The gauge on renders it was not fitted on, and the truth it is fitted with."""

import dataclasses

import cv2
import numpy as np
import pytest

from models.avatar import Avatar
from models.errors import AvatarError, MediaError
from models.quality.opening import (
    MIN_CORRELATION,
    OPEN_MM,
    SHUT_MM,
    OpeningGauge,
    Renders,
    ridge,
    shut_threshold,
    speech_renders,
)
from models.quality.region import MouthRegion
from models.quality.truth import Truth
from models.studio.arkit import weights


@pytest.fixture(scope="module")
def unseen(ada: Avatar, truth: Truth, spoken: None) -> Renders:
    return speech_renders(truth, len(ada), count=60, seed=2)


def measured(gauge: OpeningGauge, renders: Renders) -> np.ndarray:
    pairs = zip(renders.pictures, renders.frames, strict=True)
    return np.array([gauge.measure(picture, int(frame)) for picture, frame in pairs])


def test_the_gauge_agrees_with_the_mesh_on_renders_it_has_not_seen(gauge: OpeningGauge, unseen: Renders) -> None:
    assert gauge.agreement(unseen) >= MIN_CORRELATION
    assert measured(gauge, unseen).std() == pytest.approx(unseen.openings_mm.std(), rel=0.1)


def test_a_soft_picture_measures_nearly_the_same(ada: Avatar, gauge: OpeningGauge, unseen: Renders) -> None:
    soft = []
    for picture, frame in zip(unseen.pictures, unseen.frames, strict=True):
        blurred = picture.copy()
        x0, y0, x1, y1 = ada.boxes[frame]
        blurred[y0:y1, x0:x1] = cv2.GaussianBlur(picture[y0:y1, x0:x1], (0, 0), 2.0)
        soft.append(blurred)
    gap = measured(gauge, dataclasses.replace(unseen, pictures=soft)) - measured(gauge, unseen)
    assert np.abs(gap).mean() < 0.05 * gauge.range_mm


def test_the_threshold_parts_shut_from_open(gauge: OpeningGauge, unseen: Renders) -> None:
    values = measured(gauge, unseen)
    assert (values[unseen.openings_mm < SHUT_MM] < gauge.shut_below_mm).mean() >= 0.9
    assert (values[unseen.openings_mm > OPEN_MM] < gauge.shut_below_mm).mean() <= 0.05


def test_the_idle_picture_is_shut_exactly(ada: Avatar, gauge: OpeningGauge) -> None:
    assert all(gauge.measure(ada.frames_i420[frame], frame) == 0 for frame in (0, 34, 249))


def test_ridge_finds_the_weights_of_a_line() -> None:
    features = np.random.default_rng(1).normal(size=(50, 8))
    true = np.arange(8.0)
    assert ridge(features, features @ true, 1e-6) == pytest.approx(true, abs=1e-4)


def test_a_threshold_needs_both_kinds() -> None:
    assert 0.2 < shut_threshold(np.array([0.1, 0.2, 1.0, 3.0]), np.array([0.0, 0.0, 1.5, 3.0])) < 1.0
    with pytest.raises(MediaError, match="more of them"):
        shut_threshold(np.array([1.0]), np.array([3.0]))


def test_the_region_is_what_the_mask_pastes(ada: Avatar) -> None:
    region = MouthRegion(ada)
    assert region.inside.sum() == (ada.mask > 127).sum()
    assert region.cut(ada.frames_i420[3], 3).shape == (*region.inside.shape, 3)
    assert np.array_equal(region.box(ada.frames_i420[3], 253), ada.crop_rgb(3))
    with pytest.raises(AvatarError, match="pastes nothing"):
        MouthRegion(dataclasses.replace(ada, mask=np.zeros_like(ada.mask)))


def test_the_truth_opens_only_what_is_pasted(ada: Avatar, truth: Truth) -> None:
    mouth = weights(jawOpen=0.5)
    changed = truth.picture(7, mouth) != ada.frames_i420[7]
    x0, y0, x1, y1 = ada.boxes[7]
    assert changed[y0:y1, x0:x1].any()
    changed[y0:y1, x0:x1] = False
    assert not changed[: ada.height].any()
    assert truth.picture(7, np.zeros(52, np.float32)) is not None
    assert truth.opening_mm(7, mouth) > 5
    assert truth.opening_mm(7, np.zeros(52, np.float32)) < SHUT_MM


def test_an_avatar_without_a_truth_is_a_sentence(ada: Avatar, truth: Truth) -> None:
    with pytest.raises(AvatarError, match="not drawn by the studio"):
        Truth(dataclasses.replace(ada, name="disc"))
    with pytest.raises(AvatarError, match="avatar_builder ada"):
        Truth(dataclasses.replace(ada, boxes=ada.boxes + 2), truth.stage)
