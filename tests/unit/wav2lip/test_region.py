import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

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
    with torch.inference_mode():
        features = generator.encode_face(torch.rand(1, 6, size, size, generator=rng))
        embedding = generator.audio_encoder(torch.randn(1, 1, 80, 16, generator=rng))
        whole = generator.decode(embedding, features)
        cut = [cutout.cut(feature, level) for level, feature in enumerate(reversed(features))]
        part = cutout.decode(generator.face_decoder_blocks, generator.output_block, embedding, cut)
    rows, columns = drawn.rows, drawn.columns
    expected = whole[:, :, rows.start : rows.stop, columns.start : columns.stop]
    assert part.shape[1] == (3 if size == 96 else 4)
    torch.testing.assert_close(part, expected, rtol=0, atol=2e-5)


def test_a_lower_half_needs_about_half_of_each_level() -> None:
    mask = np.zeros((240, 240), np.uint8)
    mask[120:] = 255
    rows = [rect.rows for rect in Cutout.of_mask(mask, 288).needed]
    assert [span.stop for span in rows] == [1, 3, 6, 12, 24, 48, 96]
    assert [span.start for span in rows[3:]] == [4, 10, 22, 46]


def test_an_empty_mask_draws_the_whole_crop() -> None:
    drawn = Cutout.of_mask(np.zeros((50, 50), np.uint8), 288).drawn
    assert (drawn.rows, drawn.columns) == (Span(0, 288), Span(0, 288))
