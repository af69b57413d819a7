import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.audio.chunk import AudioChunk
from models.audio.ring import RingBuffer


@given(st.integers(1, 50), st.lists(st.integers(0, 120), max_size=12), st.data())
def test_every_kept_sample_is_found_by_its_index(capacity: int, sizes: list[int], data: st.DataObject) -> None:
    ring = RingBuffer(capacity)
    stream = np.arange(sum(sizes), dtype=np.float32)
    at = 0
    for size in sizes:
        ring.append(stream[at : at + size])
        at += size
    assert (ring.start, ring.end) == (max(0, at - capacity), at)
    start = data.draw(st.integers(ring.start, ring.end))
    count = data.draw(st.integers(0, ring.end - start))
    np.testing.assert_array_equal(ring.read(start, count), stream[start : start + count])


def test_out_of_range_is_an_error() -> None:
    ring = RingBuffer(10)
    ring.append(np.zeros(15, np.float32))
    with pytest.raises(IndexError, match="discarded"):
        ring.read(4, 2)
    with pytest.raises(IndexError, match="only 15"):
        ring.read(10, 6)
    with pytest.raises(IndexError):
        ring.read(10, -1)


def test_what_was_read_is_a_copy() -> None:
    ring = RingBuffer(4)
    ring.append(np.ones(4, np.float32))
    ring.read(0, 4)[:] = 9
    assert (ring.read(0, 4) == 1).all()


def test_chunk_knows_its_place_and_refuses_other_shapes() -> None:
    chunk = AudioChunk(np.zeros(960, np.float32), 48_000, 4_800)
    assert chunk.end == 5_760
    assert chunk.duration_s == pytest.approx(0.02)
    with pytest.raises(ValueError, match="mono"):
        AudioChunk(np.zeros((960, 2), np.float32), 48_000, 0)
    with pytest.raises(ValueError, match="rate"):
        AudioChunk(np.zeros(960, np.float32), 0, 0)
