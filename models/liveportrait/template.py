"""Motion templates: a clip's motion, kept apart from the face it was seen on.

On disk one ``.npz``, format version 1::

    meta      JSON text: format, version, fps, title, source, licence, key, sha256 of all arrays
    scale     (n, 1)      R    (n, 3, 3)      exp   (n, 21, 3)      t    (n, 3)
    eyes      (n, 2), lips (n, 1): how far open, where the clip had landmarks

all float32. The published ``.pkl`` is read by ``models.liveportrait.published_template``.
"""

import hashlib
import json
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.aside import written_aside
from models.errors import MediaError
from models.liveportrait.driving import DrivingFrame
from models.liveportrait.keypoints import Head, Motion
from models.liveportrait.layers import KEYPOINTS

FORMAT = "visavis motion template"
VERSION = 1
MAX_FRAMES = 100_000
MAX_BYTES = 256 << 20
"""What is longer or larger than this is refused before it is read; both are over an hour."""
SHAPES: dict[str, tuple[int, ...]] = {
    "scale": (1,),
    "R": (3, 3),
    "exp": (KEYPOINTS, 3),
    "t": (3,),
    "eyes": (2,),
    "lips": (1,),
}
"""Of one frame."""
OPTIONAL = frozenset({"eyes", "lips"})
_NOT_TURNED = 0.01
"""A rotation's rows are of length one and at right angles, up to this."""

Arrays = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True)
class MotionTemplate:
    """Motion of a clip. It holds no picture and no identity; one drives any number of faces without M."""

    motion: Motion
    fps: float
    eyes: Tensor | None = None
    """(n, 2): how far the left and right eye are open."""
    lips: Tensor | None = None
    """(n, 1)."""
    title: str = ""
    source: str = ""
    licence: str = ""
    key: str = ""
    """Of the clip and the networks it was made with; equal keys, equal motion."""

    def __len__(self) -> int:
        return len(self.motion)

    @classmethod
    def of_heads(
        cls, heads: Head, fps: float, eyes: NDArray[np.float32] | None = None, lips: NDArray[np.float32] | None = None
    ) -> "MotionTemplate":
        """The motion of heads seen in a clip; their canonical keypoints, which are the person's, are left out."""
        motion = Motion(heads.scale, heads.rotation, heads.exp, heads.t)
        tensors = [None if ratio is None else torch.from_numpy(ratio) for ratio in (eyes, lips)]
        return cls(motion, fps, eyes=tensors[0], lips=tensors[1])

    @classmethod
    def of_arrays(cls, arrays: Arrays, fps: float, title: str = "", source: str = "", licence: str = "") -> Self:
        """From arrays named and shaped as on disk.

        Raises:
            MediaError: an array is missing, of another shape or type, or not finite.
        """
        checked(arrays, fps)
        tensors = {name: torch.from_numpy(np.ascontiguousarray(array)) for name, array in arrays.items()}
        motion = Motion(tensors["scale"], tensors["R"], tensors["exp"], tensors["t"])
        return cls(motion, fps, tensors.get("eyes"), tensors.get("lips"), title, source, licence)

    def arrays(self) -> dict[str, NDArray[np.float32]]:
        """As on disk."""
        m = self.motion
        tensors = {"scale": m.scale, "R": m.rotation, "exp": m.exp, "t": m.t, "eyes": self.eyes, "lips": self.lips}
        return {name: t.cpu().numpy().astype(np.float32) for name, t in tensors.items() if t is not None}

    def frame(self, index: int) -> DrivingFrame:
        """Frame ``index``."""
        ratios = [None if ratio is None else ratio[index : index + 1] for ratio in (self.eyes, self.lips)]
        return DrivingFrame(self.motion[index], *ratios)

    def frames(self) -> Iterator[DrivingFrame]:
        """Every frame in order."""
        return map(self.frame, range(len(self)))

    def still(self) -> "MotionTemplate":
        """Its first frame alone."""
        first = self.frame(0)
        return replace(self, motion=first.motion, eyes=first.eyes, lips=first.lips)


def checked(arrays: Arrays, fps: float) -> None:
    """Whether arrays make a template.

    Raises:
        MediaError: they do not; the message says why.
    """
    missing = sorted(set(SHAPES) - OPTIONAL - set(arrays))
    unknown = sorted(set(arrays) - set(SHAPES))
    if missing or unknown:
        raise MediaError(_unfit(f"lacks {', '.join(missing)}" if missing else f"holds unknown {', '.join(unknown)}"))
    if not 0 < fps <= 1000:
        raise MediaError(_unfit(f"plays at {fps} frames a second"))
    count = len(arrays["exp"]) if arrays["exp"].ndim else 0
    if not 0 < count <= MAX_FRAMES:
        raise MediaError(_unfit(f"has {count} frames, not 1 to {MAX_FRAMES}"))
    for name, array in arrays.items():
        if array.dtype != np.float32 or array.shape != (count, *SHAPES[name]):
            expected = (count, *SHAPES[name])
            raise MediaError(_unfit(f"has {name} of {array.dtype} {array.shape}, expected float32 {expected}"))
        if not np.isfinite(array).all():
            raise MediaError(_unfit(f"has values in {name} that are no numbers"))
    if (arrays["scale"] <= 0).any():
        raise MediaError(_unfit("has scales that are not positive"))
    turned = arrays["R"] @ arrays["R"].transpose(0, 2, 1)
    if np.abs(turned - np.eye(3)).max() > _NOT_TURNED:
        raise MediaError(_unfit("has rotations that are none"))


def _unfit(reason: str) -> str:
    return f"The motion template {reason}; make it again with: visavis motion extract CLIP NAME."


def save_template(path: Path, template: MotionTemplate) -> None:
    """Write a template aside, then put it in its place."""
    arrays = template.arrays()
    meta = {
        "format": FORMAT,
        "version": VERSION,
        "fps": template.fps,
        "title": template.title,
        "source": template.source,
        "licence": template.licence,
        "key": template.key,
        "sha256": _checksum(arrays),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, meta=np.array(json.dumps(meta)), **arrays)


def load_template(path: Path) -> MotionTemplate:
    """Read a template; nothing in it is run.

    Raises:
        MediaError: missing, damaged, changed since it was written, or not of this format.
    """
    if not path.is_file():
        raise MediaError(f"There is no motion template {path.stem}; make one with: visavis motion extract CLIP NAME.")
    try:
        with path.open("rb") as file:
            if sum(part.file_size for part in zipfile.ZipFile(file).infolist()) > MAX_BYTES:
                raise ValueError("it would fill the memory")
            with np.load(file, allow_pickle=False) as members:
                meta = json.loads(str(members["meta"]))
                arrays = {name: members[name] for name in members.files if name != "meta"}
        known = meta["format"] == FORMAT and meta["version"] == VERSION
        fps, checksum = float(meta["fps"]), str(meta["sha256"])
        title, source, licence, key = (str(meta[name]) for name in ("title", "source", "licence", "key"))
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise MediaError(f"The motion template {path.name} is damaged; make it again.") from error
    if not known:
        raise MediaError(f"The motion template {path.name} is not of version {VERSION}; make it again.")
    template = replace(MotionTemplate.of_arrays(arrays, fps, title, source, licence), key=key)
    if checksum != _checksum(arrays):
        raise MediaError(f"The motion template {path.name} was changed since it was made; make it again.")
    return template


def _checksum(arrays: Arrays) -> str:
    digest = hashlib.sha256()
    for name in sorted(arrays):
        digest.update(f"{name} {arrays[name].shape} ".encode())
        digest.update(np.ascontiguousarray(arrays[name], "<f4").tobytes())
    return digest.hexdigest()
