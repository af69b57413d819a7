import numpy as np
import pytest
import torch
from torch import Tensor

from models.wav2lip.trace import Trace

_SIZE = (24, 36)
_CONTROLS = 3


def _samples(rng: np.random.Generator, count: int = 8) -> tuple[Tensor, Tensor, Tensor]:
    target = torch.from_numpy(rng.random((count, 3, *_SIZE))).float()
    worn = torch.from_numpy(rng.random((count, _CONTROLS))).float()
    return target, worn, torch.from_numpy(rng.integers(0, 2, count))


def _stain(row: int, column: int) -> Tensor:
    stain = torch.zeros(1, *_SIZE)
    stain[:, row : row + 6, column : column + 6] = 1.0
    return stain


def _settled(shares: tuple[float, float], noise: float = 0.0, bend: float = 0.0) -> float:
    """The term after 800 samples whose second control leaves a stain, as strong as each source's share.

    ``bend``: how strong one is that half of the control leaves, and neither none nor all of it.
    """
    rng, trace, value = np.random.default_rng(5), Trace(2), 0.0
    for _ in range(100):
        target, worn, source = _samples(rng)
        between = worn[:, 1] * (1 - worn[:, 1]) - 1 / 6  # 0 on average
        strength = torch.tensor(shares)[source] * worn[:, 1] + bend * between
        error = strength[:, None, None, None] * _stain(6, 12) + noise * torch.randn(len(target), 3, *_SIZE)
        value = float(trace.term(target + error, target, torch.ones(1, 1, *_SIZE), worn, source))
    return value


def test_an_error_that_follows_a_control_is_seen_whichever_way_it_goes() -> None:
    torch.manual_seed(0)
    unrelated = _settled((0.0, 0.0), noise=0.02)
    assert _settled((0.1, 0.1), noise=0.02) > 10 * unrelated
    # Of one source it adds, of the other it takes away: an average over both would not know of either.
    assert _settled((0.1, -0.1), noise=0.02) > 10 * unrelated


def test_the_term_takes_the_trace_away() -> None:
    rng, trace = np.random.default_rng(7), Trace(2)
    leaks = torch.tensor([0.1, -0.1], requires_grad=True)
    optimiser = torch.optim.Adam([leaks], lr=1e-3)
    for _ in range(500):
        target, worn, source = _samples(rng)
        error = (leaks[source] * worn[:, 1])[:, None, None, None] * _stain(6, 12)
        term = trace.term(target + error, target, torch.ones(1, 1, *_SIZE), worn, source)
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
    assert leaks.abs().max() < 0.02


def test_what_always_lies_there_counts_once() -> None:
    rng, trace, value = np.random.default_rng(9), Trace(1), 0.0
    for _ in range(200):
        target, worn, _ = _samples(rng)
        paste, source = torch.ones(1, 1, *_SIZE), torch.zeros(len(target), dtype=torch.int64)
        value = float(trace.term(target + 0.02 * _stain(0, 0), target, paste, worn, source))
    patches = _SIZE[0] * _SIZE[1] / 6**2
    assert value == pytest.approx(0.02**2 / patches, rel=0.15)  # and hardly anything seems to move with a control


def test_an_error_at_mouths_between_shut_and_wide_is_seen() -> None:
    torch.manual_seed(0)
    plain, bent = (_settled((0.0, 0.0), noise=0.02, bend=bend) for bend in (0.0, 0.4))
    assert bent > 5 * plain
