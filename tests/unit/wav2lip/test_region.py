import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from models.wav2lip.network import REACH_PX, laid_over, prefiltered
from models.wav2lip.region import Cutout, Rect, Span, needed_rects
from tests.unit.wav2lip.avatars import filled_generator

GENERATORS = {size: filled_generator(0.125, size) for size in (96, 288)}


@settings(deadline=None, max_examples=25)
@given(st.sampled_from([96, 288]), st.data())
def test_any_part_drawn_alone_equals_the_whole_picture(size: int, data: st.DataObject) -> None:
    edges = [sorted(data.draw(st.lists(st.integers(0, size), min_size=2, max_size=2, unique=True))) for _ in "yx"]
    drawn = Rect(*(Span(*edge) for edge in edges))
    cutout = Cutout(size, drawn, tuple(needed_rects(drawn, size)))
    generator = GENERATORS[size]
    rng = torch.Generator().manual_seed(3)
    face = torch.rand(1, 6, size, size, generator=rng)
    with torch.inference_mode():
        features = generator.encode_face(face)
        embedding = generator.audio_encoder(torch.randn(1, 1, 80, 16, generator=rng))
        whole = generator.decode(embedding, features)
        cut = [cutout.cut(feature, level) for level, feature in enumerate(reversed(features))]
        part = cutout.decode(
            generator.face_decoder_blocks, generator.output_block, generator.flow_block, embedding, cut
        )
    rows, columns = drawn.rows, drawn.columns
    expected = whole[:, :, rows.start : rows.stop, columns.start : columns.stop]
    assert part.shape[1] == (3 if size == 96 else 6)
    torch.testing.assert_close(part, expected, rtol=0, atol=2e-5)
    reference = prefiltered(face[:, 3:])
    shown = cutout.laid_over(part, cutout.reference_part(reference))
    torch.testing.assert_close(shown, cutout.drawn_part(laid_over(whole, reference)), rtol=0, atol=1e-3)


def test_a_lower_half_needs_about_half_of_each_outer_level() -> None:
    mask = np.zeros((240, 240), np.uint8)
    mask[120:] = 255
    rows = [rect.rows for rect in Cutout.of_mask(mask, 288).needed]
    assert [span.stop for span in rows] == [1, 3, 6, 12, 24, 48, 96]
    assert [span.start for span in rows] == [0, 0, 0, 0, 10, 22, 46]  # flow takes the whole level of 12


def test_an_empty_mask_draws_the_whole_crop() -> None:
    drawn = Cutout.of_mask(np.zeros((50, 50), np.uint8), 288).drawn
    assert (drawn.rows, drawn.columns) == (Span(0, 288), Span(0, 288))


@settings(deadline=None, max_examples=25)
@given(st.data())
def test_a_part_moved_as_far_as_may_be_equals_the_whole_moved(data: st.DataObject) -> None:
    edges = [sorted(data.draw(st.lists(st.integers(0, 288), min_size=2, max_size=2, unique=True))) for _ in "yx"]
    drawn = Rect(*(Span(*edge) for edge in edges))
    cutout = Cutout(288, drawn, tuple(needed_rects(drawn, 288)))
    right, down = (data.draw(st.floats(-1.5, 1.5)) for _ in range(2))
    whole = torch.zeros(1, 6, 288, 288)
    whole[:, 4], whole[:, 5] = right, down  # and opacity 0
    reference = torch.rand(1, 3, 288, 288, generator=torch.Generator().manual_seed(5))
    part = cutout.laid_over(cutout.drawn_part(whole), cutout.reference_part(reference))
    torch.testing.assert_close(part, cutout.drawn_part(laid_over(whole, reference)), rtol=0, atol=2e-3)


def test_a_clear_picture_is_the_reference_moved() -> None:
    reference = torch.rand(1, 3, 288, 288, generator=torch.Generator().manual_seed(6))
    drawn = torch.zeros(1, 6, 40, 50)
    drawn[:, 4], drawn[:, 5] = 7 / REACH_PX, -3 / REACH_PX  # and opacity 0
    reference = 0.4 + 0.2 * reference  # what the filter makes of it must stay within [0, 1]
    shown = laid_over(drawn, prefiltered(reference), row=100, column=60)
    torch.testing.assert_close(shown, reference[:, :, 97:137, 67:117], rtol=0, atol=1e-4)
    drawn[:, :3], drawn[:, 3] = 0.5, 1.0
    torch.testing.assert_close(laid_over(drawn, reference), torch.full((1, 3, 40, 50), 0.5))


def test_a_moved_picture_is_no_softer_and_hardly_harsher() -> None:
    reference = 0.4 + 0.2 * torch.rand(1, 3, 288, 288, generator=torch.Generator().manual_seed(7))
    steps = (torch.arange(8) + 0.5) / 8
    drawn = torch.zeros(64, 6, 40, 50)
    drawn[:, 4:] = torch.cartesian_prod(steps, steps)[:, :, None, None] / REACH_PX  # and opacity 0
    moved = laid_over(drawn, prefiltered(reference).expand(64, -1, -1, -1), row=100, column=60)
    ratio = _sharpness(moved) / _sharpness(reference[:, :, 100:140, 60:110])
    assert 1.0 < ratio < 1.4, "linear interpolation alone makes it 0.28, of noise as fine as can be"


def _sharpness(pictures: torch.Tensor) -> float:
    laplacian = torch.tensor([[[[0.0, 1.0, 0.0], [1.0, -4.0, 1.0], [0.0, 1.0, 0.0]]]])
    return float(functional.conv2d(pictures.flatten(0, 1)[:, None], laplacian).var())
