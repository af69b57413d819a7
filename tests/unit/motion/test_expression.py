import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.liveportrait.ranges import motion_ranges
from models.motion.expression import expression, expression_map, limits
from models.studio.arkit import ARKIT_NAMES, INDEX, MOUTH, weights

JAW, CORNER, UPPER = 19, 14, 20


def offsets(**values: float) -> np.ndarray:
    return expression(weights(**values)[None])[0]


def test_a_face_at_rest_does_not_move() -> None:
    assert not offsets().any()


def test_the_jaw_moves_most_of_all_and_down() -> None:
    moved = np.abs(offsets(jawOpen=1.0))
    assert moved.argmax() == 3 * JAW + 1
    assert offsets(jawOpen=1.0)[JAW, 1] > 0.04
    assert offsets(jawOpen=1.0, mouthClose=1.0)[JAW, 1] < 0.7 * offsets(jawOpen=1.0)[JAW, 1]


def test_smiles_raise_the_lip_corners_and_rounding_lowers_them() -> None:
    assert offsets(mouthSmile=1.0)[CORNER, 1] < -0.01
    assert offsets(mouthPucker=1.0)[CORNER, 1] > 0.005
    assert offsets(mouthLeft=1.0)[JAW, 0] == -offsets(mouthRight=1.0)[JAW, 0] > 0.01


def test_one_eye_closes_alone() -> None:
    left, right = offsets(eyeBlinkLeft=1.0), offsets(eyeBlinkRight=1.0)
    assert (left[15, 1] > 0.01, left[11, 1], right[11, 1] > 0.01, right[15, 1]) == (True, 0, True, 0)
    np.testing.assert_allclose(left + right, offsets(eyeBlink=1.0), atol=1e-7)


def test_what_never_moves_in_real_faces_does_not_here() -> None:
    assert not expression_map()[:, ~motion_ranges().active].any()


def test_every_shape_of_the_mouth_but_two_moves_something() -> None:
    still = {ARKIT_NAMES[index] for index in MOUTH if not expression_map()[index].any()}
    assert still == {"cheekPuff", "tongueOut"}


@given(st.lists(st.floats(-2, 3, width=32), min_size=52, max_size=52))
def test_any_weights_stay_within_what_real_faces_do(values: list[float]) -> None:
    low, high = limits()
    moved = expression(np.array([values], np.float32))[0]
    assert (moved >= low - 1e-7).all()
    assert (moved <= high + 1e-7).all()
    assert (low <= 0).all()
    assert (high >= 0).all()


@pytest.mark.parametrize("name", ["jawOpen", "eyeBlinkLeft", "mouthPucker"])
def test_more_weight_moves_more(name: str) -> None:
    steps = [np.abs(expression(np.eye(52, dtype=np.float32)[[INDEX[name]]] * w)).sum() for w in (0.1, 0.3, 0.6, 1.0)]
    assert all(np.diff(steps) > 0)
