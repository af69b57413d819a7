"""What the face is trained on tells apart what it should."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from models.wav2lip import objective


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """A face to draw on and what it should become, (2, 3, 48, 60)."""
    torch.manual_seed(1)
    smooth = torch.nn.functional.interpolate(torch.rand(4, 3, 4, 5), size=(48, 60), mode="bilinear")
    return smooth[:2], smooth[2:]


def test_what_is_left_of_the_input_is_a_share(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    face, target = pair
    assert objective.kept(target, target, face) == 0
    assert objective.kept(face, target, face) == pytest.approx(1, abs=0.02)
    assert objective.kept(torch.lerp(target, face, 0.2), target, face) == pytest.approx(0.04, abs=0.002)
    assert objective.kept(target, target, target) == 0, "nothing is asked for, and nothing is left"
    noise = 0.1 * torch.randn_like(target)
    assert objective.kept(target + noise, target, face) < 0.002, "noise is nothing of the input's"


def test_an_error_that_all_pixels_of_a_patch_share_counts_more(pair: tuple[torch.Tensor, torch.Tensor]) -> None:
    _, target = pair
    weights = torch.ones(2, 1, 48, 60)
    alike = objective.coarse(target + 0.05, target, weights)
    assert alike == pytest.approx(0.05, rel=1e-3)
    signs = torch.randint_like(target, 2) * 2 - 1
    assert objective.coarse(target + 0.05 * signs, target, weights) < alike / 5


def test_grain_counts_how_fine_a_picture_is_and_not_where_each_hair_lies() -> None:
    stubble = 0.5 + 0.1 * torch.randn(1, 1, 60, 72, generator=torch.Generator().manual_seed(3)).expand(1, 3, -1, -1)
    soft, aside = functional.avg_pool2d(stubble, 3, 1, 1), stubble.roll(1, dims=3)
    weights = torch.ones(1, 1, 60, 72)

    def grain(drawn: torch.Tensor, target: torch.Tensor) -> float:
        return float(objective.grain(drawn, target, weights))

    assert grain(stubble, stubble) == 0
    assert grain(aside, stubble) < 0.3 * grain(soft, stubble)
    assert grain(stubble, soft) == pytest.approx(grain(soft, stubble)), "too harsh is as wrong as too soft"
    l1 = [objective.l1_and_edge(drawn, stubble, weights)[0] for drawn in (aside, soft)]
    assert l1[0] > l1[1], "which L1 alone would choose"


def test_chequers_are_no_grain() -> None:
    plain = torch.full((1, 3, 48, 60), 0.5)
    chequers = 0.2 * ((torch.arange(48)[:, None] + torch.arange(60)) % 2 - 0.5)
    weights = torch.ones(1, 1, 48, 60)
    inner = np.s_[..., 6:-6, 6:-6]
    stubble = plain + 0.1 * torch.randn(1, 1, 48, 60, generator=torch.Generator().manual_seed(5))
    soft, chequered = (objective.grain(x[inner], stubble[inner], weights[inner]) for x in (plain, plain + chequers))
    assert chequered == pytest.approx(float(soft), rel=0.02)


def test_only_what_could_be_moved_there_is_not_to_be_painted() -> None:
    paste, at_rest = torch.ones(1, 1, 4, 4), torch.zeros(2, 3)
    flow = torch.zeros(2, 2, 4, 4)
    flow[:, :, 2:] = torch.nan  # hidden in what is drawn on
    hidden, seen = torch.zeros(2, 1, 4, 4), torch.zeros(2, 1, 4, 4)
    hidden[:, :, 2:], seen[:, :, :2] = 1, 1
    assert objective.opacity(hidden, paste, flow, at_rest) == 0
    assert objective.opacity(seen, paste, flow, at_rest) == pytest.approx(0.5)
    nothing_known = torch.full_like(flow, torch.nan)
    assert objective.opacity(hidden, paste, nothing_known, at_rest) == pytest.approx(0.5)
    flow[1] = torch.nan
    assert objective.opacity(hidden, paste, flow, at_rest) == pytest.approx(0.25), "each picture for itself"


def test_another_mouth_may_be_painted_over() -> None:
    painted, paste, flow = torch.ones(2, 1, 4, 4), torch.ones(1, 1, 4, 4), torch.zeros(2, 2, 4, 4)
    worn = torch.zeros(2, 3)
    worn[1, 2] = 0.1
    assert objective.opacity(painted, paste, flow, worn) == pytest.approx(0.5), "the first alone counts"
