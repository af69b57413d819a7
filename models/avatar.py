"""An avatar: a prepared identity, and its file format.

On disk an avatar is a folder::

    avatar.json   name, title, licence, source, fps, size, boxes, sha256 of every other file
    idle.mp4      the idle loop (H.264, yuv420p, BT.601 limited range), mouth at rest, seamless
    mask.png      8-bit blend mask in box coordinates: 255 where the drawn crop replaces the frame
    portrait.jpg  thumbnail
    matte.mp4     optional: coverage of every idle frame (H.264, yuv420p, full range; luma 255 = figure,
                  0 = backdrop, chroma 128); for another backdrop, see ``load_matte``
    preview.jpg   optional: what a user's photo or clip was made into, see ``models.face.preview``

In memory the loop is kept as planar YUV 4:2:0 (I420), half the size of RGB and what video encoders take.
"""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from models.errors import AvatarError

MANIFEST = "avatar.json"
MATTE = "matte.mp4"
_FILES = {"idle.mp4", "mask.png", "portrait.jpg"}
FORMAT_VERSION = 1


@dataclass(frozen=True)
class Avatar:
    """An identity ready to be drawn on."""

    name: str
    title: str
    licence: str
    source: str
    fps: int
    width: int
    height: int
    frames_i420: NDArray[np.uint8]
    """(n, height * 3 / 2, width): the idle loop; frame n - 1 leads into frame 0 without a seam."""
    boxes: NDArray[np.int32]
    """(n, 4): the face crop of each frame as x0, y0, x1, y1, even numbers, inside the picture."""
    mask: NDArray[np.uint8]
    """(h, w): blend weights in box coordinates, 255 = drawn crop, 0 = idle frame."""
    portrait_jpeg: bytes

    def __len__(self) -> int:
        return len(self.frames_i420)

    def frame_rgb(self, index: int) -> NDArray[np.uint8]:
        """Idle frame ``index`` (modulo the loop) as RGB, (height, width, 3)."""
        i420 = self.frames_i420[index % len(self)]
        return np.asarray(cv2.cvtColor(i420, cv2.COLOR_YUV2RGB_I420), dtype=np.uint8)

    def crop_rgb(self, index: int) -> NDArray[np.uint8]:
        """The face box of idle frame ``index`` (modulo the loop) as RGB."""
        x0, y0, x1, y1 = self.boxes[index % len(self)]
        return self.frame_rgb(index)[y0:y1, x0:x1]


@dataclass(frozen=True)
class AvatarCard:
    """What is told of an avatar to those who choose one; reading it decodes nothing."""

    name: str
    title: str
    licence: str
    width: int
    height: int
    portrait_jpeg: bytes


def read_card(folder: Path) -> AvatarCard:
    """Read what an avatar folder tells of itself, checking every file against its checksum.

    Raises:
        AvatarError: naming the folder, what is wrong with it and what to do.
    """
    manifest = _checked_manifest(folder)
    return AvatarCard(
        name=folder.name,
        title=manifest["title"],
        licence=manifest["licence"],
        width=manifest["width"],
        height=manifest["height"],
        portrait_jpeg=(folder / "portrait.jpg").read_bytes(),
    )


def load_matte(folder: Path) -> NDArray[np.uint8]:
    """The matte of every idle frame, (n, height, width): 255 = figure, 0 = backdrop.

    Not a part of ``Avatar``, since only who replaces the backdrop needs it: 65 MB for 250 frames of 512 x 512.

    Raises:
        AvatarError: when the avatar has none, or it is damaged.
    """
    manifest = _read_manifest(folder)
    if MATTE not in manifest["sha256"]:
        raise AvatarError(f"Avatar '{folder.name}' has no {MATTE}; build it again with a matte.")
    _check(folder, MATTE, manifest)
    mattes = np.stack([_luma(frame) for frame in _decode(folder / MATTE)])
    if mattes.shape != (len(manifest["boxes"]), manifest["height"], manifest["width"]):
        raise AvatarError(f"Avatar '{folder.name}': its matte does not fit its loop; add the avatar again.")
    return mattes


def load_avatar(folder: Path) -> Avatar:
    """Read an avatar folder, checking every file against its checksum.

    Raises:
        AvatarError: naming the folder, what is wrong with it and what to do.
    """
    manifest = _checked_manifest(folder)
    boxes = np.asarray(manifest["boxes"], dtype=np.int32)
    mask = cv2.imread(str(folder / "mask.png"), cv2.IMREAD_GRAYSCALE)
    height, width = manifest["height"], manifest["width"]
    frames = np.zeros((len(boxes), height * 3 // 2, width), np.uint8)
    # One by one into their place: all at once they would take the memory twice.
    fits = [_put(frames, index, frame) for index, frame in enumerate(_decode(folder / "idle.mp4"))]
    if not all(fits) or len(fits) != len(frames) or boxes.shape != (len(frames), 4) or mask is None:
        raise AvatarError(
            f"Avatar '{folder.name}': its loop, boxes and mask do not fit together; add the avatar again."
        )
    return Avatar(
        name=folder.name,
        title=manifest["title"],
        licence=manifest["licence"],
        source=manifest["source"],
        fps=manifest["fps"],
        width=width,
        height=height,
        frames_i420=frames,
        boxes=boxes,
        mask=np.asarray(mask, dtype=np.uint8),
        portrait_jpeg=(folder / "portrait.jpg").read_bytes(),
    )


def _checked_manifest(folder: Path) -> dict[str, Any]:
    manifest = _read_manifest(folder)
    for file_name in manifest["sha256"]:
        _check(folder, file_name, manifest)
    return manifest


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AvatarError(f"Avatar '{folder.name}' has no readable {MANIFEST}; add the avatar again.") from error
    if not isinstance(manifest, dict) or manifest.get("version") != FORMAT_VERSION or not _is_whole(manifest):
        raise AvatarError(
            f"Avatar '{folder.name}': {MANIFEST} is not of version {FORMAT_VERSION}; add the avatar again."
        )
    return dict(manifest)


def _is_whole(manifest: dict[str, Any]) -> bool:
    """Whether every key is there and of its type."""
    kinds: dict[str, type] = dict.fromkeys(("title", "licence", "source"), str)
    kinds |= dict.fromkeys(("fps", "width", "height"), int) | {"boxes": list, "sha256": dict}
    typed = all(isinstance(manifest.get(key), kind) for key, kind in kinds.items())
    return typed and manifest["sha256"].keys() >= _FILES


def _check(folder: Path, file_name: str, manifest: dict[str, Any]) -> None:
    path = folder / file_name
    if not path.is_file() or _sha256(path) != manifest["sha256"][file_name]:
        raise AvatarError(f"Avatar '{folder.name}': {file_name} is missing or damaged; add the avatar again.")


def _decode(path: Path) -> Iterator[av.VideoFrame]:
    try:
        with av.open(str(path)) as container:
            yield from container.decode(video=0)
    except (OSError, av.FFmpegError, IndexError) as error:
        raise AvatarError(
            f"Avatar '{path.parent.name}': {path.name} cannot be decoded; add the avatar again."
        ) from error


def _put(frames: NDArray[np.uint8], index: int, frame: av.VideoFrame) -> bool:
    """Frame ``index`` as I420; False if there is no such place or it is of another size."""
    fits = index < len(frames) and (frame.height * 3 // 2, frame.width) == frames.shape[1:]
    if fits:
        frames[index] = frame.to_ndarray(format="yuv420p")
    return fits


def _luma(frame: av.VideoFrame) -> NDArray[np.uint8]:
    """The luma plane as it is: a conversion would squeeze full range into limited range."""
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), np.uint8).reshape(plane.height, plane.line_size)
    return rows[:, : plane.width]


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
