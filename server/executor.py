"""The one thread that owns the device draws batches; one beside it makes them pictures for the event loop.

What a network drew is composed, and turned into the video's format, while the next batch is drawn.
"""

import asyncio
import logging
import math
import os
import threading
import time
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar, cast

import torch

from models.engine import Engine, RenderRequest
from models.timebase import FRAMES_PER_SECOND
from server.metrics import Metrics
from server.scheduler import DeadlineQueue, Work

logger = logging.getLogger(__name__)
T = TypeVar("T")
_DELIVERY_S = 0.005
"""A picture is ready this long before it leaves: the event loop has to take it over."""
_STAND_BACK_S = 0.005
"""Frames that stand back for one of another session to come are looked at this often, should it not come."""
_RECENT = 0.1
"""Weight of the last batch in what composing lately took."""
_SLOW_S = 0.4 / FRAMES_PER_SECOND
"""An engine that takes longer for a frame than this share of its time is slow."""
_PACE_S = 0.95 / FRAMES_PER_SECOND
_GAIN, _LARGE_GAIN = 0.9, 0.5
"""Every core is taken where a frame then takes less than this share of the time on one; where one keeps pace with a
session by itself, only for a large gain: sound and video miss the cores more."""
_TRIES = 8


class Executor:
    """Runs engines off the event loop. ``start`` before use, ``aclose`` after."""

    def __init__(self, metrics: Metrics, threads: int | None, max_batch: int) -> None:
        """``threads``: of the network; None takes one, or all cores where one cannot keep pace."""
        self._metrics = metrics
        self._threads = threads
        self._max_batch = max_batch
        self._queue = DeadlineQueue()
        self._submitted: list[Work] = []
        self._calls: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._wake = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="visavis-device", daemon=True)
        self._composing = ThreadPoolExecutor(max_workers=1, thread_name_prefix="visavis-compose")
        self._composed: Future[None] | None = None
        """The batch before. Composing is quicker than drawing; where it is not, drawing waits: nothing piles up."""
        self._compose_s = 0.0
        """What composing lately took of a batch."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._last_logged_s = 0.0

    def start(self) -> None:
        """Start the thread; results go to the running event loop."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    async def aclose(self) -> None:
        """Finish the batches in hand, drop the rest, join the threads."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        if self._thread.ident is not None:
            await asyncio.to_thread(self._thread.join)
        await asyncio.to_thread(self._composing.shutdown)

    def submit(self, work: Work) -> None:
        """Queue a frame; it is delivered before its deadline or not at all.

        Sessions tick at the same instants, so what one turn of the event loop brings is queued together: one batch.
        """
        if not self._submitted:
            asyncio.get_running_loop().call_soon(self._queue_submitted)
        self._submitted.append(work)

    def _queue_submitted(self) -> None:
        with self._wake:
            for work in self._submitted:
                self._queue.push(work)
            self._wake.notify()
        self._submitted.clear()

    def forget(self, owner: Hashable) -> None:
        """Drop what a closed session still waits for."""
        self._submitted = [work for work in self._submitted if work.owner != owner]
        with self._wake:
            self._queue.forget(owner)

    async def call(self, function: Callable[[], T]) -> T:
        """Run ``function`` on the device's thread, between batches (loading, preparing an avatar)."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        with self._wake:
            self._calls.append((function, future))
            self._wake.notify()
        result: T = await future
        return result

    async def warm_up(self, engine: Engine, requests: Sequence[RenderRequest], within_s: float = math.inf) -> None:
        """Draw batches of every size up to the largest, so that the first visitor meets a device that is known.

        ``within_s``: what is taken for a frame at most; batches larger than the first that takes longer are not tried.
        """
        await self.call(partial(self._choose_threads, engine, requests[:1]))
        for size in range(1, min(self._max_batch, len(requests)) + 1):
            if await self.call(partial(self._try_out, engine, requests[:size])) > within_s:
                break

    def _choose_threads(self, engine: Engine, requests: Sequence[RenderRequest]) -> None:
        """One thread leaves the other cores to sound and video, so it is kept where it will do or more help little.

        Where other programs take turns on the cores, threads that wait for each other at every layer are far slower.
        """
        if self._threads is not None:
            return
        torch.set_num_threads(1)
        if not requests:
            return
        alone_s = min(_seconds(engine, requests) for _ in range(_TRIES))
        if alone_s > _SLOW_S:
            torch.set_num_threads(os.cpu_count() or 1)
            enough = _LARGE_GAIN if alone_s < _PACE_S else _GAIN
            if min(_seconds(engine, requests) for _ in range(_TRIES)) > enough * alone_s:
                torch.set_num_threads(1)

    def _try_out(self, engine: Engine, requests: Sequence[RenderRequest]) -> float:
        for _ in range(2):
            engine.render(requests)  # the first of a size may compile, the second be recorded as a CUDA graph
        took_s = min(_seconds(engine, requests) for _ in range(2))
        with self._wake:
            self._queue.measured(engine, len(requests), took_s)
        return took_s

    async def call_in_steps(self, steps: Generator[None, None, T]) -> T:
        """Take the steps of a long task on the device's thread, with batches drawn in between."""
        while True:
            is_done, result = await self.call(lambda: _step(steps))
            if is_done:
                return cast(T, result)

    def _run(self) -> None:
        torch.set_num_threads(self._threads or os.cpu_count() or 1)  # until ``warm_up``, nobody else needs the cores
        while True:
            with self._wake:
                if self._stopping:
                    for _, future in self._calls:
                        self._post(_cancel, future)
                    return
                calls, self._calls = self._calls, []
                batch, given_up = self._queue.take(time.monotonic() + self._compose_s + _DELIVERY_S, self._max_batch)
                if not (batch or calls):
                    self._wake.wait(_STAND_BACK_S if len(self._queue) else None)
            self._metrics.frames_given_up.inc(len(given_up))
            for function, future in calls:
                self._answer(function, future)
            if batch:
                self._draw(batch)

    def _answer(self, function: Callable[[], Any], future: "asyncio.Future[Any]") -> None:
        try:
            result = function()
        except Exception as error:  # whatever a loader raises belongs to the caller that waits for it
            self._post(_fail, future, error)
        else:
            self._post(_resolve, future, result)

    def _draw(self, batch: list[Work]) -> None:
        started_s = time.monotonic()
        crops = self._render(batch)
        if self._composed is not None:
            self._composed.result()
        took_s = time.monotonic() - started_s
        with self._wake:
            self._queue.measured(batch[0].engine, len(batch), took_s)
        self._metrics.render_seconds.observe(took_s)
        self._metrics.batch_frames.observe(len(batch))
        self._composed = self._composing.submit(self._compose, batch, crops)

    def _render(self, batch: list[Work]) -> list[Any]:
        requests = [work.job.request for work in batch if work.job.request is not None]
        try:
            crops = iter(batch[0].engine.render(requests))
        except Exception as error:  # an engine's fault must not take the sound or the other sessions down
            self._failed(error)
            return [None] * len(batch)
        return [None if work.job.request is None else next(crops) for work in batch]

    def _compose(self, batch: list[Work], crops: list[Any]) -> None:
        started_s = time.monotonic()
        try:
            pictures = [work.talker.picture(work.job, crop) for work, crop in zip(batch, crops, strict=True)]
        except Exception as error:  # as above; on a GPU a fault of drawing may show only here
            self._failed(error)
            pictures = [work.talker.picture(work.job, None) for work in batch]
        self._compose_s += _RECENT * (time.monotonic() - started_s - self._compose_s)
        self._post(_deliver, batch, pictures)

    def _failed(self, error: Exception) -> None:
        self._metrics.engine_errors.inc()
        if time.monotonic() - self._last_logged_s > 1.0:
            self._last_logged_s = time.monotonic()
            logger.error("The engine failed on a batch; the last faces stay: %s", error, exc_info=error)

    def _post(self, function: Callable[..., None], *arguments: Any) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(function, *arguments)


def _seconds(engine: Engine, requests: Sequence[RenderRequest]) -> float:
    started_s = time.monotonic()
    engine.render(requests)
    return time.monotonic() - started_s


def _step(steps: Generator[None, None, T]) -> tuple[bool, T | None]:
    """(whether that was the end, what the steps came to)."""
    try:
        next(steps)
    except StopIteration as end:
        return True, end.value
    return False, None


def _deliver(batch: list[Work], pictures: list[Any]) -> None:
    for work, picture in zip(batch, pictures, strict=True):
        work.deliver(work.job.index, picture)


def _resolve(future: "asyncio.Future[Any]", result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: "asyncio.Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _cancel(future: "asyncio.Future[Any]") -> None:
    future.cancel()
