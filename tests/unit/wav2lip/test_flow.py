import numpy as np
import pytest

from models.studio.shards import packed_flow
from models.wav2lip.flow import Flows

SIZE = 32
ROWS, COLUMNS = np.mgrid[:SIZE, :SIZE].astype(np.float32)


def constant(right: float, down: float) -> np.ndarray:
    return np.broadcast_to(np.float32([right, down]), (SIZE, SIZE, 2)).copy()


def flows(*pairs: tuple[np.ndarray, np.ndarray]) -> Flows:
    to_rest, from_rest = (np.stack([packed_flow(pair[side]) for pair in pairs]) for side in range(2))
    return Flows(len(pairs), SIZE, to_rest, from_rest)


def test_flow_is_kept_to_an_eighth_of_a_pixel_and_what_is_not_known_is_not() -> None:
    for right, down in np.random.default_rng(1).uniform(-31, 31, (20, 2)):
        flow = constant(right, down)
        flow[3, 4] = np.nan
        flow[5, 6] = 2.0, 40.0
        found = flows((flow, constant(-right, -down))).to_rest([0])[0]
        unknown = np.isnan(found).any(axis=2)
        assert set(zip(*np.nonzero(unknown), strict=True)) == {(3, 4), (5, 6)}
        assert np.abs(found - flow)[~unknown].max() <= 0.125


def test_between_two_mouths_goes_by_way_of_rest() -> None:
    some = flows((constant(2, 3), constant(-2, -3)), (constant(-1, 5), constant(1, -5)))
    np.testing.assert_allclose(some.between(0, 1), constant(3, -2))
    np.testing.assert_allclose(some.between(1, 1), constant(0, 0))
    np.testing.assert_allclose(some.from_rest(1), constant(1, -5))
    # Read where the pixel is at rest, not where it is now.
    grows, shrinks = (np.stack([np.zeros_like(ROWS), share * (ROWS - 16)], axis=2) for share in (1, -0.5))
    shifted = flows((constant(0, 4), constant(0, -4)), (shrinks, grows))
    np.testing.assert_allclose(shifted.between(0, 1)[6:18, :, 1], (4 + ROWS + 4 - 16)[6:18], atol=0.13)


def test_what_is_hidden_on_the_way_is_not_known() -> None:
    hidden = constant(1, 0)
    hidden[10, 10] = np.nan
    some = flows((constant(1, 0), constant(-1, 0)), (constant(0, 0), hidden))
    unknown = np.isnan(some.between(0, 1)).any(axis=2)
    assert unknown[10, 9]
    assert unknown.sum() <= 4


def test_what_the_other_picture_hides_is_not_known() -> None:
    """A chin that speaks 6 px lower hides the neck, which does not move; at rest nothing of the two is hidden."""
    chin_at_rest, chin_speaking = ROWS < 16, ROWS < 22
    down = np.stack([np.zeros_like(ROWS), 6.0 * chin_at_rest], axis=2)
    up = np.stack([np.zeros_like(ROWS), -6.0 * chin_speaking], axis=2)
    some = flows((up, down))
    found = some.from_rest(0)
    hidden = np.isnan(found).any(axis=2)
    np.testing.assert_array_equal(hidden, (ROWS >= 16) & (ROWS < 22))
    np.testing.assert_array_equal(found[~hidden], down[~hidden])
    known = ROWS[:, 0] >= 6  # what speaks above has come from beyond the picture
    np.testing.assert_array_equal(some.to_rest([0])[0][known], up[known])


def test_samples_without_flow_join_those_with() -> None:
    joined = Flows.joined([Flows(2, SIZE), flows((constant(1, 2), constant(-1, -2))), Flows(1, SIZE)])
    found = joined.to_rest(np.arange(4))
    assert np.isnan(found[[0, 1, 3]]).all()
    np.testing.assert_allclose(found[2], constant(1, 2))
    assert np.isnan(joined.between(2, 0)).all()
    with pytest.raises(IndexError):
        joined.to_rest([4])
