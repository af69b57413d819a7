"""The published file layouts, the safetensors ones, and what is refused."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from models.errors import CheckpointError
from models.liveportrait.files import FILES
from models.liveportrait.source_cache import SourceCache
from models.liveportrait.weights import Architecture, Networks, load_networks
from tests.fakes.portrait_weights import write_published
from tests.unit.liveportrait.networks import SMALL, faces, small_networks

PUBLISHED_NAMES = {"stitching": "retarget_shoulder", "lips": "retarget_mouth", "eyes": "retarget_eye"}


def same(a: Networks, b: Networks) -> bool:
    pairs = zip(a.modules(), b.modules(), strict=True)
    return all(
        x.state_dict().keys() == y.state_dict().keys()
        and all(torch.equal(x.state_dict()[key], y.state_dict()[key]) for key in x.state_dict())
        for x, y in pairs
    )


def test_the_published_files_are_read(tmp_path: Path) -> None:
    write_published(tmp_path, small_networks())
    read = load_networks(tmp_path)
    assert same(read, small_networks())
    assert not any(module.training for module in read.modules())


def test_the_safetensors_files_are_read(tmp_path: Path) -> None:
    for stem, module in zip(FILES, small_networks().modules(), strict=True):
        state = module.state_dict()
        if stem.startswith("stitching"):
            named = {PUBLISHED_NAMES[key.split(".")[0]] + "_module." + key.partition(".")[2]: key for key in state}
            state = {name: state[key] for name, key in named.items()}
        save_file(state, tmp_path / f"{stem}.safetensors")
    assert same(load_networks(tmp_path), small_networks())


def test_published_sizes_are_those_of_the_default_architecture() -> None:
    with torch.device("meta"):
        networks = Networks.build()
    counts = [sum(p.numel() for p in module.parameters()) / 1e6 for module in networks.modules()]
    assert [round(count, 2) for count in counts] == [0.84, 28.12, 45.53, 55.37, 0.23]
    assert Architecture() == Architecture(1.0, 16) != SMALL


def test_a_missing_a_damaged_a_foreign_and_a_pickled_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds no appearance_feature_extractor.*fetch"):
        load_networks(tmp_path)
    write_published(tmp_path, small_networks())
    path = tmp_path / "base_models" / "spade_generator.pth"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        load_networks(tmp_path)
    state = torch.load(tmp_path / "base_models" / "warping_module.pth", weights_only=True)
    torch.save(state | {"extra": torch.zeros(1)}, path)
    with pytest.raises(CheckpointError, match="spade_generator.*another architecture"):
        load_networks(tmp_path)
    torch.save({"first": Path("anything")}, path)
    with pytest.raises(CheckpointError, match="not plain tensors"):
        load_networks(tmp_path)


def test_stitching_is_strict_inside_and_lenient_outside(tmp_path: Path) -> None:
    write_published(tmp_path, small_networks())
    path = tmp_path / "retargeting_models" / "stitching_retargeting_module.pth"
    state = torch.load(path, weights_only=True)
    assert "unread" in state
    del state["retarget_eye"]["module.mlp.0.bias"]
    torch.save(state, path)
    with pytest.raises(CheckpointError, match="another architecture"):
        load_networks(tmp_path)


def test_a_face_is_looked_at_once_for_each_set_of_weights(tmp_path: Path) -> None:
    networks = small_networks()
    face, other = faces(2)
    looked: list[int] = []
    handle = networks.motion.register_forward_hook(lambda *_: looked.append(1))
    try:
        volume, head = SourceCache(tmp_path, networks).look(face)
        again, same_head = SourceCache(tmp_path, networks).look(face)
        assert len(looked) == 1
        torch.testing.assert_close(again, volume, rtol=0, atol=0)
        torch.testing.assert_close(same_head.keypoints(), head.keypoints(), rtol=0, atol=0)
        SourceCache(tmp_path, networks).look(other)
        assert len(looked) == 2
        for path in tmp_path.iterdir():
            path.write_bytes(b"damaged")
        SourceCache(tmp_path, networks).look(face)
        SourceCache(tmp_path, networks).look(face)
        assert len(looked) == 3
    finally:
        handle.remove()
    untrained = Networks.build(SMALL)
    assert not torch.equal(SourceCache(tmp_path, untrained).look(face)[0], volume)
    assert not [path for path in tmp_path.iterdir() if path.suffix == ".part"]
