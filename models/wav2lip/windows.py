"""Which mel columns belong to which picture, as the published code counts them."""

from models.audio.encoder import WINDOW_COLUMNS
from models.timebase import COLUMNS_PER_SECOND, FRAMES_PER_SECOND


def chunk_starts(columns: int, fps: float) -> list[int]:
    """First columns of the windows of a whole sound of ``columns`` columns, one a frame at ``fps``.

    A last window that ends with the sound is always added, even if it repeats the one before.

    Raises:
        ValueError: the sound is shorter than one window.
    """
    if columns < WINDOW_COLUMNS:
        raise ValueError(f"A sound of {columns} mel columns is shorter than a window of {WINDOW_COLUMNS}.")
    step = COLUMNS_PER_SECOND / fps
    starts: list[int] = []
    while (start := int(len(starts) * step)) + WINDOW_COLUMNS <= columns:
        starts.append(start)
    return [*starts, columns - WINDOW_COLUMNS]


def training_start(frame: int) -> int:
    """First column of the window of picture ``frame`` (from 1 on) in training: one frame before it."""
    if frame < 1:
        raise ValueError("The first picture has no window: it would begin before the sound.")
    return int(COLUMNS_PER_SECOND * (frame - 1) / FRAMES_PER_SECOND)


def sync_start(frame: int) -> int:
    """First column of the expert's window of the five pictures from ``frame`` on."""
    return int(COLUMNS_PER_SECOND * frame / FRAMES_PER_SECOND)
