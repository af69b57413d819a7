"""The published motion templates (``.pkl``), read without letting them run anything.

Unpickling calls whatever a file names. Here a file may name three things only, numpy's array, its dtype and the
function that makes an empty array, and gets stand-ins for them that keep what they are told; arrays are then
built from the plain bytes, float numbers only.
"""

import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.liveportrait.template import MAX_BYTES, MAX_FRAMES, SHAPES, MotionTemplate

_FLOATS: dict[str, np.dtype[Any]] = {"f4": np.dtype("<f4"), "f8": np.dtype("<f8")}
_LICENCE = "MIT (KwaiVGI/LivePortrait), unless its maker says otherwise"


class _Dtype:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, code: object, *_: object) -> None:
        self.code, self.order = code, "<"

    def __setstate__(self, state: Sequence[Any]) -> None:
        self.order = state[1]

    def resolve(self) -> np.dtype[Any]:
        if not isinstance(self.code, str) or self.code not in _FLOATS or self.order not in ("<", "|", "="):
            raise ValueError(f"an array of {self.code!r}; only little-endian f4 and f8 are read")
        return _FLOATS[self.code]


class _Array:
    """Stands in for an array that ``_reconstruct`` made; its state brings shape, type and bytes."""

    def __init__(self, *_: object) -> None:
        self.values: NDArray[np.float32] | None = None

    def __setstate__(self, state: Sequence[Any]) -> None:
        _version, shape, dtype, fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes):
            raise ValueError("an array without plain bytes")
        order = "F" if fortran else "C"
        self.values = np.frombuffer(data, dtype.resolve()).reshape(shape, order=order).astype(np.float32)  # type: ignore[call-overload]


class _Ndarray:
    """Stands in for ``numpy.ndarray``, which a file names but needs no more of."""


_ALLOWED: dict[tuple[str, str], type] = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Ndarray,
    ("numpy", "dtype"): _Dtype,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> type:
        """What a file may name.

        Raises:
            UnpicklingError: it names anything else.
        """
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"the name {module}.{name}, which no template needs")
        return _ALLOWED[module, name]


def read_published(path: Path) -> MotionTemplate:
    """Read a published template.

    Raises:
        MediaError: it cannot be read, names what it should not, or is no template of 21 keypoints.
    """
    try:
        if path.stat().st_size > MAX_BYTES:
            raise MediaError(f"{path} is larger than {MAX_BYTES >> 20} MiB, which no template is; give another file.")
        content = _Unpickler(io.BytesIO(path.read_bytes())).load()
        arrays, fps = _arrays(content)
    except OSError as error:
        raise MediaError(f"{path} cannot be read: {error.strerror}; check the path.") from error
    # A damaged pickle raises nearly anything.
    except (pickle.UnpicklingError, ValueError, TypeError, KeyError, IndexError, AttributeError, EOFError) as error:
        raise MediaError(f"{path} is no published motion template ({error}); give another file.") from error
    except (MemoryError, OverflowError, RecursionError, ImportError) as error:
        raise MediaError(f"{path} is no published motion template; give another file.") from error
    return MotionTemplate.of_arrays(arrays, fps, path.stem, path.name, _LICENCE)


def _arrays(content: Any) -> tuple[dict[str, NDArray[np.float32]], float]:
    if not isinstance(content, Mapping):
        raise ValueError("it holds no mapping")
    motion, count = content["motion"], content["n_frames"]
    if not isinstance(motion, list) or not isinstance(count, int) or len(motion) != count or count > MAX_FRAMES:
        raise ValueError(f"it says {count!r} frames")
    rotation = "R" if motion and "R" in motion[0] else "R_d"
    # The first name is ours. Every frame's array begins with an axis of one.
    columns = {name: [frame[key] for frame in motion] for name, key in (("exp", "exp"), ("scale", "scale"), ("t", "t"))}
    columns["R"] = [frame[rotation] for frame in motion]
    for name, keys in (("eyes", ("c_eyes_lst", "c_d_eyes_lst")), ("lips", ("c_lip_lst", "c_d_lip_lst"))):
        found = next((content[key] for key in keys if content.get(key)), None)
        if found is not None:
            columns[name] = list(found)
    return {name: _stacked(name, column) for name, column in columns.items()}, float(content["output_fps"])


def _stacked(name: str, column: list[Any]) -> NDArray[np.float32]:
    values = [part.values for part in column if isinstance(part, _Array) and part.values is not None]
    if len(values) != len(column):
        raise ValueError(f"a frame's {name} is no array")
    if any(value.shape != (1, *SHAPES[name]) for value in values):
        raise ValueError(f"a frame's {name} is of shape {next(v.shape for v in values)}, expected (1, *{SHAPES[name]})")
    return np.concatenate(values)
