"""A network as one call that does not hold Python's lock.

Eager PyTorch gives the interpreter lock back and takes it again at every operation. In a server whose event loop
is busy each taking is a wait, and a network of two hundred operations takes three times as long as on its own.
A TorchScript graph gives the lock back once.
"""

import warnings
from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

Call = Callable[..., Tensor]
WARM_UPS = 3
"""TorchScript watches the first calls of a graph and rewrites it; none of that is left to a visitor's frame."""


def as_one_call(network: nn.Module, *example: Tensor, warm_ups: int = WARM_UPS) -> Call:
    """``network``, in eval mode, as a graph that takes any batch size, traced with ``example``.

    ``warm_ups`` calls are made at once; 0 where nobody waits for the first ones. What is drawn is the same.

    The result shares the network's weights. PyTorch calls TorchScript deprecated, but what it names instead,
    ``torch.compile``, needs a C++ compiler on the user's machine, and minutes.
    """
    with warnings.catch_warnings(), torch.inference_mode():
        warnings.filterwarnings("ignore", message=".*torch.jit", category=DeprecationWarning)
        traced = torch.jit.trace(network.eval(), example, check_trace=False)  # type: ignore[no-untyped-call]
        for _ in range(warm_ups):
            traced(*example)
    return cast(Call, traced)
