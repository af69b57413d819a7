"""The truth: the studio's render of what the mouth should do, seen through the same compositor and colours."""

import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.errors import AvatarError
from models.face.compositor import Compositor
from models.studio.identity import IDENTITIES
from models.studio.stage import Stage

_MM_PER_DECIMETRE = 100.0


class Truth:
    """Draws an avatar as the studio would have it speak.

    Args:
        avatar: one that the studio drew, as loaded from its folder.
        stage: the avatar's stage if the caller has one, which takes about ten seconds to bake; None where it is
            one of the shipped.

    Raises:
        AvatarError: the avatar is not the studio's, or was drawn by another version of it.
    """

    def __init__(self, avatar: Avatar, stage: Stage | None = None) -> None:
        if stage is None and avatar.name not in IDENTITIES:
            raise AvatarError(
                f"Avatar '{avatar.name}' was not drawn by the studio, so there is no truth to compare with; "
                f"choose one of: {', '.join(sorted(IDENTITIES))}."
            )
        self.stage = stage or Stage(IDENTITIES[avatar.name])
        if not np.array_equal(self.stage.boxes, avatar.boxes):
            raise AvatarError(
                f"Avatar '{avatar.name}' was drawn by another version of the studio; draw it again with "
                f"'python -m models.studio.avatar_builder {avatar.name}'."
            )
        self._compositor = Compositor(avatar)

    def picture(self, frame: int, mouth: NDArray[np.float32]) -> NDArray[np.uint8]:
        """Frame ``frame`` of the loop saying ``mouth`` ((52,) weights), I420; do not write to it."""
        if not mouth.any():
            return self._compositor.compose(frame, None)
        return self._compositor.compose(frame, self.stage.render_mouth(frame, mouth))

    def opening_mm(self, frame: int, mouth: NDArray[np.float32]) -> float:
        """Mean gap between the lips by the posed mesh, in mm of a life-size head: the label of the opening."""
        return _MM_PER_DECIMETRE * float(self.stage.pose(frame, mouth)[0].aperture)
