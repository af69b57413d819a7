"""A stretch of sound that knows where it belongs."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class AudioChunk:
    """Samples with their place in the stream: time is an index, never a wall clock."""

    samples: NDArray[np.float32]
    """(n,) mono in [-1, 1]."""
    sample_rate: int
    """Hz."""
    start: int
    """Absolute index of the first sample, at ``sample_rate``."""

    def __post_init__(self) -> None:
        if self.samples.ndim != 1 or self.samples.dtype != np.float32:
            raise ValueError(
                f"An audio chunk holds mono float32 samples of shape (n,), "
                f"not {self.samples.dtype} of shape {self.samples.shape}."
            )
        if self.sample_rate <= 0:
            raise ValueError(f"An audio chunk needs a positive sample rate, not {self.sample_rate}.")

    @property
    def end(self) -> int:
        """Absolute index after the last sample."""
        return self.start + len(self.samples)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return len(self.samples) / self.sample_rate
