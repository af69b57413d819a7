"""Outgoing tracks: bounded queues on one media clock."""

import asyncio
from collections import deque
from fractions import Fraction
from typing import Generic, TypeVar

import av
import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from numpy.typing import NDArray

from models.timebase import WIRE_RATE_HZ
from server.media.playout import TICK_SAMPLES

VIDEO_CLOCK_HZ = 90_000
VIDEO_TICKS = VIDEO_CLOCK_HZ // 50
_SOUND_QUEUE = 10
_PICTURE_QUEUE = 3

FrameT = TypeVar("FrameT", av.AudioFrame, av.VideoFrame)


class QueueTrack(MediaStreamTrack, Generic[FrameT]):
    """A track fed by the playout. When nobody takes its frames the oldest are discarded and counted."""

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self._frames: deque[FrameT] = deque()
        self._capacity = capacity
        self._arrived = asyncio.Event()
        self.discarded = 0

    def put(self, frame: FrameT) -> bool:
        """Queue a frame; False if an older one had to go for it."""
        fits = len(self._frames) < self._capacity
        if not fits:
            self._frames.popleft()
            self.discarded += 1
        self._frames.append(frame)
        self._arrived.set()
        return fits

    async def recv(self) -> FrameT:
        """The next frame, for aiortc's sender."""
        while not self._frames:
            if self.readyState != "live":
                raise MediaStreamError
            self._arrived.clear()
            await self._arrived.wait()
        return self._frames.popleft()

    def stop(self) -> None:
        """End the track and wake whoever waits for a frame."""
        super().stop()
        self._frames.clear()
        self._arrived.set()


class SoundTrack(QueueTrack[av.AudioFrame]):
    """20 ms frames of 48 kHz mono sound."""

    kind = "audio"

    def __init__(self) -> None:
        super().__init__(_SOUND_QUEUE)

    def put_samples(self, tick: int, samples: NDArray[np.float32]) -> bool:
        """Queue the (960,) samples of ``tick``, clipped to [-1, 1]."""
        pcm = np.rint(np.clip(samples, -1.0, 1.0) * 32767.0).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(pcm[np.newaxis], format="s16", layout="mono")
        frame.sample_rate = WIRE_RATE_HZ
        frame.pts = tick * TICK_SAMPLES
        frame.time_base = Fraction(1, WIRE_RATE_HZ)
        return self.put(frame)


class PictureTrack(QueueTrack[av.VideoFrame]):
    """I420 pictures."""

    kind = "video"

    def __init__(self) -> None:
        super().__init__(_PICTURE_QUEUE)

    def put_picture(self, tick: int, i420: NDArray[np.uint8]) -> bool:
        """Queue the picture that leaves at ``tick``. It is not copied: nobody may write to it from now on."""
        frame = av.VideoFrame.from_numpy_buffer(i420, format="yuv420p")
        frame.pts = tick * VIDEO_TICKS
        frame.time_base = Fraction(1, VIDEO_CLOCK_HZ)
        return self.put(frame)
