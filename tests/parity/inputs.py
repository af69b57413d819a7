"""Fixed test inputs, from the same bit-exact generator as the weights."""

import numpy as np
import torch

from tests.parity.fill import unit


def _raw(name, shape, seed):
    return unit("input/" + name, int(np.prod(shape)), seed).reshape(shape)


def uin(name, shape, seed):
    """float32, uniform on [-sqrt3, sqrt3): zero mean, unit variance."""
    return torch.from_numpy(_raw(name, shape, seed).astype(np.float32))


def u01(name, shape, seed):
    """float32, uniform on [0, 1)."""
    return torch.from_numpy(((_raw(name, shape, seed) / 3.0**0.5 + 1) / 2).astype(np.float32))


def image(name, n, size, seed):
    """float32 n x 3 x size x size in [0, 1): 0.7 * 16 x 16 coarse blocks + 0.3 * fine noise."""
    coarse = (_raw(name + "/coarse", (n, 3, 16, 16), seed) / 3.0**0.5 + 1) / 2
    fine = (_raw(name + "/fine", (n, 3, size, size), seed) / 3.0**0.5 + 1) / 2
    blocks = np.kron(coarse, np.ones((1, 1, size // 16, size // 16)))
    return torch.from_numpy((0.7 * blocks + 0.3 * fine).astype(np.float32))
