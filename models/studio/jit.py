"""One way to compile the studio's numeric loops.

No fast-math: strict IEEE order of operations is what makes a window of a picture equal, byte for byte,
to the same rectangle of the whole picture.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Loop = TypeVar("Loop", bound=Callable[..., object])


def compiled(loop: Loop) -> Loop:
    """Compile ``loop`` to machine code at its first call and keep the result on disk."""
    return cast(Loop, numba.njit(cache=True, error_model="numpy")(loop))
