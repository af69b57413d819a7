"""The probe: paints the face box with a brightness that tells how loud the frame's own 40 ms are.

With it a client measures A/V skew from decoded pictures against decoded sound, not from time stamps.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.engine import MelWindow, RenderRequest

FLOOR_DBFS = -60.0
DARKEST, BRIGHTEST = 16, 235
CROP_PX = 64


def brightness(level_dbfs: float) -> int:
    """RMS level to grey: -60 dBFS and below is 16, 0 dBFS is 235, linear in dB between."""
    share = min(max(1.0 - level_dbfs / FLOOR_DBFS, 0.0), 1.0)
    return round(DARKEST + share * (BRIGHTEST - DARKEST))


def level_dbfs(grey: float) -> float:
    """The inverse of :func:`brightness`."""
    return FLOOR_DBFS * (1.0 - (grey - DARKEST) / (BRIGHTEST - DARKEST))


class ProbeEngine:
    """Draws no face: a flat grey crop a frame."""

    name = "probe"
    window = MelWindow(columns=16, lead_columns=8)

    def prepare(self, avatar: Avatar) -> None:
        """Nothing depends on the avatar."""

    def preparation(self, avatar: Avatar) -> Generator[None, None, None]:
        """No steps."""
        yield from ()

    def new_state(self) -> None:
        """No state either."""

    def render(self, requests: Sequence[RenderRequest]) -> list[NDArray[np.uint8]]:
        """One flat (64, 64, 3) crop a request."""
        crops = []
        for request in requests:
            rms = float(np.sqrt(np.mean(np.square(request.samples, dtype=np.float64))))
            grey = brightness(20.0 * float(np.log10(max(rms, 1e-6))))
            crops.append(np.full((CROP_PX, CROP_PX, 3), grey, dtype=np.uint8))
        return crops


def load_engine(weights: Path | None, **_options: str) -> ProbeEngine:
    """The registry's loader; a probe has no weights, and no network to run somehow."""
    return ProbeEngine()
