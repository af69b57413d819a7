"""The animator draws what the plain networks draw."""

import numpy as np
import pytest
import torch

from models.liveportrait import figure
from models.liveportrait.animator import Animator
from models.liveportrait.fast_warping import blobs, sample_rows, shifted_interpolation
from models.liveportrait.pixels import to_input, to_pictures
from models.liveportrait.speed import gflops, measure, table
from models.liveportrait.stand_in import stand_in
from models.liveportrait.warping import coordinate_grid, gaussians, sample_volume
from models.liveportrait.weights import Architecture
from tests.unit.liveportrait.networks import FACE_PX, SMALL, faces, small_networks

SHAPE = (4, 6, 9)


@pytest.mark.parametrize(("dtype", "mean", "most"), [(torch.float32, 0.01, 2), (torch.bfloat16, 2.0, 40)])
@torch.inference_mode()
def test_it_draws_the_same_pictures_in_batches_of_any_size(dtype: torch.dtype, mean: float, most: float) -> None:
    networks = small_networks()
    x = to_input(faces(3))
    volume, kp = networks.appearance(x[:1]), networks.motion(x).keypoints()
    plain = [networks.generator(networks.warping(volume, kp[:1], driving[None])) for driving in kp[1:]]
    expected = to_pictures(torch.cat(plain)).astype(np.float64)
    assert np.abs(expected[0] - expected[1]).mean() > 1
    assert expected.std() > 20
    animator = Animator(networks, dtype, side=FACE_PX // 4)
    for count in (1, 2):
        drawn = animator.animate(volume, kp[:1], kp[1 : 1 + count])
        assert drawn.shape == (count, 2 * FACE_PX, 2 * FACE_PX, 3)
        error = np.abs(drawn - expected[:count])
        assert error.mean() < mean
        assert error.max() <= most


def test_shifts_are_sampled_axis_by_axis() -> None:
    torch.manual_seed(0)
    volume, shift = torch.randn(1, 2, *SHAPE), torch.tensor([0.21, -0.4, 1.3])
    grid = coordinate_grid(SHAPE, volume.device, torch.float32)
    expected = sample_volume(volume, (grid - shift)[None])
    depth, height, width = (shifted_interpolation(shift[2 - i], size) for i, size in enumerate(SHAPE))
    sampled = torch.einsum("zd,yh,xw,ncdhw->nczyx", depth, height, width, volume)
    torch.testing.assert_close(sampled, expected, atol=1e-5, rtol=0)
    assert (expected == 0).any()
    assert (expected != 0).any()


def test_blobs_are_gaussians_on_the_grid() -> None:
    kp = torch.rand(2, 21, 3) - 0.5
    grid = coordinate_grid(SHAPE, kp.device, torch.float32)
    torch.testing.assert_close(blobs(kp, SHAPE), gaussians(kp, grid), atol=1e-6, rtol=1e-5)


def test_rows_are_sampled_as_volumes_are() -> None:
    torch.manual_seed(0)
    volume = torch.randn(2, 3, *SHAPE)
    grid = torch.rand(2, *SHAPE, 3) * 2.6 - 1.3
    sampled = sample_rows(volume.permute(0, 2, 3, 4, 1).contiguous(), grid, SHAPE)
    torch.testing.assert_close(sampled.permute(0, 4, 1, 2, 3), sample_volume(volume, grid), atol=1e-5, rtol=0)


def test_speed_says_how_long_each_network_takes_and_how_exact_the_fast_ones_are() -> None:
    threads = torch.get_num_threads()
    try:
        speed = measure(stand_in(SMALL), SMALL, faces(1)[0], threads=1, calls=1, side=FACE_PX)
    finally:
        torch.set_num_threads(threads)
    assert list(speed.modules) == ["F", "M", "W", "G", "S"]
    # Not that calls take longer than their floor: both are measured, at two moments of a machine that others use too.
    for module in speed.modules.values():
        assert module.ms > 0
        assert module.floor_ms == pytest.approx(1000 * module.gflop / speed.peak_gflops["float32"])
    assert speed.ms_per_frame == pytest.approx(1000 / speed.fps)
    assert 0 < speed.error_mean < 10
    assert "times faster" in table(speed)


def test_the_published_networks_cost_what_they_are_said_to() -> None:
    counted = gflops(Architecture())
    published = {"F": 64.1, "M": 11.6, "W": 342.1, "G": 891.6}
    assert {name: counted[name] for name in published} == pytest.approx(published, rel=0.01)


def test_the_figure_of_this_machine() -> None:
    measured = figure.measure(SMALL, FACE_PX)
    assert measured["side_px"] == 2 * FACE_PX
    assert measured["ms_per_frame"] > 0
