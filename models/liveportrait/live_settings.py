"""How a portrait is animated live: what of the published flags makes sense there, and how a camera is followed.

Live pictures are always pasted back.
"""

from dataclasses import dataclass

from models.liveportrait.crop import NETWORK_PX
from models.liveportrait.live_driver import BETA, MIN_CUTOFF_HZ
from models.liveportrait.settings import Region, Settings


@dataclass(frozen=True)
class LiveSettings:
    """Of every session of an engine."""

    face_px: int = NETWORK_PX
    """Side of the face crops that F and M see, a multiple of 128; G draws twice that. 256 as trained."""
    relative: bool = True
    """Add the motion since the neutral face to the avatar's own; else take the camera's head and face as they are.
    Motion from sound is relative always."""
    stitching: bool = True
    """Keep the shoulders where the avatar has them."""
    region: Region = "all"
    """What moves; the rest stays as it is in the avatar's picture."""
    multiplier: float = 1.0
    """How much of the motion to show."""
    normalize_lip: bool = False
    """Close the avatar's lips before it moves, with relative motion only. This and retargeting need landmarks."""
    eye_retargeting: bool = False
    """Blinks as the retargeting network shuts this avatar's eyes, see ``openings``."""
    lip_retargeting: bool = False
    """Likewise the opening of its lips, which are closed at rest then."""
    camera_cutoff_hz: float = MIN_CUTOFF_HZ
    """Of the one-euro filter, for a head at rest: the lower, the smoother and the later."""
    camera_beta: float = BETA
    """Of the one-euro filter: how much the cut-off rises with speed; the higher, the quicker and the less smooth."""

    def published(self) -> Settings:
        """The same as the pipeline's settings; what a camera is taken relative to is the live driver's business."""
        return Settings(
            stitching=self.stitching,
            animation_region=self.region,
            driving_multiplier=self.multiplier,
            normalize_lip=self.normalize_lip and self.relative and not self.lip_retargeting,
        )

    @property
    def needs_landmarks(self) -> bool:
        """Whether an avatar's landmarks have to be found."""
        return self.normalize_lip or self.eye_retargeting or self.lip_retargeting
