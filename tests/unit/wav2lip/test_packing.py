import torch

from models.wav2lip.packing import Packing

SHAPES = [(16, 1, 1), (16, 3, 3), (8, 6, 6), (8, 9, 12), (4, 15, 24), (8, 27, 46), (16, 47, 86)]


def frames(count: int, seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    features = [torch.rand(count, *shape, generator=generator) * 7 for shape in SHAPES]
    features[-1][:, 3] = 0  # a channel that says nothing
    return features, torch.randint(0, 256, (count, 3, 20, 30), generator=generator).to(torch.uint8)


def test_what_is_packed_comes_out() -> None:
    features, picture = frames(3)
    packing = Packing.of(features, picture)
    rows = packing.pack(features, picture)
    found, shown = packing.unpack(rows.halves, rows.coarse, torch.float32)
    torch.testing.assert_close(shown, picture, rtol=0, atol=0)
    for ours, theirs in zip(found[:-2], features[:-2], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=0)
    for ours, theirs in zip(found[-2:], features[-2:], strict=True):
        assert (ours - theirs).abs().max() <= 7 / 255  # half a step, and the peak's own rounding
    assert not found[-1][:, 3].any()


def test_rows_stand_alone() -> None:
    features, picture = frames(4)
    packing = Packing.of(features, picture)
    together = packing.pack(features, picture)
    alone = packing.pack([feature[2:3] for feature in features], picture[2:3])
    torch.testing.assert_close(alone.halves, together.halves[2:3], rtol=0, atol=0)
    torch.testing.assert_close(alone.coarse, together.coarse[2:3], rtol=0, atol=0)
