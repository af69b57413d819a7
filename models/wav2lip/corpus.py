"""The training corpus: rendered talking crops, and the idle frame each of them lies on.

A folder of shards as ``models.studio.corpus`` writes them, ``shard-00000.npz`` and on, each with::

    target   (n, size, size, 3) uint8 RGB: an idle frame's face box, talking
    frame    (n,) which idle frame
    weights  (n, 52) float32: ARKit weights of the talking mouth
    row      (n,), -1 where that mouth is made up; all are of speech where this is missing

and, if the sync term is to be used, with ``clip`` (n,) and ``clip_frame`` (n,), which clip of speech and
which frame of it (-1: none), beside ``clip-00000.npy``, (80, columns): the clip's mel spectrogram. Where a shard
has ``to_rest`` and ``from_rest``, the flow between target and idle frame (see ``models.wav2lip.flow``), the network
is told how the face moves.

What the network gets as input is taken from the avatar as it is served, coded video and all. A corpus of the cast
has no avatar: its shards hold ``idle`` (m, size, size, 3) uint8, which ``frame`` counts in, and ``mask.png`` beside
them is the blend mask. Pairs are of one pose and light, so the hidden half tells nothing that the sound does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import SILENCE
from models.avatar import Avatar
from models.errors import MediaError
from models.studio.visemes import curves_from_code, mouth_code
from models.timebase import first_column
from models.wav2lip.flow import FIELDS, Flow, Flows
from models.wav2lip.pixels import scaled_crop

SYNC_FRAMES = 5
MASK = "mask.png"
_ABSENT = -1
_TALKS, _HUSHED, _MADE_UP, _KINDS = 1, 1, 2, 5
"""Of the face drawn on; added up they number a kind. 0: it is at rest."""
_STILL = 0.15
"""Share of the faces brought to rest that are at rest already: what the network must leave as it is."""
_UNTOLD = 0.1
"""A blend shape this far from what the code gives is seen."""


@dataclass(frozen=True)
class Batch:
    """Some samples, in the order they were asked for."""

    idle: NDArray[np.uint8]
    """(n, size, size, 3): the face drawn on, at rest or saying something else."""
    target: NDArray[np.uint8]
    """(n, size, size, 3)."""
    code: NDArray[np.float32]
    """(n, K): the mouth code of the target."""
    flow: Flow
    """(n, size, size, 2): where in the face drawn on the target's pixels are, right and down in pixels from
    themselves; NaN where nobody knows."""
    worn: NDArray[np.float32]
    """(n, K): the mouth code of the face drawn on."""
    kind: NDArray[np.int64]
    """(n,) in [0, ``Corpus.kinds``): which samples may leave one trace. A folder's upon faces at rest; or that talk, or
    that come to rest, upon mouths of speech, or upon made-up ones, which are wider: or one's trace would cancel the
    other's. Upon a face at rest nothing is left, whatever is left of a mouth that is nearly shut."""


@dataclass(frozen=True)
class Inputs:
    """What is drawn on: shares of the samples. What is left is drawn on the face at rest.

    A network that has seen other faces takes the mouth from the sound alone. A pose in which no other sample talks has
    nothing else to say and stays at rest.
    """

    talking: float = 0.0
    """Drawn on a face that says something else."""
    hushed: float = 0.0
    """A talking face brought to rest: there, all that the input says is wrong. Some are at rest already."""


AT_REST = Inputs()


class Corpus:
    """Corpora in memory, 250 KB a sample, each with the avatar it was drawn for, or None for one of the cast.

    Raises:
        MediaError: a folder is no corpus, or not one of its avatar, or the masks differ.
    """

    def __init__(self, sources: Sequence[tuple[Path, Avatar | None]]) -> None:
        masks = [_read_mask(folder) if avatar is None else avatar.mask for folder, avatar in sources]
        self.mask = masks[0]
        idle, self._sounds, self._ends = [], dict[int, Path](), list[int]()
        parts: list[dict[str, NDArray[Any]]] = []
        flows: list[Flows] = []
        frames, samples = 0, 0
        for (folder, avatar), mask in zip(sources, masks, strict=True):
            if not np.array_equal(mask, self.mask):
                name = folder.name if avatar is None else avatar.name
                raise MediaError(f"'{name}' shows another part of the face than the first corpus; train it alone.")
            part, faces, ends, known = _read_folder(folder, avatar)
            flows += known
            self._ends += [samples + end for end in ends]
            samples += len(part["frame"])
            part["frame"] = part["frame"].astype(np.int64) + frames
            first_clip = max(self._sounds, default=-1) + 1
            for clip in np.unique(part["clip"][part["clip"] != _ABSENT]):
                self._sounds[first_clip + int(clip)] = folder / f"clip-{clip:05d}.npy"
            part["clip"] = np.where(part["clip"] == _ABSENT, _ABSENT, part["clip"].astype(np.int64) + first_clip)
            idle.append(faces)
            frames += len(faces)
            part["source"] = np.full(len(part["frame"]), len(parts), dtype=np.int64)
            parts.append(part)
        fields = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
        self.targets: NDArray[np.uint8] = fields["target"]
        self._flows = Flows.joined(flows)
        self.frame: NDArray[np.int64] = fields["frame"]
        self.kinds, self._source, self._made_up = _KINDS * len(parts), fields["source"], fields["made_up"]
        self.clip, self.clip_frame = fields["clip"], fields["clip_frame"].astype(np.int64)
        self.code = mouth_code(fields["weights"])
        self.size = self.targets.shape[1]
        scaled = cv2.resize(self.mask, (self.size, self.size), interpolation=cv2.INTER_AREA)
        self._paste = (scaled.astype(np.float32) / 255)[..., np.newaxis]
        self.idle = np.concatenate(idle)
        self._mels: dict[int, NDArray[np.float32]] = {}
        talks = self.code.any(axis=1)
        self._talking = {int(frame): np.flatnonzero((self.frame == frame) & talks) for frame in np.unique(self.frame)}

    def __len__(self) -> int:
        return len(self.targets)

    def batch(
        self, indices: NDArray[np.int64], inputs: Inputs = AT_REST, rng: np.random.Generator | None = None
    ) -> Batch:
        """The samples of these indices, some of them drawn on other faces of the same pose than the resting one.

        Raises:
            ValueError: ``inputs`` asks for others, and there is no ``rng`` to choose them.
        """
        idle, target, code = self.idle[self.frame[indices]], self.targets[indices], self.code[indices]
        flow, worn, kind = self._flows.to_rest(indices), np.zeros_like(code), _KINDS * self._source[indices]
        if inputs == AT_REST:
            return Batch(idle, target, code, flow, worn, kind)
        if rng is None:
            raise ValueError("Other inputs than resting ones are chosen at random: give an rng.")
        chance = rng.random(len(indices))
        for n in np.flatnonzero(chance < inputs.hushed + inputs.talking):
            others = self._talking[int(self.frame[indices[n]])]
            hushed = chance[n] < inputs.hushed
            if hushed:
                target[n], code[n], flow[n] = idle[n], 0.0, 0.0
                others = others if rng.random() >= _STILL else others[:0]
            else:
                others = others[others != indices[n]]
            if not len(others):
                continue
            other = int(rng.choice(others))
            flow[n] = self._flows.from_rest(other) if hushed else self._flows.between(int(indices[n]), other)
            idle[n], worn[n] = self.as_seen(other), self.code[other]
            kind[n] += _TALKS + _HUSHED * hushed + _MADE_UP * self._made_up[other]
        return Batch(idle, target, code, flow, worn, kind)

    def spoken(self) -> NDArray[np.int64]:
        """Indices of the samples that show a mouth of speech, and no pause."""
        return np.flatnonzero(self.code.any(axis=1) & ~self._made_up)

    def as_seen(self, index: int) -> NDArray[np.uint8]:
        """A sample's target as a loop that talks would show it: its mouth pasted on the face at rest, in 4:2:0."""
        rest = self.idle[self.frame[index]].astype(np.float32)
        pasted = np.round(rest + self._paste * (self.targets[index] - rest)).astype(np.uint8)
        coded = cv2.cvtColor(pasted, cv2.COLOR_RGB2YUV_I420)
        return np.asarray(cv2.cvtColor(coded, cv2.COLOR_YUV2RGB_I420), dtype=np.uint8)

    def held_out(self, count: int) -> NDArray[np.int64]:
        """Indices of the last samples of every avatar and of the cast's shards, ``count`` in all, to judge by."""
        ends = np.unique(self._ends)
        if count < len(ends):
            ends = ends[np.linspace(0, len(ends) - 1, count).astype(np.int64)]
        each = count // len(ends)
        starts = np.maximum(ends - each, np.concatenate([[0], ends[:-1]]))
        return np.concatenate([np.arange(start, end) for start, end in zip(starts, ends, strict=True)])

    def runs(self) -> NDArray[np.int64]:
        """Indices at which five frames of one clip follow each other, and the clip has sound: (n,)."""
        starts = np.arange(max(0, len(self) - SYNC_FRAMES + 1))
        good = self.clip[starts] != _ABSENT
        for step in range(1, SYNC_FRAMES):
            good &= self.clip[starts + step] == self.clip[starts]
            good &= self.clip_frame[starts + step] == self.clip_frame[starts] + step
        heard = {clip: path.is_file() for clip, path in self._sounds.items()}
        return np.array([start for start in starts[good] if heard[int(self.clip[start])]], dtype=np.int64)

    def mel(self, index: int, shift: int = 0) -> NDArray[np.float32]:
        """The expert's mel window (80, 16) of the five frames from sample ``index`` on.

        ``shift`` moves the window by that many frames; what lies outside of the clip is silence.
        """
        clip = int(self.clip[index])
        if clip not in self._mels:
            self._mels[clip] = np.load(self._sounds[clip]).astype(np.float32)
        mel = self._mels[clip]
        start = first_column(int(self.clip_frame[index]) + shift, 0)
        window = np.full((len(mel), WINDOW_COLUMNS), SILENCE, dtype=np.float32)
        first, last = max(0, start), min(mel.shape[1], start + WINDOW_COLUMNS)
        if first < last:
            window[:, first - start : last - start] = mel[:, first:last]
        return window


def _told_by_code(weights: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which mouths (n, 52) the code tells in full: others would show one code many pictures, and blur it."""
    return np.asarray(np.abs(curves_from_code(mouth_code(weights)) - weights).max(axis=1) < _UNTOLD)


def has_own_faces(folder: Path) -> bool:
    """Whether a corpus is one of the cast, which needs no avatar."""
    return (folder / MASK).is_file()


def _read_mask(folder: Path) -> NDArray[np.uint8]:
    mask = cv2.imread(str(folder / MASK), cv2.IMREAD_GRAYSCALE) if has_own_faces(folder) else None
    if mask is None:
        raise MediaError(f"{folder} holds no readable {MASK}: give the avatar it was drawn for, or draw it again.")
    return np.asarray(mask, dtype=np.uint8)


def _read_folder(
    folder: Path, avatar: Avatar | None
) -> tuple[dict[str, NDArray[Any]], NDArray[np.uint8], list[int], list[Flows]]:
    """A folder's samples; the faces they are drawn on; where samples end that lie next to each other; their flows."""
    shards = sorted(folder.glob("shard-*.npz"))
    if not shards:
        raise MediaError(f"{folder} holds no shards; draw a corpus with visavis train corpus.")
    parts = [_read(shard, own_faces=avatar is None) for shard in shards]
    faces: list[NDArray[np.uint8]] = []
    flows: list[Flows] = []
    ends, seen, samples = [], 0, 0
    for part in parts:
        told = _told_by_code(part["weights"])
        if avatar is None:
            faces.append(part.pop("idle"))
            part["frame"] = part["frame"].astype(np.int64) + seen
            seen += len(faces[-1])
        part.update({name: values[told] for name, values in part.items()})
        flows.append(
            Flows(len(part["frame"]), part["target"].shape[1], part.pop("to_rest", None), part.pop("from_rest", None))
        )
        samples += len(part["frame"])
        ends.append(samples)
    fields = {name: np.concatenate([part.pop(name) for part in parts]) for name in list(parts[0])}
    if avatar is None:
        return fields, np.concatenate(faces), ends, flows
    if fields["frame"].max() >= len(avatar):
        raise MediaError(f"{folder} was drawn for a longer idle loop than '{avatar.name}' has; draw it again.")
    size = fields["target"].shape[1]
    crops = np.stack([scaled_crop(avatar.crop_rgb(i), size) for i in range(len(avatar))])
    return fields, crops, ends[-1:], flows


def _read(shard: Path, own_faces: bool) -> dict[str, NDArray[Any]]:
    wanted = ("target", "frame", "weights") + (("idle",) if own_faces else ())
    try:
        with np.load(shard) as data:
            fields = {name: data[name] for name in wanted + tuple(name for name in FIELDS if name in data)}
            for name in ("clip", "clip_frame"):
                fields[name] = data[name] if name in data else np.full(len(data["frame"]), _ABSENT)
            fields["made_up"] = data["row"] < 0 if "row" in data else np.zeros(len(data["frame"]), bool)
    except (OSError, KeyError, ValueError) as error:
        raise MediaError(f"The shard {shard.name} is damaged; delete it and draw the corpus again.") from error
    return fields
