"""Deterministic synthetic weights: every tensor is a pure function of (seed, key, shape, dtype).

Bits come from numpy's Philox4x64 counter generator via random_raw(), whose output is fixed by NumPy's
bit-generator compatibility promise, and are turned into floats with exact arithmetic only (no
transcendental functions), so the values are the same on every platform. They are uniform with unit
variance, then scaled by the tensor's role.
"""

import hashlib

import numpy as np
import torch

GAIN = 1.2  # weights ~ GAIN/sqrt(fan_in): keeps both plain conv+ReLU and residual stacks at O(1)


def unit(key, n, seed):
    """n float64 values, uniform on [-sqrt3, sqrt3): mean 0, variance 1."""
    digest = hashlib.sha256(f"{seed}/{key}".encode()).digest()
    raw = np.random.Philox(key=int.from_bytes(digest[:16], "little")).random_raw(n)
    return ((raw >> np.uint64(11)).astype(np.float64) * 2.0**-52 - 1.0) * 3.0**0.5


def _value(key, shape, seed):
    x = unit(key, int(np.prod(shape, dtype=np.int64)), seed).reshape(shape)
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "running_var":
        return 1.0 + 0.2 * x / 3.0**0.5  # in [0.8, 1.2]
    if leaf in ("running_mean", "bias", "beta"):
        return 0.1 * x
    if leaf == "weight_u":  # spectral norm: unit left vector
        return x / np.sqrt((x * x).sum())
    if leaf == "weight_v":  # and v = W^T u / |W^T u|, see fill()
        raise AssertionError("weight_v is derived")
    if len(shape) <= 1 or leaf == "gamma":  # norm gains, layer scales
        return 1.0 + 0.1 * x
    return x * (GAIN / float(np.prod(shape[1:], dtype=np.int64)) ** 0.5)  # conv, linear, embedding


def fill(manifest_entries, seed):
    """manifest_entries: iterable of [key, shape, dtype] or [key, shape, dtype, scale].

    Returns {key: torch.Tensor} in that order. scale (default 1) multiplies the value: it was chosen once per
    layer so that its output varies by O(1).
    """
    entries = [(e[0], tuple(e[1]), e[2].replace("torch.", ""), e[3] if len(e) > 3 else 1.0) for e in manifest_entries]
    out = {}
    for key, shape, dtype, scale in entries:
        if not dtype.startswith(("float", "bfloat")):
            value = np.zeros(shape, np.int64)  # num_batches_tracked and other counters
        elif key.endswith(".weight_v"):  # same float64 W and u as their own entries use
            base = key[: -len("weight_v")]
            w_shape = next(s for k, s, _, _ in entries if k == base + "weight_orig")
            u_shape = next(s for k, s, _, _ in entries if k == base + "weight_u")
            w = _value(base + "weight_orig", w_shape, seed).reshape(u_shape[0], -1)
            v = _value(base + "weight_u", u_shape, seed) @ w
            value = v / np.sqrt((v * v).sum())
        else:
            value = _value(key, shape, seed) * scale
        out[key] = torch.from_numpy(np.ascontiguousarray(value)).to(getattr(torch, dtype)).reshape(shape)
    return out
