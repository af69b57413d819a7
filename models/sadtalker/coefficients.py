"""Face coefficients: their order, and how sequences of them are laid out for the mapping network.

257 come out of the reconstruction network, 73 are kept of a picture: expression, pose, and the alignment it was
found under. 70, without the alignment, drive the modes that show the crop alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

IDENTITY_SIZE = 80
EXPRESSION_SIZE = 64
TEXTURE_SIZE = 80
POSE_SIZE = 6
"""Three angles in radians, then a translation in the face model's units (decimetres)."""
CROP_SIZE = 70
"""Coefficients of the modes that show the crop alone: expression and pose."""
FULL_SIZE = 73
"""Coefficients of the modes that show the whole picture: also scale and place of its alignment."""
RADIUS_FRAMES = 13
"""Frames before and after its own that the mapping network sees."""
WINDOW_FRAMES = 2 * RADIUS_FRAMES + 1
HEAD_SIZES = (IDENTITY_SIZE, EXPRESSION_SIZE, TEXTURE_SIZE, 3, 27, 2, 1)
"""Of the reconstruction network's outputs: identity, expression, texture, angles, light, translation x y, z."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class FaceCoefficients:
    """The reconstruction network's 257 coefficients, taken apart; n faces."""

    identity: Floats
    """(n, 80)."""
    expression: Floats
    """(n, 64)."""
    texture: Floats
    """(n, 80)."""
    angles: Floats
    """(n, 3): rotation about x, y, z in radians."""
    light: Floats
    """(n, 27): spherical harmonics, nine for each colour."""
    translation: Floats
    """(n, 3)."""

    @classmethod
    def split(cls, coefficients: Floats) -> "FaceCoefficients":
        """From (n, 257)."""
        if coefficients.ndim != 2 or coefficients.shape[1] != sum(HEAD_SIZES):
            raise ValueError(f"Face coefficients are (n, {sum(HEAD_SIZES)}), not {coefficients.shape}.")
        ends = np.cumsum((IDENTITY_SIZE, EXPRESSION_SIZE, TEXTURE_SIZE, 3, 27))
        return cls(*np.split(coefficients, ends, axis=1))

    def stored(self, alignment: Floats) -> Floats:
        """The (n, 73) kept of a picture; ``alignment`` is (n, 3): scale, x, y."""
        parts = (self.expression, self.angles, self.translation, alignment)
        return np.concatenate(parts, axis=1, dtype=np.float32)


def driven(spoken: Floats, source: Floats, *, full: bool, still: bool, expression_scale: float = 1.0) -> Floats:
    """The coefficients each frame is drawn from.

    Args:
        spoken: (t, 70) from the sound.
        source: (73,) of the picture.
        full: the whole picture is shown, so the alignment belongs to it.
        still: the head stays as in the picture.
        expression_scale: factor of the expression.

    Returns:
        (t, 73) in full modes, else (t, 70).
    """
    coefficients = spoken.astype(np.float32)
    coefficients[:, :EXPRESSION_SIZE] *= np.float32(expression_scale)
    if full:
        crop = np.broadcast_to(source[CROP_SIZE:FULL_SIZE], (len(spoken), FULL_SIZE - CROP_SIZE))
        coefficients = np.concatenate((coefficients, crop), axis=1)
    if still:
        coefficients[:, EXPRESSION_SIZE:] = source[EXPRESSION_SIZE : coefficients.shape[1]]
    return coefficients


def windows(coefficients: Floats, frames: Sequence[int] | NDArray[np.int64]) -> Floats:
    """What the mapping network sees of each of ``frames``: (t, c) -> (len(frames), c, 27).

    Beyond the first and last frame these repeat.
    """
    around = np.asarray(frames)[:, None] + np.arange(-RADIUS_FRAMES, RADIUS_FRAMES + 1)
    return coefficients[np.clip(around, 0, len(coefficients) - 1)].transpose(0, 2, 1)


def source_window(source: Floats, *, full: bool) -> Floats:
    """The picture's own (c, 27), from its (73,)."""
    return np.repeat(source[: FULL_SIZE if full else CROP_SIZE, None], WINDOW_FRAMES, axis=1)


def batch_frames(frames: int, batch: int) -> NDArray[np.int64]:
    """Frame numbers (batch, ceil(frames / batch)): row b is a stretch of time, the last frame repeats at the end."""
    columns = -(-frames // batch)
    return np.minimum(np.arange(batch * columns), frames - 1).reshape(batch, columns)


def camera_path(stops_deg: Sequence[float], frames: int) -> Floats:
    """An angle for every frame, (frames,) degrees, that passes ``stops_deg`` at an even speed.

    A last stop that is reached early is not quite reached, as in the published pipeline: its legs exclude their
    end, and the last angle repeats.
    """
    stops = np.asarray(stops_deg, dtype=np.float64)
    if not len(stops):
        raise ValueError("A camera path needs at least one angle.")
    step = np.abs(np.diff(stops)).sum() / max(1, frames - 1)
    legs = [
        np.arange(begin, end, np.copysign(step, end - begin))
        for begin, end in zip(stops, stops[1:], strict=False)
        if begin != end
    ]
    path = np.concatenate(legs) if legs else stops[:1]
    return path[np.minimum(np.arange(frames), len(path) - 1)].astype(np.float32)
