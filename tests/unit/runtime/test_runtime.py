"""Which runtime is taken, what is said where it cannot be had, and that all of them draw the same."""

import logging
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from models.runtime import compiled, runtime, tensorrt
from models.runtime.cache import weights_hash
from models.runtime.names import RuntimeName
from models.runtime.runtime import Runtime, choose
from models.wav2lip.engine import Wav2LipEngine
from models.wav2lip.weights import GeneratorInfo
from tests.unit.wav2lip.avatars import filled_generator, soft_avatar
from tests.unit.wav2lip.test_engine import requests

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)


@pytest.fixture
def torch_tensorrt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: object())


@pytest.fixture
def said() -> Iterator[list[str]]:
    """What the log says."""
    sentences: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: sentences.append(record.getMessage())  # type: ignore[method-assign]
    runtime.logger.addHandler(handler)
    yield sentences
    runtime.logger.removeHandler(handler)


def network() -> nn.Module:
    torch.manual_seed(1)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()).requires_grad_(False)


@pytest.mark.parametrize(
    ("name", "taken"),
    [("auto", "scripted"), ("eager", "eager"), ("scripted", "scripted"), ("compiled", "compiled")],
)
def test_on_a_cpu(no_gpu: None, said: list[str], name: RuntimeName, taken: RuntimeName) -> None:
    chosen = choose(name, "auto")
    assert (chosen.name, chosen.device, said) == (taken, CPU, [])


@pytest.mark.parametrize(
    ("name", "taken"),
    [("auto", "compiled"), ("eager", "eager"), ("scripted", "scripted"), ("tensorrt", "tensorrt")],
)
def test_on_a_gpu(gpu: None, torch_tensorrt: None, said: list[str], name: RuntimeName, taken: RuntimeName) -> None:
    chosen = choose(name, "auto")
    assert (chosen.name, chosen.device, said) == (taken, CUDA, [])


def test_the_cpu_where_there_is_a_gpu(gpu: None, said: list[str]) -> None:
    chosen = choose("auto", "cpu")
    assert (chosen.name, chosen.device, said) == ("scripted", CPU, [])


def test_a_gpu_that_is_not_there(no_gpu: None, said: list[str]) -> None:
    chosen = choose("auto", "cuda")
    assert (chosen.name, chosen.device) == ("scripted", CPU)
    assert "There is no GPU that PyTorch" in said[0]
    assert "the CPU is used instead" in said[0]


def test_tensorrt_without_a_gpu(no_gpu: None, torch_tensorrt: None, said: list[str]) -> None:
    assert choose("tensorrt").name == "scripted"
    assert said == [
        "The runtime tensorrt is not used: it needs a GPU, and the network runs on the CPU. scripted is used instead."
    ]


def test_tensorrt_without_its_package(gpu: None, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime.importlib.util, "find_spec", lambda name: None)
    assert choose("tensorrt").name == "compiled"
    assert "torch_tensorrt is not installed (pip install torch-tensorrt" in said[0]
    assert said[0].endswith("compiled is used instead.")


@pytest.mark.parametrize("name", ["eager", "scripted"])
def test_the_runtimes_draw_the_same(name: RuntimeName) -> None:
    plain, x = network().eval(), torch.randn(5, 3, 6, 6)
    call = Runtime(name, CPU).call(network(), torch.zeros(3, 3, 6, 6))
    torch.testing.assert_close(call(x), plain(x))


def test_compiled_is_one_graph_of_any_size(tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to the last step, which calls a C++ compiler and takes a minute."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(compiled.torch, "compile", partial(torch.compile, backend="eager"))
    # Its trace of every step, which pytest would keep, takes minutes.
    monkeypatch.setattr(logging.getLogger("torch.__trace"), "disabled", True)
    plain, way = network().eval(), Runtime("compiled", CPU)
    call = way.call(network(), torch.zeros(3, 3, 6, 6))
    for count in (1, 5):
        x = torch.randn(count, 3, 6, 6)
        torch.testing.assert_close(call(x), plain(x))
    assert (way.name, said) == ("compiled", [])


@pytest.mark.parametrize("name", ["eager", "scripted"])
def test_the_engine_draws_the_same(name: RuntimeName) -> None:
    avatar, generator = soft_avatar(), filled_generator(0.125, 96)
    info = GeneratorInfo(width=0.125, size=96, lead_columns=8, colour="rgb", licence="CC0-1.0")
    drawn = []
    for way in (None, Runtime(name, CPU)):
        engine = Wav2LipEngine(generator, info, torch.float32, way)
        drawn.append(np.stack(engine.render(requests(engine.prepare(avatar), [0, 3, 5]))))
    assert np.ptp(drawn[0]) > 100
    assert np.abs(drawn[0].astype(int) - drawn[1]).max() <= 1


def test_what_cannot_be_compiled_is_scripted(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def no_compiler(*_: object, **__: object) -> None:
        raise RuntimeError("Found no C++ compiler.\nA long trace follows")

    monkeypatch.setattr(compiled.torch, "compile", no_compiler)
    way, plain, x = Runtime("compiled", CPU), network().eval(), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(way.call(network(), x)(x), plain(x))
    assert way.name == "scripted"
    assert said == [
        "The runtime compiled is not used: compiling failed (Found no C++ compiler). "
        "scripted is used instead; it draws the same."
    ]


class FakeTensorRT(SimpleNamespace):
    """What ``torch_tensorrt`` was asked for; its engine runs the network, up to the largest batch."""

    __version__ = "2.13.0"

    def Input(self, **shapes: object) -> dict[str, object]:  # noqa: N802
        return shapes

    def compile(self, module: nn.Module, **options: object) -> object:
        self.options = options

        def engine(x: Tensor) -> Tensor:
            assert len(x) <= 64
            return module(x)

        return engine


def test_an_engine_takes_any_batch_and_is_kept_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake = FakeTensorRT()
    monkeypatch.setitem(sys.modules, "torch_tensorrt", fake)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA L4/24 GB")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    plain, x = network(), torch.randn(70, 3, 6, 6)
    call = Runtime("tensorrt", CPU).call(plain, x[:2])
    torch.testing.assert_close(call(x), plain(x))
    (shape,) = fake.options["inputs"]
    assert shape == {
        "min_shape": (1, 3, 6, 6), "opt_shape": (8, 3, 6, 6), "max_shape": (64, 3, 6, 6), "dtype": torch.float32
    }  # fmt: skip
    folder = Path(str(fake.options["engine_cache_dir"]))
    assert folder.parent == tmp_path / "visavis" / "tensorrt"
    assert folder.name == f"NVIDIA_L4_24_GB-{torch.__version__}-2.13.0-{weights_hash(plain)}"


def test_a_failed_engine_is_said(said: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch_tensorrt", None)
    way, x = Runtime("tensorrt", CPU), torch.randn(2, 3, 6, 6)
    torch.testing.assert_close(way.call(network(), x)(x), network()(x))
    assert way.name == "scripted"
    assert "building a TensorRT engine failed (" in said[0]


def test_other_weights_have_another_hash() -> None:
    first, second = network(), network()
    assert weights_hash(first) == weights_hash(second)
    second[0].weight.data[0, 0, 0, 0] += 1e-3
    assert weights_hash(first) != weights_hash(second)
    assert weights_hash(network().bfloat16()) != weights_hash(first)
    assert len({tensorrt.engine_folder(*key) for key in (("a", "1", "2", "w"), ("a", "1", "3", "w"))}) == 2


def test_what_is_sent_to_a_cpu_is_not_copied() -> None:
    array = np.arange(6, dtype=np.float32)
    assert Runtime("eager", CPU).send(array).data_ptr() == array.ctypes.data
