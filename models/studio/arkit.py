"""The 52 facial blend shapes of ARKit (``ARFaceAnchor.BlendShapeLocation``), in alphabetical order."""

import numpy as np
from numpy.typing import NDArray


def _both(*stems: str) -> list[str]:
    return [stem + side for stem in stems for side in ("Left", "Right")]


ARKIT_NAMES: tuple[str, ...] = tuple(
    sorted(
        _both("browDown", "browOuterUp", "cheekSquint", "eyeBlink", "eyeLookDown", "eyeLookIn", "eyeLookOut")
        + _both("eyeLookUp", "eyeSquint", "eyeWide", "mouthDimple", "mouthFrown", "mouthLowerDown")
        + _both("mouthPress", "mouthSmile", "mouthStretch", "mouthUpperUp", "noseSneer")
        + ["browInnerUp", "cheekPuff", "jawForward", "jawLeft", "jawOpen", "jawRight", "mouthClose"]
        + ["mouthFunnel", "mouthLeft", "mouthPucker", "mouthRight", "mouthRollLower", "mouthRollUpper"]
        + ["mouthShrugLower", "mouthShrugUpper", "tongueOut"]
    )
)
"""Order of every (52,) weight vector in visavis."""

INDEX: dict[str, int] = {name: index for index, name in enumerate(ARKIT_NAMES)}

MOUTH: tuple[int, ...] = tuple(
    index
    for index, name in enumerate(ARKIT_NAMES)
    if name.startswith(("mouth", "jaw")) or name in ("tongueOut", "cheekPuff")
)
"""Indices of the weights that speech moves."""


def weights(**values: float) -> NDArray[np.float32]:
    """A (52,) vector from names; a stem without its side (``mouthSmile=0.2``) sets left and right.

    Raises:
        KeyError: for a name that is neither a shape nor a stem.
    """
    vector = np.zeros(len(ARKIT_NAMES), np.float32)
    for name, value in values.items():
        for full_name in [name] if name in INDEX else [name + "Left", name + "Right"]:
            vector[INDEX[full_name]] = value
    return vector


def columns(control: str) -> tuple[int, ...]:
    """Columns of a control: one for ``jawOpen``, left and right for a merged one such as ``mouthSmile``.

    Raises:
        KeyError: no such shape.
    """
    if control in INDEX:
        return (INDEX[control],)
    return (INDEX[control + "Left"], INDEX[control + "Right"])
