"""How and where networks are run, behind one interface.

``eager``    PyTorch as it comes.
``scripted`` one TorchScript call, which leaves Python's lock to others (see ``scripted``).
``compiled`` ``torch.compile``; on a GPU with CUDA graphs.
``tensorrt`` TensorRT, through ``torch_tensorrt``.

What cannot be had is replaced by the next best, with a sentence in the log that says why.
"""

import importlib.util
import logging
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.runtime.compiled import as_compiled
from models.runtime.names import DeviceName, RuntimeName
from models.runtime.prepacked import can_prepack
from models.runtime.scripted import WARM_UPS, Call, as_one_call
from models.runtime.tensorrt import as_engine

logger = logging.getLogger(__name__)


def _eager(network: nn.Module, *_example: Tensor) -> Call:
    return network.eval()


_WAYS: dict[RuntimeName, Callable[..., Call]] = {
    "eager": _eager,
    "compiled": as_compiled,
    "tensorrt": as_engine,
}
COMPILERS: tuple[RuntimeName, ...] = ("compiled", "tensorrt")
"""They hang on compilers and drivers of the machine."""
_BUILDS = {"compiled": "compiling", "tensorrt": "building a TensorRT engine"}


class Runtime:
    """A way to run networks, and the device they run on."""

    def __init__(self, name: RuntimeName, device: torch.device) -> None:
        self.name = name
        """What is in use: changes where a network could not be made so."""
        self.device = device

    def call(self, network: nn.Module, *example: Tensor, warm_ups: int = WARM_UPS) -> Call:
        """A network, moved to the device, as a call that takes any batch size; weights are shared, not copied.

        Args:
            network: put into eval mode; returns one tensor.
            example: a batch of inputs, on any device. The result takes inputs of this device, see ``send``.
            warm_ups: of ``scripted``, see ``as_one_call``.
        """
        network = network.to(self.device)
        batch = [tensor.to(self.device) for tensor in example]
        if self.name in COMPILERS:
            try:
                return _WAYS[self.name](network, *batch)
            except Exception as error:  # compilers raise what they like
                cause = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
                logger.warning(
                    "The runtime %s is not used: %s failed (%s). scripted is used instead; it draws the same.",
                    self.name, _BUILDS[self.name], cause,
                )  # fmt: skip
                self.name = "scripted"
        if self.name == "scripted":
            return as_one_call(network, *batch, warm_ups=warm_ups)
        return _WAYS[self.name](network, *batch)

    def can_prepack(self, dtype: torch.dtype) -> bool:
        """Whether networks of a type may be prepacked (``prepacked``) before they are called.

        Compilers lay weights out themselves, and look into nothing but plain convolutions.
        """
        return self.name not in COMPILERS and can_prepack(self.device, dtype)

    def send(self, array: NDArray[np.generic]) -> Tensor:
        """An array as a tensor on the device; to a GPU while the CPU goes on."""
        tensor = torch.from_numpy(array)
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)


def choose(runtime: RuntimeName = "auto", device: DeviceName = "auto") -> Runtime:
    """The runtime that was asked for, or the next best that this machine has; the log says which and why."""
    has_gpu = torch.cuda.is_available()
    if device == "cuda" and not has_gpu:
        logger.warning(
            "There is no GPU that PyTorch %s can use (drivers, or a build for CPUs alone: pip install 'visavis[cuda]'"
            "); the CPU is used instead.", torch.__version__,
        )  # fmt: skip
    target = torch.device("cuda" if has_gpu and device != "cpu" else "cpu")
    usual: RuntimeName = "compiled" if target.type == "cuda" else "scripted"
    if runtime == "auto":
        return Runtime(usual, target)
    if runtime == "tensorrt" and (obstacle := _without_tensorrt(target)):
        logger.warning("The runtime tensorrt is not used: %s. %s is used instead.", obstacle, usual)
        return Runtime(usual, target)
    return Runtime(runtime, target)


def _without_tensorrt(device: torch.device) -> str:
    """What stands in TensorRT's way; empty where nothing does."""
    if device.type != "cuda":
        return "it needs a GPU, and the network runs on the CPU"
    if importlib.util.find_spec("torch_tensorrt") is None:
        return "torch_tensorrt is not installed (pip install torch-tensorrt, of PyTorch's version)"
    return ""
