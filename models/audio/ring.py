"""A bounded stretch of sound, addressed by absolute sample index."""

import numpy as np
from numpy.typing import NDArray


class RingBuffer:
    """The last ``capacity`` samples of a stream (float32, mono); sample i is always the stream's i-th."""

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError(f"A ring buffer needs a capacity of at least one sample, not {capacity}.")
        self._data = np.zeros(capacity, dtype=np.float32)
        self._end = 0

    @property
    def capacity(self) -> int:
        """Most samples kept."""
        return len(self._data)

    @property
    def start(self) -> int:
        """Index of the oldest sample kept."""
        return max(0, self._end - len(self._data))

    @property
    def end(self) -> int:
        """Index of the next sample to come: the number of samples appended so far."""
        return self._end

    def append(self, samples: NDArray[np.float32]) -> None:
        """Take the stream's next samples, (n,); the oldest beyond ``capacity`` are forgotten."""
        if samples.ndim != 1:
            raise ValueError(f"The ring buffer takes mono sound of shape (n,), not {samples.shape}.")
        kept = samples[-self.capacity :]
        at = (self._end + len(samples) - len(kept)) % self.capacity
        head = min(len(kept), self.capacity - at)
        self._data[at : at + head] = kept[:head]
        self._data[: len(kept) - head] = kept[head:]
        self._end += len(samples)

    def read(self, start: int, count: int) -> NDArray[np.float32]:
        """Samples [start, start + count) as a fresh array.

        Raises:
            IndexError: some of them are not there yet, or no longer kept.
        """
        if count < 0:
            raise IndexError(f"Cannot read {count} samples.")
        if start + count > self._end:
            raise IndexError(f"Samples up to {start + count} were asked for, but only {self._end} are there.")
        if start < self.start:
            raise IndexError(f"Sample {start} is discarded; the oldest one kept is {self.start}.")
        at = start % self.capacity
        head = min(count, self.capacity - at)
        return np.concatenate((self._data[at : at + head], self._data[: count - head]))
