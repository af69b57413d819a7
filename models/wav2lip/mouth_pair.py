"""Talking crops laid on crops at rest, so that both show one pose and differ by the mouth alone.

The alignment is affine, of all that surrounds the mouth (Evangelidis & Psarakis, "Parametric image alignment using
enhanced correlation coefficient maximization", 2008). What still differs there tells how well the mouth lies.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from models.face.placement import MASK_PX

_THUMBNAIL_PX = (32, 16)
_NEAREST = 5
_KEPT_SHARE = 0.6
_ALIGN_PX = 144
_SHOULDERS = 0.8
"""Of a crop's height, where the head ends: what is below moves by itself."""
_LEAST_MASK = 5
"""Of 255: below it a pixel belongs to what surrounds the mouth."""
_MOTION_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
Crops = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A talking crop, and one at rest that it is laid on; both by their indices."""

    talking: int
    resting: int
    motion: Floats
    """(2, 3): where in the talking crop each pixel of the resting one is."""
    misfit: float
    """Mean difference of the grey levels around the mouth."""


def pairs_of(
    crops: Crops, talking: NDArray[np.int64], resting: NDArray[np.int64], mask: NDArray[np.uint8]
) -> list[Pair]:
    """Every talking crop with the one at rest that it fits best, without those that fit worst; in their order.

    Args:
        crops: (n, 288, 288, 3) RGB.
        talking: indices of crops, some of which are not at rest; those that are may be among them, and stay.
        resting: indices of two crops at least.
        mask: the avatar's blend mask; where it is black is what surrounds the mouth.
    """
    poses = np.stack([thumbnail(crop[: MASK_PX // 2]) for crop in crops])
    grey = [_grey(crop, _ALIGN_PX) for crop in crops]
    around = cv2.resize(mask, (_ALIGN_PX, _ALIGN_PX), interpolation=cv2.INTER_AREA) < _LEAST_MASK
    around[round(_SHOULDERS * _ALIGN_PX) :] = False
    pairs = []
    for index in tqdm(talking, unit="frame", desc="Faces at rest"):
        others = resting[resting != index]
        near = others[np.argsort(((poses[others] - poses[index]) ** 2).sum(axis=1))[:_NEAREST]]
        fits = [_fit(grey[index], grey[other], around) for other in near]
        best = min(range(len(fits)), key=lambda number: fits[number][1])
        pairs.append(Pair(int(index), int(near[best]), *fits[best]))
    # Faces at rest fit each other best, and must not be all that stays.
    at_rest = set(resting.tolist())
    most = np.quantile([pair.misfit for pair in pairs if pair.talking not in at_rest], _KEPT_SHARE)
    return [pair for pair in pairs if pair.talking in at_rest or pair.misfit <= most]


def _fit(talking: Crops, resting: Crops, around: NDArray[np.bool_]) -> tuple[Floats, float]:
    """The motion and the misfit of a :class:`Pair`, of small grey crops; no motion where none is found."""
    motion = np.eye(2, 3, dtype=np.float32)
    seen = around.astype(np.uint8)
    with contextlib.suppress(cv2.error):
        _, found = cv2.findTransformECC(resting, talking, motion.copy(), cv2.MOTION_AFFINE, _MOTION_STEPS, seen, 5)
        motion = np.asarray(found, np.float32)
    moved = _moved(talking, motion)
    blurred = [cv2.GaussianBlur(picture.astype(np.float32), (0, 0), 1) for picture in (moved, resting)]
    misfit = float(np.abs(blurred[0] - blurred[1])[around].mean())
    # Pixels are counted from the middle of the first one.
    scale = MASK_PX / _ALIGN_PX
    half = motion[:, :2].sum(axis=1) / 2
    motion[:, 2] = scale * (motion[:, 2] - half + 0.5) + half - 0.5
    return motion, misfit


def targets_of(crops: Crops, pairs: list[Pair], mask: NDArray[np.uint8]) -> Iterator[Crops]:
    """What shall be drawn: crops at rest with the mouths of talking ones."""
    scaled = cv2.resize(mask, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    weight = (scaled.astype(np.float32) / 255)[..., np.newaxis]
    for pair in pairs:
        rest, talk = crops[pair.resting], _moved(crops[pair.talking], pair.motion)
        yield np.round(rest + weight * (talk.astype(np.float32) - rest)).astype(np.uint8)


def _moved(picture: Crops, motion: Floats) -> Crops:
    """A crop read where ``motion`` says."""
    flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(picture, motion, picture.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)


def thumbnail(half: Crops) -> Floats:
    """Half a crop, small: alike where the head is turned alike, or the mouth open alike."""
    grey = cv2.cvtColor(half, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, _THUMBNAIL_PX, interpolation=cv2.INTER_AREA), np.float32).ravel()


def _grey(crop: Crops, side_px: int) -> Crops:
    grey = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (side_px, side_px), interpolation=cv2.INTER_AREA), np.uint8)
