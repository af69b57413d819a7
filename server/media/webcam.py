"""A peer's camera: decoded pictures in, the latest one out. Never a queue."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import numpy as np
from aiortc import MediaStreamTrack
from aiortc.mediastreams import MediaStreamError
from av import VideoFrame
from numpy.typing import NDArray

from models.errors import VisavisError

logger = logging.getLogger(__name__)
T = TypeVar("T")


class LatestSlot(Generic[T]):
    """Holds one thing: what is put in takes the place of what nobody took."""

    def __init__(self) -> None:
        self._value: T | None = None
        self._filled = asyncio.Event()
        self.replaced = 0
        """How many were never taken."""

    def put(self, value: T) -> None:
        """Put in the newest."""
        self.replaced += self._filled.is_set()
        self._value = value
        self._filled.set()

    async def take(self) -> T:
        """Wait for the newest and take it out."""
        await self._filled.wait()
        self._filled.clear()
        value, self._value = self._value, None
        assert value is not None
        return value


class Webcam:
    """Receives a track and shows its latest picture to somebody, one at a time."""

    def __init__(self, track: MediaStreamTrack, show: Callable[[NDArray[np.uint8]], Awaitable[None]]) -> None:
        """``show`` is awaited with an RGB picture (h, w, 3); what comes meanwhile is replaced by what comes last."""
        self._track, self._show = track, show
        self._slot: LatestSlot[Any] = LatestSlot()
        self.received = 0
        self.shown = 0
        self.fault: str | None = None
        """Why the last picture could not be used, fit to show."""
        self._tasks = [
            asyncio.create_task(self._receive(), name="webcam-receive"),
            asyncio.create_task(self._work(), name="webcam-work"),
        ]

    def stats(self) -> dict[str, int]:
        """Pictures received, shown, and replaced by later ones."""
        return {"received": self.received, "shown": self.shown, "replaced": self._slot.replaced}

    async def aclose(self) -> None:
        """End both tasks and wait for them."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _receive(self) -> None:
        try:
            while True:
                frame = await self._track.recv()
                if isinstance(frame, VideoFrame):
                    self.received += 1
                    self._slot.put(frame)
        except MediaStreamError:
            return

    async def _work(self) -> None:
        while True:
            frame = await self._slot.take()
            try:
                await self._show(await asyncio.to_thread(_rgb, frame))
                self.shown += 1
                self.fault = None
            except VisavisError as error:
                self.fault = str(error)
            except Exception:  # one bad picture must not end the session, nor those to come
                self.fault = "The camera's picture could not be used."
                logger.debug("A camera picture was left out", exc_info=True)


def _rgb(frame: VideoFrame) -> NDArray[np.uint8]:
    return np.asarray(frame.to_ndarray(format="rgb24"), np.uint8)
