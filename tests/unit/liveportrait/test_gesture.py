"""Gestures: smooth, bounded, without a word of their own."""

import numpy as np
import pytest

from models.liveportrait.gesture import GESTURES, Gesture, GesturePlayer, Offsets, envelope
from models.liveportrait.live_driver import ANGLE_STEP_DEG, EXP_STEP
from models.motion.expression import limits

JAW, CORNER, BROWS = 19, 14, (1, 2)


def played(player: GesturePlayer, frames: range) -> list[Offsets]:
    return [player.at(frame) for frame in frames]


def values(offsets: list[Offsets]) -> np.ndarray:
    return np.stack([np.concatenate((o.angles_deg / 4, o.exp.ravel() / 0.012, o.silent_exp.ravel())) for o in offsets])


def test_an_envelope_rises_holds_and_falls_without_a_kink() -> None:
    shares = envelope(0.4, 0.2, 0.8)
    assert (shares[0], shares[10:16].min(), shares[-1]) == (0, 1, 0)
    assert len(shares) == 11 + 5 + 21
    assert (np.diff(shares[:11]) > 0).all()
    assert (np.diff(shares[-21:]) < 0).all()
    assert max(shares[1], shares[-2]) < 0.03


@pytest.mark.parametrize("gesture", GESTURES.values(), ids=lambda gesture: gesture.name)
def test_built_in_gestures_begin_and_end_at_nothing_and_never_jump(gesture: Gesture) -> None:
    assert not gesture.curve[0].any()
    assert not gesture.curve[-1].any()
    assert 1 < gesture.seconds < 3
    player = GesturePlayer()
    player.at(99)
    player.play(gesture)
    shown = played(player, range(100, 100 + len(gesture.curve) + 2))
    assert np.abs(np.diff(values(shown), axis=0)).max() < 0.8, "within the bounds, so nothing is cut off"
    low, high = limits()
    for offsets, frame in zip(shown, gesture.curve, strict=False):
        np.testing.assert_allclose(offsets.angles_deg, frame[:3])
        assert (offsets.exp >= low - 1e-9).all()
        assert (offsets.exp <= high + 1e-9).all()
        assert offsets.exp[JAW, 1] == 0, "the jaw is the sound's"
    assert not values(shown[-1:]).any()


def test_each_does_what_its_name_says() -> None:
    peak = {name: GESTURES[name].curve[np.abs(GESTURES[name].curve).sum(axis=1).argmax()] for name in GESTURES}
    exp = {name: curve[7 : 7 + 63].reshape(21, 3) for name, curve in peak.items()}
    assert exp["smile"][CORNER, 1] < -0.01
    assert exp["smile"][16, 1] < 0
    assert peak["nod"][0] < -5
    assert not exp["nod"].any()
    assert all(exp["surprise"][brow, 1] < -0.003 for brow in BROWS)
    assert not exp["surprise"][CORNER].any()


def test_a_new_gesture_takes_over_from_where_the_old_one_stands() -> None:
    player = GesturePlayer()
    player.play(GESTURES["smile"])
    shown = played(player, range(20))
    smiled = shown[-1].exp[CORNER, 1]
    assert smiled < -0.01
    player.play(GESTURES["nod"])
    shown += played(player, range(20, 60))
    assert np.abs(np.diff(values(shown), axis=0)).max() < 0.8
    assert shown[20].exp[CORNER, 1] == pytest.approx(smiled)
    assert abs(shown[32].exp[CORNER, 1]) < 1e-9
    assert min(o.angles_deg[0] for o in shown) < -5
    assert not values(shown[-1:]).any()


def test_a_curve_that_jumps_is_shown_no_faster_than_heads_move() -> None:
    curve = np.zeros((20, 133))
    curve[5:15, :3], curve[5:15, 7:70] = 60, 0.4
    player = GesturePlayer()
    player.play(Gesture("wild", curve))
    shown = played(player, range(80))
    assert np.abs(np.diff([o.angles_deg for o in shown], axis=0)).max() <= ANGLE_STEP_DEG + 1e-9
    assert np.abs(np.diff([o.exp for o in shown], axis=0)).max() <= EXP_STEP + 1e-9
    assert not values(shown[-1:]).any()


def test_frames_asked_for_again_and_dropped_ones() -> None:
    one, other = GesturePlayer(), GesturePlayer()
    for player in (one, other):
        player.at(0)
        player.play(GESTURES["nod"])
    every = played(one, range(1, 9))
    np.testing.assert_array_equal(one.at(8).angles_deg, every[-1].angles_deg)
    np.testing.assert_array_equal(one.at(3).angles_deg, every[-1].angles_deg)
    other.at(1)
    np.testing.assert_allclose(other.at(8).angles_deg, every[-1].angles_deg)
