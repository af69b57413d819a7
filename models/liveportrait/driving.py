"""From a source's head and a driving motion to the keypoints to draw. No pictures are needed here."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from models.errors import MediaError
from models.liveportrait.keypoints import Head, Motion, keypoints, motion_multiplier
from models.liveportrait.landmarks import Points, eye_ratios, lip_ratios
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.retargeting import Retargeting
from models.liveportrait.settings import Settings
from models.liveportrait.smoothing import smooth

LIP_KEYPOINTS = (6, 12, 14, 17, 19, 20)
EYE_KEYPOINTS = (11, 13, 15, 16, 18)
_OPEN_EYE = 0.39
_LIP_ARRAY = Path(__file__).parents[1] / "assets" / "liveportrait_lip_array.npy"


@cache
def lip_array() -> Tensor:
    """The expression a single driving picture is compared with, (1, 21, 3) float64; a published constant."""
    return torch.from_numpy(np.load(_LIP_ARRAY, allow_pickle=False))


def _mask(entries: dict[int, Sequence[int]]) -> Tensor:
    mask = torch.zeros(KEYPOINTS, 3, dtype=torch.bool)
    for keypoint, axes in entries.items():
        mask[keypoint, list(axes)] = True
    return mask


_XYZ = (0, 1, 2)
EXPRESSION = _mask(
    dict.fromkeys((1, 2, 6, *range(11, 21)), _XYZ) | {3: (1,), 4: (1,), 5: (2,), 8: (2,), 9: (1, 2)},
)
"""(21, 3): the offsets that are a face's expression. The others also tell whose face it is."""
_REGIONS = {
    "all": EXPRESSION,
    "exp": EXPRESSION,
    "pose": _mask({}),
    "lip": _mask(dict.fromkeys(LIP_KEYPOINTS, _XYZ)),
    "eyes": _mask(dict.fromkeys(EYE_KEYPOINTS, _XYZ)),
}


@dataclass(frozen=True)
class SourceFace:
    """What of a source the driving motion is added to."""

    head: Head
    """Of one face."""
    x: Tensor
    """(1, 21, 3): its keypoints."""
    eyes: Tensor | None = None
    """(1, 2): how far its left and right eye are open; None without landmarks."""
    lips: Tensor | None = None
    """(1, 1)."""

    @classmethod
    def of(cls, head: Head, landmarks: Points | None = None) -> "SourceFace":
        """A head, and the 203 landmarks (203, 2) of the same picture where there are any."""
        if landmarks is None:
            return cls(head, head.keypoints())
        ratios = [torch.from_numpy(f(landmarks[None])).to(head.kp) for f in (eye_ratios, lip_ratios)]
        return cls(head, head.keypoints(), *ratios)


@dataclass(frozen=True)
class DrivingFrame:
    """One frame of a driving motion."""

    motion: Motion
    eyes: Tensor | None = None
    """(1, 2)."""
    lips: Tensor | None = None
    """(1, 1)."""
    offset: Tensor | None = None
    """(1, 21, 3): moves the keypoints further, before they are stitched."""


class Driver:
    """Turns driving frames, one after the other, into a source picture's keypoints.

    Holds the first driving frame, to which relative motion refers; ``still`` says that there will be no other.
    """

    def __init__(
        self, source: SourceFace, first: Motion, settings: Settings, retargeting: Retargeting, still: bool = False
    ) -> None:
        self.source, self.settings = source, settings
        self._first, self._still, self._retargeting = first, still, retargeting
        self._lip_offset = closed_lips(source, settings, retargeting)
        self._anchor: tuple[Tensor, float] | None = None
        if settings.relative_motion and settings.driving_option == "expression-friendly" and not still:
            x = self._placed(first)
            self._anchor = x, motion_multiplier(source.x, x)

    @torch.inference_mode()
    def step(self, frame: DrivingFrame) -> Tensor:
        """The keypoints of the next frame, (1, 21, 3)."""
        x = self._placed(frame.motion)
        if self._anchor is not None:
            x = self.source.x + (x - self._anchor[0]) * self._anchor[1]
        return refined(x, self.source, frame, self.settings, self._retargeting, [self._lip_offset])

    def _placed(self, driving: Motion) -> Tensor:
        return keypoints(self.source.head.kp, self._combined(driving))

    def _combined(self, driving: Motion) -> Motion:
        """The source's motion with what moves of the driving one."""
        source, first, settings = self.source.head, self._first, self.settings
        rotation, scale, t = source.rotation, source.scale, source.t
        if settings.relative_motion:
            exp = source.exp + (driving.exp - self._rest(driving.exp))
            if settings.moves():
                scale = scale * (driving.scale / first.scale)
            if settings.moves("pose"):
                rotation = driving.rotation @ first.rotation.transpose(1, 2) @ rotation
                t = t + (driving.t - first.t)
        else:
            exp = driving.exp
            if settings.moves("pose"):
                rotation, t = driving.rotation, driving.t
        if not (settings.relative_motion and settings.moves("exp")):
            exp = _in_region(settings, source.exp, exp)
        return Motion(scale=scale, rotation=rotation, exp=exp, t=t)

    def _rest(self, like: Tensor) -> Tensor:
        """The expression that counts as none."""
        if not self._still:
            return self._first.exp
        return torch.zeros_like(like) if self.settings.animation_region == "eyes" else lip_array().to(like)


class VideoDriver:
    """Turns a whole driving clip into the keypoints of a source video: expression and head are smoothed."""

    def __init__(
        self, sources: Sequence[SourceFace], driving: Motion, settings: Settings, retargeting: Retargeting
    ) -> None:
        """``driving``: a motion of one frame holds for all frames of the source; else the shorter ends the other."""
        still = len(driving) == 1
        count = len(sources) if still else min(len(sources), len(driving))
        self._sources, self._settings, self._retargeting = sources[:count], settings, retargeting
        heads = Head.cat([source.head for source in self._sources])
        exp, rotation = _video_motion(heads, driving if still else driving[:count], settings.relative_motion)
        if not still:
            exp, rotation = (self._smoothed(values) for values in (exp, rotation))
        exp, rotation = exp.expand_as(heads.exp), rotation.expand_as(heads.rotation)
        self._motion = Motion(
            scale=heads.scale,
            rotation=rotation if settings.moves("pose") else heads.rotation,
            exp=_in_region(settings, heads.exp, exp),
            t=heads.t,
        )
        if not settings.relative_motion and settings.moves("pose"):
            t = driving.t.expand_as(heads.t) if still else driving.t[:count]
            self._motion = Motion(self._motion.scale, self._motion.rotation, self._motion.exp, t)
        self._eye_target = self._held_eyes()

    def __len__(self) -> int:
        return len(self._sources)

    @torch.inference_mode()
    def step(self, index: int, frame: DrivingFrame) -> Tensor:
        """The keypoints of frame ``index``, (1, 21, 3)."""
        source = self._sources[index]
        x = keypoints(source.head.kp, self._motion[index])
        offsets = [closed_lips(source, self._settings, self._retargeting), self._eye_offset(source)]
        return refined(x, source, frame, self._settings, self._retargeting, offsets)

    def _smoothed(self, values: Tensor) -> Tensor:
        return torch.from_numpy(smooth(values.cpu().numpy(), self._settings.smooth_observation_variance)).to(values)

    def _held_eyes(self) -> Tensor | None:
        eyes = self._sources[0].eyes
        if not self._settings.source_video_eye_retargeting or eyes is None:
            return None
        openness = eyes.mean(dim=1, keepdim=True)
        shut = openness < self._settings.source_video_eye_threshold
        return torch.where(shut, torch.full_like(openness, _OPEN_EYE), openness)

    def _eye_offset(self, source: SourceFace) -> Tensor | None:
        if self._eye_target is None or source.eyes is None:
            return None
        return self._retargeting.eye_offset(source.x, torch.cat((source.eyes, self._eye_target), dim=1))


def _video_motion(sources: Head, driving: Motion, relative: bool) -> tuple[Tensor, Tensor]:
    """Expression and rotation of every frame, before smoothing."""
    if not relative:
        return driving.exp, driving.rotation
    if len(driving) == 1:
        return sources.exp + (driving.exp - lip_array().to(driving.exp)), sources.rotation
    first = driving[0]
    rotation = driving.rotation @ first.rotation.transpose(1, 2) @ sources.rotation
    return sources.exp + driving.exp - first.exp, rotation


def _in_region(settings: Settings, source: Tensor, moved: Tensor) -> Tensor:
    """Expression offsets (n, 21, 3): ``moved`` where the region is, else the source's."""
    return torch.where(_REGIONS[settings.animation_region].to(moved.device), moved, source)


@torch.inference_mode()
def closed_lips(source: SourceFace, settings: Settings, retargeting: Retargeting) -> Tensor | None:
    """The offset (1, 21, 3) that closes a source's open lips; None where there is nothing to do."""
    if not (settings.normalize_lip and settings.relative_motion) or source.lips is None:
        return None
    if bool(source.lips < settings.lip_normalize_threshold):
        return None
    return retargeting.lip_offset(source.x, torch.nn.functional.pad(source.lips, (0, 1)))


def refined(
    x: Tensor,
    source: SourceFace,
    frame: DrivingFrame,
    settings: Settings,
    retargeting: Retargeting,
    offsets: Sequence[Tensor | None] = (),
) -> Tensor:
    """Driving keypoints after stitching and retargeting (algorithm 1 of the published code), (1, 21, 3).

    ``offsets`` are added last, and only without eye and lip retargeting.

    Raises:
        MediaError: retargeting without landmarks.
    """
    if settings.eye_retargeting or settings.lip_retargeting:
        # Retargeted relative motion starts from the source itself: the driving motion is left out.
        x = source.x if settings.relative_motion else x
        x = sum(_retargeted(source, frame, settings, retargeting), start=x)
        offsets = ()
    if frame.offset is not None:
        x = x + frame.offset
    if settings.stitching:
        x = retargeting.stitch(source.x, x)
    for offset in offsets:
        x = x if offset is None else x + offset
    return source.x + (x - source.x) * settings.driving_multiplier


def _retargeted(source: SourceFace, frame: DrivingFrame, settings: Settings, retargeting: Retargeting) -> list[Tensor]:
    offsets = []
    if settings.eye_retargeting:
        if source.eyes is None or frame.eyes is None:
            raise MediaError(_no_landmarks("eye"))
        # Both eyes follow the driving left one.
        ratios = torch.cat((source.eyes, frame.eyes[:, :1]), dim=1)
        offsets.append(retargeting.eye_offset(source.x, ratios))
    if settings.lip_retargeting:
        if source.lips is None or frame.lips is None:
            raise MediaError(_no_landmarks("lip"))
        offsets.append(retargeting.lip_offset(source.x, torch.cat((source.lips, frame.lips), dim=1)))
    return offsets


def _no_landmarks(what: str) -> str:
    return (
        f"{what.capitalize()} retargeting needs landmarks of the source and {what} ratios of the driving motion; "
        f"make the template from a clip with landmarks, or turn {what} retargeting off."
    )
