"""An avatar from a user's photo or clip: find the face, frame it, let it idle, write the folder."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.avatar_writer import save_avatar
from models.errors import MediaError
from models.face import preview
from models.face.detector import Box, FaceDetector
from models.face.idle import SHORTEST_FRAMES, longest, quietest, still_loop, there_and_back
from models.face.pictures import Limits, Picture, read_clip, read_photo
from models.face.placement import MASK_PX, blend_mask, even_boxes, place
from models.face.track import choose, follow, no_face
from models.timebase import FRAMES_PER_SECOND

PICTURE_PX = 512
"""Longest side of an avatar's picture."""
_HEIGHT = 0.575
"""Where the crop's middle row lies in the picture, from the top: the shipped avatars' framing."""
_SMALLEST_PX = 96
"""A smaller crop has no mouth to speak of."""
_BEYOND = 0.08
"""The crop may be pushed this far of its side to fit into the picture; further, and it would miss the mouth."""


@dataclass(frozen=True)
class Framing:
    """Which part of a file is shown, and at what size."""

    x0: int
    y0: int
    x1: int
    y1: int
    width: int
    height: int

    @classmethod
    def around(cls, centres: NDArray[np.float64], side: float, width: int, height: int) -> "Framing":
        """The part of a (width, height) picture around crops with these centres (n, 2), face framed as shipped."""
        low, high = centres.min(axis=0), centres.max(axis=0)
        want = max(side * PICTURE_PX / MASK_PX, float((high - low).max()) + 1.1 * side)
        across, down = (min(want, limit) for limit in (width, height))
        middle = (low + high) / 2
        x0 = round(float(np.clip(middle[0] - across / 2, 0, width - across)))
        y0 = round(float(np.clip(middle[1] - _HEIGHT * down, 0, height - down)))
        # The crop gets as many pixels as are drawn, so that the mouth is as sharp as the rest.
        factor = min(MASK_PX / side, PICTURE_PX / max(across, down))
        shown = (2 * round(across * factor / 2), 2 * round(down * factor / 2))
        return cls(x0, y0, x0 + round(across), y0 + round(down), *shown)

    @property
    def factor(self) -> float:
        """Pixels of the avatar to one of the file."""
        return self.width / (self.x1 - self.x0)

    def cut(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part, as it is."""
        return rgb[self.y0 : self.y1, self.x0 : self.x1]

    def scaled(self, rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The part, (height, width, 3)."""
        method = cv2.INTER_AREA if self.factor < 1 else cv2.INTER_CUBIC
        return np.asarray(cv2.resize(self.cut(rgb), (self.width, self.height), interpolation=method), np.uint8)

    def placed(self, centres: NDArray[np.float64]) -> NDArray[np.float64]:
        """Points of the file (n, 2) in the avatar's picture."""
        return (centres - (self.x0, self.y0)) * self.factor

    def boxes(self, centres: NDArray[np.float64], side: float) -> NDArray[np.int32]:
        """The avatar's face boxes, (n, 4)."""
        even = 2 * round(side * self.factor / 2)
        return even_boxes(self.placed(centres), min(even, self.width, self.height), self.width, self.height)


@dataclass(frozen=True)
class Wish:
    """What the user said of an avatar."""

    box: Box | None = None
    """The face, forehead to chin, in the file's pixels."""
    title: str = ""
    """The folder's name, if empty."""
    licence: str = "unstated"
    whole_clip: bool = False
    """Show all of a clip that shows the face, in order from its beginning, instead of the stretch to idle in."""


def make_avatar(source: Path, folder: Path, wish: Wish | None = None, limits: Limits | None = None) -> Avatar:
    """Write the avatar ``folder`` from a photo or a clip, some ten seconds' work; its name is the folder's.

    Raises:
        MediaError: a sentence that names the file and the fix; nothing is left in ``folder``.
    """
    wish, limits = wish or Wish(), limits or Limits()
    photo = read_photo(source, limits)
    if photo is not None:
        return _of_photo(photo, source, folder, wish)
    return _of_clip(source, folder, wish, limits)


def _of_photo(photo: Picture, source: Path, folder: Path, wish: Wish) -> Avatar:
    height, width = photo.rgb.shape[:2]
    _check_box(wish.box, source.name, width * photo.scale, height * photo.scale)
    face = choose(FaceDetector().find(photo.rgb), wish.box, source.name, photo.scale)
    if face is None:
        raise no_face(source.name)
    centre, side = place(face)
    centres = centre[np.newaxis]
    _check_size(side * photo.scale, source.name)
    if not (_inside(centres, side, width, height)).all():
        raise _at_border(source.name, centre, side, width, height)
    framing = Framing.around(centres, side, width, height)
    boxes = framing.boxes(centres, side)
    middle = boxes[0].reshape(2, 2).mean(axis=0)
    frames = list(
        still_loop(framing.cut(photo.rgb), framing.width, framing.height, middle, float(boxes[0, 2] - boxes[0, 0]))
    )
    return _write(folder, frames, np.repeat(boxes, len(frames), axis=0), source, wish)


def _of_clip(source: Path, folder: Path, wish: Wish, limits: Limits) -> Avatar:
    first = next(read_clip(source, limits))
    height, width = first.rgb.shape[:2]
    _check_box(wish.box, source.name, width * first.scale, height * first.scale)
    track = follow(read_clip(source, limits), source.name, wish.box)
    inside = _inside(track.centres, track.sides, width, height)
    usable = track.seen & inside
    if not usable.any():
        worst = int(np.flatnonzero(track.seen)[0])
        raise _at_border(source.name, track.centres[worst], float(track.sides[worst]), width, height)
    stretch = longest(usable) if wish.whole_clip else quietest(track, usable)
    if stretch is None:
        if len(track.sides) >= SHORTEST_FRAMES:
            raise MediaError(
                f"In {source.name} the face is not in sight for half a second; keep it in the picture, turned to the "
                "camera."
            )
        index = int(np.flatnonzero(usable)[0])
        still = next(picture for at, picture in enumerate(read_clip(source, limits)) if at == index)
        return _of_photo(still, source, folder, wish)
    begin, end = stretch
    centres = track.centres[begin : end + 1]
    side = float(np.median(track.sides[begin : end + 1]))
    _check_size(side * first.scale, source.name)
    framing = Framing.around(centres, side, width, height)
    boxes = framing.boxes(centres, side)
    loop = there_and_back(0, end - begin)
    pictures = (framing.scaled(picture.rgb) for picture in islice(read_clip(source, limits), begin, end + 1))
    return _write(folder, _looped(pictures, loop), boxes[loop], source, wish)


def _looped(pictures: Iterable[NDArray[np.uint8]], loop: list[int]) -> list[NDArray[np.uint8]]:
    """The pictures in the loop's order, those that come twice in memory once."""
    shown = list(pictures)
    return [shown[at] for at in loop]


def _write(folder: Path, frames: list[NDArray[np.uint8]], boxes: NDArray[np.int32], source: Path, wish: Wish) -> Avatar:
    """Write the folder; ``frames`` are used up, so that they are gone when the avatar is read back."""
    mask = blend_mask()
    extras = {preview.FILE: preview.sheet_jpeg(frames, boxes, mask)}
    frames.reverse()
    return save_avatar(
        folder, (frames.pop() for _ in range(len(frames))), boxes, mask,
        title=wish.title or folder.name.replace("-", " ").replace("_", " ").capitalize(),
        licence=wish.licence, source=f"Made from {source.name} by visavis.", fps=FRAMES_PER_SECOND,
        extras=extras,
    )  # fmt: skip


def _check_box(box: Box | None, name: str, width: float, height: float) -> None:
    if box is None:
        return
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise MediaError(
            f"The box {','.join(map(str, box))} does not lie in {name}, which has {width:.0f} x {height:.0f} pixels; "
            "give x0,y0,x1,y1 from its upper left to its lower right corner."
        )


def _check_size(side: float, name: str) -> None:
    if side < _SMALLEST_PX:
        raise MediaError(
            f"The face in {name} is too small, {side / 1.1:.0f} pixels wide; give a picture in which it has at least "
            f"{_SMALLEST_PX / 1.1:.0f}."
        )


def _outside(
    centres: NDArray[np.float64], sides: NDArray[np.float64] | float, width: int, height: int
) -> NDArray[np.float64]:
    """How far squares stick out to the left, top, right and bottom, of their side: (n, 4)."""
    half = np.broadcast_to(np.asarray(sides), len(centres))[:, np.newaxis] / 2
    return np.concatenate([half - centres, centres + half - (width, height)], axis=1) / (2 * half)


def _inside(
    centres: NDArray[np.float64], sides: NDArray[np.float64] | float, width: int, height: int
) -> NDArray[np.bool_]:
    return np.asarray((_outside(centres, sides, width, height) <= _BEYOND).all(axis=1))


def _at_border(name: str, centre: NDArray[np.float64], side: float, width: int, height: int) -> MediaError:
    edge = ("left", "upper", "right", "lower")[int(_outside(centre[np.newaxis], side, width, height)[0].argmax())]
    return MediaError(
        f"The face in {name} is cut off at the {edge} edge; give a picture with room for the whole head on that side."
    )


def describe(avatar: Avatar) -> str:
    """An avatar in a line."""
    side = int(avatar.boxes[0, 2] - avatar.boxes[0, 0])
    seconds = len(avatar) / avatar.fps
    return f"{avatar.width} x {avatar.height} pixels, the face crop {side}, a loop of {seconds:.1f} s"
