"""How a portrait is animated: the published flags, with the published command's defaults."""

from dataclasses import dataclass
from typing import Literal

from models.liveportrait.smoothing import OBSERVATION_VARIANCE

Region = Literal["all", "exp", "pose", "lip", "eyes"]
DrivingOption = Literal["expression-friendly", "pose-friendly"]


@dataclass(frozen=True)
class Settings:
    """The published flags, without their prefix ``flag_``."""

    relative_motion: bool = True
    """Add the driving motion since its first frame to the source's own; else take it over as it is."""
    stitching: bool = True
    """Keep the shoulders where the source has them."""
    normalize_lip: bool = False
    """Close the source's lips before animation; with relative motion only."""
    eye_retargeting: bool = False
    """Open the eyes as far as the driving ones are, whatever else the driving face does."""
    lip_retargeting: bool = False
    """Likewise the lips."""
    source_video_eye_retargeting: bool = False
    """Hold a source video's eyes as open as they are in its first frame."""
    driving_option: DrivingOption = "expression-friendly"
    """Expression-friendly: start from the source's own pose and scale motion to its head's size."""
    driving_multiplier: float = 1.0
    """How much of the motion to show."""
    animation_region: Region = "all"
    """What moves; the rest stays as it is in the source."""
    pasteback: bool = True
    """Lay the drawn crop over the whole source picture."""
    smooth_observation_variance: float = OBSERVATION_VARIANCE
    """For source videos: the larger, the smoother."""
    lip_normalize_threshold: float = 0.03
    """Lips less open than this count as closed."""
    source_video_eye_threshold: float = 0.18
    """Eyes less open than this in a source video's first frame count as shut, and are opened to 0.39."""

    def moves(self, *regions: Region) -> bool:
        """Whether one of the regions is what moves, or everything does."""
        return self.animation_region in ("all", *regions)
