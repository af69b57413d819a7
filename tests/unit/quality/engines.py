"""Engines whose figures are known beforehand."""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np

from models.avatar import Avatar
from models.engine import MelWindow, RenderRequest


class CopyEngine:
    """Draws its input frame again, whatever it hears: all leak, or perfect rest."""

    name = "copy"
    window = MelWindow(columns=16, lead_columns=8)

    def prepare(self, avatar: Avatar) -> Any:
        return [avatar.crop_rgb(frame) for frame in range(len(avatar))]

    def preparation(self, avatar: Avatar) -> Generator[None, None, Any]:
        yield
        return self.prepare(avatar)

    def new_state(self) -> Any:
        return None

    def render(self, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
        return [request.prepared[request.avatar_frame] for request in requests]


class RestEngine(CopyEngine):
    """Draws the resting face of the avatar it was made for, whatever frame it is given."""

    def __init__(self, avatar: Avatar) -> None:
        self._crop = avatar.crop_rgb(0)

    def render(self, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
        return [self._crop for _ in requests]
