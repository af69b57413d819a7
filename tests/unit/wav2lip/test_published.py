"""Published layouts: what loads, what it draws live, and what is refused in which words."""

import argparse
import os
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.engine import RenderRequest
from models.errors import CheckpointError
from models.wav2lip.engine import Wav2LipEngine, load_engine
from models.wav2lip.network import Generator
from models.wav2lip.pixels import crop_face, face_input
from models.wav2lip.published import PUBLISHED, check, convert, load_published
from models.wav2lip.weights import GeneratorInfo, load_generator
from tests.unit.wav2lip.avatars import filled_generator, soft_avatar
from tests.unit.wav2lip.checkpoints import DISCRIMINATOR, EXPERT, GENERATOR, filled, light, training_state

LAYOUTS: dict[str, Any] = {
    "plain": lambda state: state,
    "module.": lambda state: {"module." + key: tensor for key, tensor in state.items()},
    "state_dict": training_state,
    "state_dict, module.": lambda state: training_state(state, "module."),
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_published_layout_loads_to_the_bit(layout: str, zipped: bool, tmp_path: Path) -> None:
    path, state = tmp_path / "any name", light()
    torch.save(LAYOUTS[layout](state), path, _use_new_zipfile_serialization=zipped)
    generator, info = load_published(path)
    assert info == GeneratorInfo(1.0, 96, 3, "bgr", "non-commercial", scaling="linear")
    assert not generator.training
    loaded = generator.state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in state.items())


def test_safetensors_without_metadata_or_counters_are_read(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({key: tensor.contiguous() for key, tensor in light(DISCRIMINATOR).items()}, path)
    assert check(path) == "quality discriminator"
    with pytest.raises(CheckpointError, match="convert"):
        load_generator(path)


def test_files_are_told_apart_by_what_they_hold(tmp_path: Path) -> None:
    for module, kind in ((EXPERT, "lip-sync expert"), (DISCRIMINATOR, "quality discriminator")):
        path = tmp_path / "wav2lip.pth"
        torch.save(training_state(light(module)), path)
        assert check(path) == kind
        with pytest.raises(CheckpointError, match=f"{kind}, which draws nothing"):
            load_published(path)


class _Runs:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.makedirs, (str(Path(__file__).parent / "it-ran"),)


def _spoilt(tmp_path: Path, kind: str) -> Path:
    path, whole = tmp_path / "face.pth", light()
    contents: Any = whole
    if kind == "foreign":
        contents = whole | {"args": _Runs()}
    elif kind == "namespace":
        contents = {"state_dict": whole, "args": argparse.Namespace(lr=1)}
    elif kind == "missing":
        del whole["output_block.1.bias"]
    elif kind == "unknown":
        contents = whole | {"output_block.3.weight": torch.zeros(1)}
    elif kind == "shape":
        contents = whole | {"output_block.1.weight": torch.ones(4, 32, 1, 1)}
    elif kind == "nan":
        contents = whole | {"output_block.1.bias": torch.tensor([0.0, float("nan"), 0.0])}
    elif kind == "other":
        contents = {"layer.weight": torch.zeros(3)}
    elif kind == "list":
        contents = [torch.zeros(3)]
    elif kind == "256 px":
        contents = whole | {"face_encoder_blocks.7.0.conv_block.0.weight": torch.ones(()).expand(512, 512, 4, 4)}
    torch.save(contents, path, _use_new_zipfile_serialization=kind != "legacy cut")
    if kind.endswith("cut"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
    elif kind == "pickle":
        path.write_bytes(pickle.dumps(_Runs()))
    elif kind == "web page":
        path.write_text("\n<!DOCTYPE html><title>Quota exceeded</title>")
    elif kind == "pointer":
        path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "noise":
        path.write_bytes(np.random.default_rng(0).bytes(5000))
    elif kind == "gone":
        path.unlink()
    return path


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("foreign", "may run code (os.makedirs)"),
        ("namespace", "may run code (argparse.Namespace)"),
        ("pickle", "may run code"),
        ("missing", "1 weights are missing, such as output_block.1.bias"),
        ("unknown", "1 are unknown, such as output_block.3.weight"),
        ("shape", "output_block.1.weight is (4, 32, 1, 1), not (3, 32, 1, 1)"),
        ("nan", "no numbers (output_block.1.bias)"),
        ("other", "some other network"),
        ("list", "no state dict"),
        ("256 px", "a 256 px variant of Wav2Lip (8 levels)"),
        ("cut", "damaged, cut short"),
        ("legacy cut", "damaged, cut short"),
        ("web page", "a web page"),
        ("pointer", "Git LFS"),
        ("empty", "damaged, cut short"),
        ("noise", "damaged, cut short"),
        ("gone", "no checkpoint"),
    ],
)
def test_what_cannot_be_used_is_refused_by_name(kind: str, said: str, tmp_path: Path) -> None:
    path = _spoilt(tmp_path, kind)
    with pytest.raises(CheckpointError) as caught:
        convert(path, tmp_path / "out.safetensors")
    assert said in str(caught.value)
    assert "face.pth" in str(caught.value)
    assert not (Path(__file__).parent / "it-ran").exists()
    assert [p.name for p in tmp_path.iterdir() if p != path] == []


@torch.inference_mode()
def _differences(engine: Wav2LipEngine, generator: Generator) -> np.ndarray:
    """What the engine pastes against the published way: bilinear crop, BGR, the whole network, of 255."""
    avatar = soft_avatar()
    prepared, rng = engine.prepare(avatar), np.random.default_rng(3)
    asked = [
        RenderRequest(prepared, None, frame, rng.uniform(-4, 4, (80, 16)).astype(np.float32), np.zeros(640, np.float32))
        for frame in (0, 3, 5, 3)
    ]
    rows, columns = (
        slice(span.start, span.stop) for span in (prepared.cutout.drawn.rows, prepared.cutout.drawn.columns)
    )
    found = []
    for request, picture in zip(asked, engine.render(asked), strict=True):
        assert picture.shape == (96, 96, 3)
        x0, y0, x1, y1 = avatar.boxes[request.avatar_frame]
        frame = np.ascontiguousarray(avatar.frame_rgb(request.avatar_frame)[..., ::-1])
        crop = crop_face(frame, np.array([y0, y1, x0, x1]))
        face = torch.from_numpy(face_input(crop, crop))[None]
        drawn = generator(torch.from_numpy(request.mel)[None, None], face)[0].permute(1, 2, 0).numpy()
        found.append(np.abs(picture[..., ::-1] - 255 * drawn)[rows, columns])
    assert 0.4 < prepared.cutout.drawn.rows.start / 96 < 0.6
    return np.stack(found)


@pytest.mark.parametrize(("dtype", "mean", "most"), [(torch.float32, 0.3, 1.5), (torch.bfloat16, 1.0, 20.0)])
def test_the_live_engine_draws_what_the_plain_network_does(dtype: torch.dtype, mean: float, most: float) -> None:
    generator = filled_generator(0.25, 96)
    off = _differences(Wav2LipEngine(generator, replace(PUBLISHED, width=0.25), dtype), generator)
    assert off.mean() < mean  # rounding alone gives 0.25
    assert off.max() < most


def test_converted_to_the_bit_and_live_at_full_width(tmp_path: Path) -> None:
    state = filled(GENERATOR)
    torch.save(training_state(state, "module."), tmp_path / "w.pth")
    convert(tmp_path / "w.pth", tmp_path / "new" / "w.safetensors")
    generator, info = load_generator(tmp_path / "new" / "w.safetensors")
    loaded = generator.state_dict()
    assert info == PUBLISHED
    assert all(torch.equal(loaded[k], tensor) for k, tensor in state.items() if tensor.is_floating_point())
    engine = load_engine(tmp_path / "w.pth", torch.float32)
    off = _differences(engine, generator)
    assert off.mean() < 0.3
    assert off.max() < 1.5
    assert engine.window.lookahead_ms == pytest.approx(175)
