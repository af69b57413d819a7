"""ONNX files of the generator: what they draw, what they say of themselves, and when they are refused."""

from collections import Counter
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from models.audio.babble import babble
from models.errors import CheckpointError, VisavisError
from models.wav2lip import export
from models.wav2lip.published import PUBLISHED
from models.wav2lip.weights import ASSET, GeneratorInfo, load_generator
from tests.unit.wav2lip.avatars import filled_generator, soft_avatar

SMALL = replace(PUBLISHED, width=0.125)


def inputs(info: GeneratorInfo) -> export.Iterator[export.Sample]:
    return export.samples(info, soft_avatar(), babble(3, 16000).astype(np.float32))


def silent(_text: str) -> None: ...


@pytest.mark.parametrize("size", [96, 288])
def test_a_float_file_draws_any_batch_as_pytorch_does(size: int, tmp_path: Path) -> None:
    info, generator = replace(SMALL, size=size), filled_generator(0.125, size)
    told: list[str] = []
    error = export.export(generator, info, tmp_path / "new" / "w.onnx", inputs(info), told.append)
    assert error.most < 0.05
    assert "of 255" in told[0]
    session = onnxruntime.InferenceSession(tmp_path / "new" / "w.onnx", providers=["CPUExecutionProvider"])
    for count in (1, 3):
        drawn = list(islice(inputs(info), count))
        mel, face = (np.concatenate([sample[name] for sample in drawn]) for name in ("mel", "face"))
        (picture,) = session.run(["picture"], {"mel": mel, "face": face})
        with torch.inference_mode():
            expected = generator(torch.from_numpy(mel), torch.from_numpy(face)).numpy()
        np.testing.assert_allclose(picture, expected, atol=2e-4)
    told_of = session.get_modelmeta().custom_metadata_map
    assert {key: told_of[key] for key in asdict(info)} == {key: str(value) for key, value in asdict(info).items()}
    assert told_of["precision"] == "float32"


def test_the_error_tells_networks_apart(tmp_path: Path) -> None:
    export.export(filled_generator(0.125, 96), SMALL, tmp_path / "w.onnx", inputs(SMALL), silent)
    error = export.difference(filled_generator(0.125, 96, seed=2), tmp_path / "w.onnx", list(islice(inputs(SMALL), 2)))
    assert error.mean > 5


def test_int8_of_the_shipped_weights_is_small_and_near(tmp_path: Path) -> None:
    generator, info = load_generator(ASSET)
    error = export.export(generator, info, tmp_path / "w.onnx", inputs(info), silent, int8=True)
    assert 0.01 < error.mean < export.INT8_MEAN_BOUND
    assert error.high < export.INT8_HIGH_BOUND
    stored = onnx.load(tmp_path / "w.onnx")
    in_float32 = 4 * sum(tensor.numel() for tensor in generator.state_dict().values())
    assert (tmp_path / "w.onnx").stat().st_size < 0.7 * in_float32
    weights: Counter[int] = Counter()
    for tensor in stored.graph.initializer:
        weights[tensor.data_type] += int(np.prod(tensor.dims))
    assert weights[onnx.TensorProto.INT8] > 0.4 * weights.total(), "the ear, two fifths of the weights, stays float32"


def test_int8_too_far_off_is_refused_unless_forced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    generator, target = filled_generator(0.125, 96), tmp_path / "w.onnx"
    monkeypatch.setattr(export, "INT8_MEAN_BOUND", 0.001)
    with pytest.raises(CheckpointError, match=r"off by mean .* bounds are 0.001 .* --force"):
        export.export(generator, SMALL, target, inputs(SMALL), silent, int8=True)
    assert not list(tmp_path.iterdir())
    export.export(generator, SMALL, target, inputs(SMALL), silent, int8=True, force=True)
    assert [path.name for path in tmp_path.iterdir()] == ["w.onnx"]


def test_too_little_speech_is_said() -> None:
    with pytest.raises(VisavisError, match="shorter than"):
        next(export.samples(SMALL, soft_avatar(), np.zeros(1000, np.float32)))
