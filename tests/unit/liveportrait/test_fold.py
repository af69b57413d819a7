"""Folded networks draw what plain ones do."""

import torch
from torch import nn

from models.liveportrait.fold import fold
from models.liveportrait.pixels import to_input
from models.spade.network import SpectralConv2d
from tests.unit.liveportrait.networks import faces, small_networks


@torch.inference_mode()
def test_folded_networks_draw_the_same_picture() -> None:
    plain = small_networks()
    folded = fold(plain)
    x = to_input(faces(2))
    volumes = [networks.appearance(x[:1]) for networks in (plain, folded)]
    torch.testing.assert_close(volumes[1], volumes[0], atol=2e-5, rtol=1e-5)
    source, driven = plain.motion(x[:1]).keypoints(), plain.motion(x[1:]).keypoints()
    assert (source - driven).abs().max() > 1e-3
    warped = [networks.warping(volumes[0], source, driven) for networks in (plain, folded)]
    assert warped[0].std() > 0.1
    torch.testing.assert_close(warped[1], warped[0], atol=1e-4, rtol=1e-4)
    drawn = [networks.generator(warped[0]) for networks in (plain, folded)]
    assert drawn[0].std() > 0.05
    torch.testing.assert_close(drawn[1], drawn[0], atol=1e-4, rtol=0)


def test_folding_leaves_no_norm_behind_a_convolution_and_the_original_alone() -> None:
    plain = small_networks()
    folded = fold(plain)
    # Six blocks' first normalisations come before their convolutions.
    left = [m for m in folded.appearance.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert len(left) == 6
    assert not [m for m in folded.warping.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    assert not [m for m in folded.generator.modules() if isinstance(m, SpectralConv2d)]
    assert [m for m in plain.generator.modules() if isinstance(m, SpectralConv2d)]
