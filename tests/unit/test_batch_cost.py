"""What is believed of a batch's cost."""

import pytest

from server.batch_cost import BatchCost


def test_between_the_sizes_seen_and_beyond_them() -> None:
    cost = BatchCost()
    assert (cost.of(3), cost.best_size([1, 2, 5])) == (0.0, 5)
    for frames, seconds in ((2, 0.016), (4, 0.028)):
        cost.add(frames, seconds)
    assert (cost.of(1), cost.of(3), cost.of(16)) == pytest.approx((0.008, 0.022, 0.056))


def test_the_best_size_draws_most_frames_a_second() -> None:
    cost = BatchCost()
    for frames, seconds in ((1, 0.010), (2, 0.016), (4, 0.028), (8, 0.090)):
        cost.add(frames, seconds)
    assert cost.best_size(range(1, 9)) == 4
    assert cost.best_size([1, 2]) == 2
    level = BatchCost()
    for frames in range(1, 9):
        level.add(frames, 0.01 * frames)
    assert level.best_size(range(1, 9)) == 1


def test_a_hiccup_is_not_the_rule_and_a_recovery_is_believed_at_once() -> None:
    cost = BatchCost()
    for _ in range(10):
        cost.add(1, 0.010)
    cost.add(1, 5.0)
    assert cost.of(1) < 0.020
    for _ in range(40):
        cost.add(1, 0.200)
    assert cost.of(1) == pytest.approx(0.200, rel=0.1)
    cost.add(1, 0.010)
    assert cost.of(1) == 0.010


def test_every_size_follows_a_machine_that_slows_down_and_recovers() -> None:
    cost = BatchCost()
    for frames, seconds in ((1, 0.010), (8, 0.040)):
        cost.add(frames, seconds)
    for factor in (3, 1):
        for _ in range(40):
            cost.add(8, factor * 0.040)
        assert cost.of(1) == pytest.approx(factor * 0.010, rel=0.15)
