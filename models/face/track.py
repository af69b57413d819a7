"""One face, chosen and followed: where the drawn crop lies in every frame of a clip, and how still the mouth is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.face.detector import Box, Face, FaceDetector, face_of_box, overlap
from models.face.pictures import Picture
from models.face.placement import place

_SAME = 0.3
"""A box given by the user means the face that it overlaps by more than this."""
_LOST_FRAMES = 5
"""So many frames without the face are bridged; of longer gaps nothing is used."""
_CENTRE_FRAMES, _SIDE_FRAMES = 2.0, 12.0
"""Width of the smoothing, one standard deviation: detections jitter by pixels, heads do not."""
_THUMBNAIL_PX = 96
"""Width of the face in the pictures that the mouth's stillness is judged by."""
_MOUTH_PX = (48, 24)
_MOUTH_WIDTH = 0.5
"""Of the square: the part that is compared reaches over its middle half, from the middle row down."""


@dataclass(frozen=True)
class Track:
    """A face in the n frames of a clip, in working pixels."""

    centres: NDArray[np.float64]
    """(n, 2): of the square that ``placement.place`` puts on the face."""
    sides: NDArray[np.float64]
    """(n,)"""
    seen: NDArray[np.bool_]
    """(n,): whether the face was there."""
    mouth_change: NDArray[np.float64]
    """(n,): how much the mouth's picture differs from the frame before, mean grey levels."""


def choose(faces: Sequence[Face], box: Box | None, name: str, scale: float) -> Face | None:
    """The face that an avatar is made of; None if there is none.

    Args:
        faces: what was found, in working pixels.
        box: the user's choice, in the file's pixels.
        name: the file's name.
        scale: the file's pixels to a working pixel.

    Raises:
        MediaError: there are several and none is chosen.
    """
    if box is not None:
        wanted = face_of_box(box).scaled(1 / scale).box
        best = max(faces, key=lambda face: overlap(face.box, wanted), default=None)
        return best if best is not None and overlap(best.box, wanted) > _SAME else face_of_box(wanted)
    if len(faces) > 1:
        boxes = [",".join(map(str, face.scaled(scale).box)) for face in faces]
        raise MediaError(
            f"{name} shows {len(faces)} faces, at {' and '.join(boxes)}; choose one by its box: --box {boxes[0]}."
        )
    return faces[0] if faces else None


def follow(pictures: Iterable[Picture], name: str, box: Box | None) -> Track:
    """Find a clip's face and follow it to the end.

    Raises:
        MediaError: there is no face, or there are several and none is chosen.
    """
    detector = FaceDetector()
    found: list[Face | None] = []
    thumbnails: list[NDArray[np.uint8]] = []
    last: Face | None = None
    factor = 0.0
    for picture in pictures:
        face = detector.find_near(picture.rgb, last) if last else None
        if face is None and (last is None or len(found) % _LOST_FRAMES == 0):
            face = _again(detector.find(picture.rgb), last, box, name, picture.scale)
        last = face or last
        found.append(face)
        factor = factor or (_THUMBNAIL_PX / last.width if last else 0.0)
        small = cv2.resize(picture.rgb, None, fx=factor or 0.1, fy=factor or 0.1, interpolation=cv2.INTER_AREA)
        thumbnails.append(np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8))
    if last is None:
        raise no_face(name)
    centres, sides, seen = _smoothed(found)
    mouths = _mouths(thumbnails, centres * factor, sides * factor)
    change = np.abs(np.diff(mouths, axis=0, prepend=mouths[:1])).mean(axis=(1, 2))
    return Track(centres, sides, seen, change)


def no_face(name: str) -> MediaError:
    """What to say where nothing was found."""
    return MediaError(
        f"No face was found in {name}; give a picture of one face from the front, not smaller than a tenth of it, "
        "or say where it is, from forehead to chin: --box x0,y0,x1,y1."
    )


def _again(faces: list[Face], last: Face | None, box: Box | None, name: str, scale: float) -> Face | None:
    """The face at first sight, or after it was lost: then the one nearest to where it was."""
    if last is not None:
        near = [face for face in faces if overlap(face.box, last.box) > 0.1]
        return max(near, key=lambda face: overlap(face.box, last.box), default=None)
    face = choose(faces, box, name, scale)
    return face if any(face is each for each in faces) else None


def _smoothed(found: list[Face | None]) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.bool_]]:
    at = np.array([index for index, face in enumerate(found) if face is not None])
    placed = [place(face) for face in found if face is not None]
    frames = np.arange(len(found))
    seen = np.abs(frames[:, None] - at[None]).min(axis=1) <= _LOST_FRAMES
    values = np.array([[*centre, side] for centre, side in placed])
    whole = np.stack([np.interp(frames, at, column) for column in values.T])
    centres = np.stack([_smooth(row, _CENTRE_FRAMES) for row in whole[:2]], axis=1)
    return centres, _smooth(whole[2], _SIDE_FRAMES), seen


def _smooth(values: NDArray[np.float64], frames: float) -> NDArray[np.float64]:
    """A Gaussian mean; ends are continued as they come in, so that a moving face is not held back there."""
    reach = min(round(3 * frames), len(values) - 1)
    if reach < 1:
        return values
    at = np.arange(-reach, reach + 1)
    weight = np.exp(-0.5 * (at / frames) ** 2)
    padded = np.pad(values, reach, mode="reflect", reflect_type="odd")
    return np.convolve(padded, weight / weight.sum(), "valid")


def _mouths(
    thumbnails: list[NDArray[np.uint8]], centres: NDArray[np.float64], sides: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The part under the nose of every frame, held still: (n, 24, 48)."""
    width, height = _MOUTH_PX
    mouths = []
    for picture, (x, y), side in zip(thumbnails, centres, sides, strict=True):
        step = side * _MOUTH_WIDTH / width
        onto = np.array([[step, 0, x - width / 2 * step], [0, step, y]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        mouths.append(cv2.warpAffine(picture, onto, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE))
    return np.stack(mouths).astype(np.float64)
