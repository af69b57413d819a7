"""A network compiled by ``torch.compile``: for a CPU as C++, for a GPU as Triton kernels in CUDA graphs.

A CUDA graph belongs to the thread that recorded it, so a network is made and called by one thread. What was compiled
is kept on disk; compiling the first time takes minutes, and a C++ compiler.
"""

import os
import warnings
from typing import cast

import torch
from torch import Tensor, nn

from models.runtime.cache import cache_folder
from models.runtime.scripted import Call

_SIZES = (2, 1)
"""A graph of any size is compiled for a batch of two; a batch of one has a graph of its own."""


def as_compiled(network: nn.Module, *example: Tensor) -> Call:
    """``network``, in eval mode, compiled for any batch size; ``example`` is a batch of at least one.

    Raises:
        Exception: whatever the compiler cannot do or does not find.
    """
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache_folder("inductor")))
    mode = "reduce-overhead" if example[0].is_cuda else None
    compiled = torch.compile(network.eval(), dynamic=True, fullgraph=True, mode=mode)
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        for size in _SIZES:
            batch = [_repeated(tensor, size) for tensor in example]
            compiled(*batch)
            compiled(*batch)  # CUDA graphs are recorded after the first call
    return cast(Call, compiled)


def _repeated(batch: Tensor, size: int) -> Tensor:
    """Its first, so often, laid out as the batch is: a graph is of one layout; repeats without a copy have another."""
    first = batch[:1]
    return first.expand(size, *first.shape[1:]) if not batch.stride(0) else torch.cat([first] * size)
