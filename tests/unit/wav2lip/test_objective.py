"""What the face is trained on tells apart what it should."""

import pytest
import torch

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
