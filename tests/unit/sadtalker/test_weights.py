"""The published files' layout, at an eighth of their width."""

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from models.errors import CheckpointError
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.keypoints import KeypointDetector
from models.sadtalker.mapping import MappingNetwork
from models.sadtalker.pose import PoseNetwork
from models.sadtalker.reconstruction import ReconstructionNetwork
from models.sadtalker.renderer import Renderer
from models.sadtalker.weights import PREFIXES, load_mapping, load_networks

WIDTH = 0.125
PARTS = (KeypointDetector, Renderer, ExpressionNetwork, PoseNetwork, ReconstructionNetwork)


@pytest.fixture(scope="module")
def tensors() -> dict[str, Tensor]:
    torch.manual_seed(1)
    return {
        f"{prefix}.{key}": tensor.clone()
        for prefix, part in zip(PREFIXES, PARTS, strict=True)
        for key, tensor in part(WIDTH).state_dict().items()
    }


def test_all_five_networks_come_out_of_one_file(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, tmp_path / "w.safetensors")
    networks = load_networks(tmp_path / "w.safetensors")
    parts = (networks.keypoints, networks.renderer, networks.expression, networks.pose, networks.reconstruction)
    for prefix, part in zip(PREFIXES, parts, strict=True):
        assert not part.training
        for key, tensor in part.state_dict().items():
            assert torch.equal(tensor, tensors[f"{prefix}.{key}"])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda t: t.pop("audio2pose.netD_motion.seq.3.bias"), "'netD_motion.seq.3.bias' is missing"),
        (lambda t: t.update({"generator.extra": torch.zeros(1)}), "'extra' has no place"),
        (lambda t: t.update({"optimizer.step": torch.zeros(1)}), "'optimizer.step'"),
        (lambda t: t.update({"kp_extractor.kp.bias": torch.zeros(16)}), r"'kp.bias' is \(16,\) and not \(15,\)"),
    ],
)
def test_what_does_not_fit_is_named(tmp_path: Path, tensors: dict[str, Tensor], change, named: str) -> None:  # type: ignore[no-untyped-def]
    changed = dict(tensors)
    change(changed)
    save_file(changed, tmp_path / "w.safetensors")
    with pytest.raises(CheckpointError, match=named):
        load_networks(tmp_path / "w.safetensors")


def test_missing_and_damaged_files_are_sentences(tmp_path: Path) -> None:
    for load in (load_networks, load_mapping):
        with pytest.raises(CheckpointError, match="no SadTalker"):
            load(tmp_path / "none")
        (tmp_path / "bad").write_bytes(b"not weights at all")
        with pytest.raises(CheckpointError, match="damaged"):
            load(tmp_path / "bad")


@pytest.mark.parametrize("inputs", [70, 73])
def test_a_mapping_file_tells_its_own_kind(tmp_path: Path, inputs: int) -> None:
    network = MappingNetwork(inputs, WIDTH)
    torch.save({"mapping": network.state_dict(), "epoch": 3}, tmp_path / "m.pth.tar")
    loaded = load_mapping(tmp_path / "m.pth.tar")
    assert loaded.coefficients == inputs
    assert all(torch.equal(tensor, network.state_dict()[key]) for key, tensor in loaded.state_dict().items())


def test_a_mapping_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    torch.save({"mapping": MappingNetwork(60, WIDTH).state_dict()}, tmp_path / "m.pth.tar")
    with pytest.raises(CheckpointError, match="takes 60 coefficients"):
        load_mapping(tmp_path / "m.pth.tar")


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("sprung",)


def test_a_mapping_file_runs_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"mapping": Trap()}, tmp_path / "m.pth.tar")
    with pytest.raises(CheckpointError, match="damaged"):
        load_mapping(tmp_path / "m.pth.tar")
    assert not (tmp_path / "sprung").exists()
