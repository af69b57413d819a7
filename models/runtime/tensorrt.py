"""A network as TensorRT engines, by ``torch_tensorrt``; what TensorRT cannot run stays with PyTorch.

Building takes minutes. Engines are kept in a folder for each GPU, pair of versions and set of weights.
"""

import re
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from models.runtime.cache import cache_folder, weights_hash
from models.runtime.scripted import Call

_LARGEST_BATCH, _USUAL_BATCH = 64, 8


def engine_folder(gpu: str, torch_version: str, tensorrt_version: str, weights: str) -> str:
    """Name of the folder that an engine is kept in: no other GPU, version or set of weights shares it."""
    return "-".join(re.sub(r"[^\w.+]+", "_", part) for part in (gpu, torch_version, tensorrt_version, weights))


def as_engine(network: nn.Module, *example: Tensor) -> Call:
    """``network``, in eval mode and on a GPU, for any batch size.

    Raises:
        Exception: whatever ``torch_tensorrt`` cannot do; ImportError where it is not installed.
    """
    import torch_tensorrt

    gpu = torch.cuda.get_device_name(example[0].device)
    name = engine_folder(gpu, torch.__version__, torch_tensorrt.__version__, weights_hash(network))
    inputs = [
        torch_tensorrt.Input(
            min_shape=(1, *tensor.shape[1:]),
            opt_shape=(_USUAL_BATCH, *tensor.shape[1:]),
            max_shape=(_LARGEST_BATCH, *tensor.shape[1:]),
            dtype=tensor.dtype,
        )
        for tensor in example
    ]
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        engine: Any = torch_tensorrt.compile(
            network.eval(),
            ir="dynamo",
            inputs=inputs,
            use_explicit_typing=True,  # as the network is: no layer in another precision
            immutable_weights=False,  # the cache keeps engines apart from their weights
            cache_built_engines=True,
            reuse_cached_engines=True,
            engine_cache_dir=str(cache_folder("tensorrt") / name),
        )
        engine(*example)

    def call(*batch: Tensor) -> Tensor:
        parts = zip(*(torch.split(tensor, _LARGEST_BATCH) for tensor in batch), strict=True)
        return torch.cat([engine(*part) for part in parts])

    return call
