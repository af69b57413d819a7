"""How a portrait is animated live: what of the published flags makes sense there, and how a camera is followed.

Eye and lip retargeting, and the closing of a source's lips, need 203 landmarks of the source, which avatars do not
bring; live pictures are always pasted back.
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
    camera_cutoff_hz: float = MIN_CUTOFF_HZ
    """Of the one-euro filter, for a head at rest: the lower, the smoother and the later."""
    camera_beta: float = BETA
    """Of the one-euro filter: how much the cut-off rises with speed; the higher, the quicker and the less smooth."""

    def published(self) -> Settings:
        """The same as the pipeline's settings; what a camera is taken relative to is the live driver's business."""
        return Settings(stitching=self.stitching, animation_region=self.region, driving_multiplier=self.multiplier)
