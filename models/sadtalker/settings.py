"""What can be chosen about a film."""

from dataclasses import dataclass

from models.errors import VisavisError
from models.sadtalker.pose import STYLES
from models.sadtalker.renderer import SIZES_PX

PREPROCESSES = ("crop", "resize", "full")
_MOST_EXPRESSION = 3.0
_MOST_BATCH = 64


class ChoiceError(VisavisError):
    """A choice about a film that there is not."""


@dataclass(frozen=True)
class Choices:
    """Settings of a film, checked.

    Raises:
        ChoiceError: naming what there is to choose from.
    """

    preprocess: str = "crop"
    """``crop``: the head alone is shown. ``resize``: the whole picture is drawn. ``full``: the head is drawn, and
    pasted into the whole picture."""
    still: bool = False
    """The head stays as in the picture, the face alone moves."""
    pose_style: int = 0
    """Of the head's motion, 0 to 45."""
    expression_scale: float = 1.0
    size_px: int = 256
    """Side of the square that is drawn."""
    batch_frames: int = 2
    """Frames drawn in one go."""
    seed: int = 0
    """Of blinks and head motion; the same gives the same film."""

    def __post_init__(self) -> None:
        if self.preprocess not in PREPROCESSES:
            raise ChoiceError(f"There is no preprocessing '{self.preprocess}'; choose {', '.join(PREPROCESSES)}.")
        if not 0 <= self.pose_style < STYLES:
            raise ChoiceError(f"There is no pose style {self.pose_style}; choose 0 to {STYLES - 1}.")
        if not 0 <= self.expression_scale <= _MOST_EXPRESSION:
            raise ChoiceError(f"The expression's scale is 0 to {_MOST_EXPRESSION:g}, not {self.expression_scale:g}.")
        if self.size_px not in SIZES_PX:
            raise ChoiceError(f"There are weights for {' and '.join(map(str, SIZES_PX))} px, not {self.size_px}.")
        if not 1 <= self.batch_frames <= _MOST_BATCH:
            raise ChoiceError(f"A batch has 1 to {_MOST_BATCH} frames, not {self.batch_frames}.")
        if not 0 <= self.seed < 1 << 32:
            raise ChoiceError("The seed is 0 or a positive number below 2^32.")

    @property
    def is_full(self) -> bool:
        """Whether the whole picture belongs to what is shown."""
        return self.preprocess == "full"
