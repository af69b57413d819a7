"""The device's thread with engines that fail or take long."""

import asyncio
import math
import os
import threading
import time
from collections.abc import AsyncIterator, Generator, Sequence
from functools import partial
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import torch

from models.avatar import Avatar, load_avatar
from models.engine import RenderRequest
from models.probe.engine import ProbeEngine
from models.talker import Talker
from models.timebase import SAMPLES_PER_FRAME
from server.executor import Executor
from server.metrics import Metrics
from server.scheduler import DeadlineQueue, Work


class FailingEngine(ProbeEngine):
    """Draws the first frame and fails on all others."""

    drawn = 0

    def render(self, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
        self.drawn += 1
        if self.drawn > 1:
            raise RuntimeError("the device has gone")
        return super().render(requests)


@pytest_asyncio.fixture
async def metrics() -> Metrics:
    return Metrics()


@pytest_asyncio.fixture
async def executor(metrics: Metrics) -> AsyncIterator[Executor]:
    executor = Executor(metrics, threads=1, max_batch=1)
    executor.start()
    yield executor
    await executor.aclose()


@pytest.fixture(scope="module")
def avatar(avatar_folder: str) -> Avatar:
    return load_avatar(avatar_folder)  # type: ignore[arg-type]


def speaking(engine: ProbeEngine, avatar: Avatar) -> Talker:
    talker = Talker(engine, avatar, None)
    wave = 0.3 * np.sin(np.arange(30 * 3 * SAMPLES_PER_FRAME) * 0.05)
    talker.push(wave.astype(np.float32))
    return talker


async def test_a_frame_the_engine_fails_on_keeps_the_last_face(
    executor: Executor, metrics: Metrics, avatar: Avatar, caplog: pytest.LogCaptureFixture
) -> None:
    engine = FailingEngine()
    talker = speaking(engine, avatar)
    arrived: dict[int, np.ndarray] = {}
    all_arrived = asyncio.Event()

    def deliver(index: int, picture: np.ndarray) -> None:
        arrived[index] = picture
        if len(arrived) == len(jobs):
            all_arrived.set()

    jobs = [job for job in talker.jobs() if job.request is not None][:4]
    for job in jobs:
        executor.submit(Work("a", engine, talker, job, time.monotonic() + 5, deliver))
    await asyncio.wait_for(all_arrived.wait(), 5)
    x0, y0, x1, y1 = avatar.boxes[0]
    middle = (slice((y0 + y1) // 2 + 30, (y0 + y1) // 2 + 60), slice(x0 + 100, x1 - 100))
    first, *others = (arrived[job.index][middle] for job in jobs)
    assert all(np.abs(other.astype(int) - first).max() <= 1 for other in others)
    assert np.abs(first.astype(int) - avatar.frames_i420[jobs[0].index][middle]).mean() > 10
    assert metrics.registry.get_sample_value("visavis_engine_errors_total") == len(jobs) - 1
    assert sum("failed on a batch" in record.message for record in caplog.records) == 1  # once a second at most


async def test_a_long_preparation_lets_frames_through(executor: Executor, avatar: Avatar) -> None:
    def preparation() -> Generator[None, None, str]:
        for _ in range(20):
            time.sleep(0.01)
            yield
        return "prepared"

    engine = ProbeEngine()
    talker = speaking(engine, avatar)
    arrived: list[float] = []
    task = asyncio.create_task(executor.call_in_steps(preparation()))
    for job in list(talker.jobs())[:5]:
        await asyncio.sleep(0.02)
        work = Work("a", engine, talker, job, time.monotonic() + 5, lambda *_: arrived.append(time.monotonic()))
        executor.submit(work)
    assert await task == "prepared"
    ended_s = time.monotonic()
    assert len([at_s for at_s in arrived if at_s < ended_s]) >= 3


async def test_what_a_step_raises_reaches_the_caller(executor: Executor) -> None:
    def preparation() -> Generator[None, None, None]:
        yield
        raise ValueError("no face")

    with pytest.raises(ValueError, match="no face"):
        await executor.call_in_steps(preparation())


class SlowEngine(ProbeEngine):
    """Takes ``seconds`` a frame on one thread, ``on_all`` on more, and notes with how many it was last run."""

    seconds, on_all = 0.03, 0.015
    threads = 0

    def render(self, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
        self.threads = torch.get_num_threads()
        time.sleep(self.seconds if self.threads == 1 else self.on_all)
        return super().render(requests)


@pytest.mark.parametrize(
    ("seconds", "on_all", "asked", "threads"),
    [
        (0.05, 0.03, None, os.cpu_count()),
        (0.05, 0.1, None, 1),  # other programs have the cores
        (0.03, 0.02, None, 1),  # one keeps pace: sound and video miss the other
        (0.03, 0.01, None, os.cpu_count()),
        (0.0, 0.0, None, 1),
        (0.03, 0.015, 1, 1),
    ],
)
async def test_a_network_that_is_slow_on_one_core_is_given_all_if_that_helps(
    metrics: Metrics, avatar: Avatar, seconds: float, on_all: float, asked: int | None, threads: int
) -> None:
    executor = Executor(metrics, threads=asked, max_batch=1)
    executor.start()
    engine = SlowEngine()
    engine.seconds, engine.on_all = seconds, on_all
    requests = [job.request for job in speaking(engine, avatar).jobs() if job.request is not None]
    try:
        await executor.warm_up(engine, requests)
    finally:
        await executor.aclose()
    assert engine.threads == threads


class ReluctantQueue(DeadlineQueue):
    """Lets what waits stand back a few times."""

    refusals = 3

    def take(self, now_s: float, max_batch: int) -> tuple[list[Work], list[Work]]:
        self.refusals -= len(self) > 0
        return super().take(now_s, max_batch) if self.refusals < 0 else ([], [])


async def test_a_frame_that_stood_back_is_drawn_though_nothing_comes(executor: Executor, avatar: Avatar) -> None:
    executor._queue = ReluctantQueue()
    engine, arrived = ProbeEngine(), asyncio.Event()
    talker = speaking(engine, avatar)
    job = next(job for job in talker.jobs() if job.request is not None)
    executor.submit(Work("a", engine, talker, job, time.monotonic() + 5, lambda *_: arrived.set()))
    await asyncio.wait_for(arrived.wait(), 2)


class LinearEngine(ProbeEngine):
    """Takes 10 ms a frame, in batches as alone."""

    largest = 0

    def render(self, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
        self.largest = max(self.largest, len(requests))
        time.sleep(0.01 * len(requests))
        return super().render(requests)


async def test_overload_is_shared(metrics: Metrics, avatar: Avatar) -> None:
    executor, engine, sessions = Executor(metrics, threads=1, max_batch=8), LinearEngine(), range(8)
    talkers = [speaking(engine, avatar) for _ in sessions]
    job = next(job for job in talkers[0].jobs() if job.request is not None)
    drawn = [0] * len(sessions)

    def count(session: int) -> None:
        drawn[session] += 1

    executor.start()
    begun_s = time.monotonic()
    try:
        for tick in range(50):
            await asyncio.sleep(max(0.0, begun_s + 0.04 * tick - time.monotonic()))
            for session in sessions:
                deadline_s = begun_s + 0.04 * tick + 0.06
                deliver = partial(lambda session, *_: count(session), session)
                executor.submit(Work(session, engine, talkers[session], job, deadline_s, deliver))
    finally:
        await executor.aclose()
    # Twice what the engine can draw: half of everybody's 50 frames, less on a busy machine.
    assert sum(drawn) > 80
    assert max(drawn) - min(drawn) <= 4


@pytest.mark.parametrize(("within_s", "largest"), [(math.inf, 8), (0.035, 4)])
async def test_batches_that_take_longer_than_a_frame_may_are_not_tried_out(
    metrics: Metrics, avatar: Avatar, within_s: float, largest: int
) -> None:
    executor = Executor(metrics, threads=1, max_batch=8)
    executor.start()
    engine = LinearEngine()
    requests = [job.request for job in speaking(engine, avatar).jobs() if job.request is not None]
    try:
        await executor.warm_up(engine, requests, within_s)
    finally:
        await executor.aclose()
    assert len(requests) >= 8
    assert engine.largest == largest


class FrameProbe(ProbeEngine):
    """Draws whole frames; a picture is laid out only once the next one is being drawn."""

    draws_frames = True

    def __init__(self) -> None:
        super().__init__()
        self.rendered = threading.Semaphore(0)
        self.overlapped = 0

    def render(self, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
        self.rendered.release()
        return [np.zeros((512, 512, 3), np.uint8) for _ in requests]

    def picture(self, prepared: Any, drawn: np.ndarray) -> np.ndarray:
        self.rendered.acquire()  # its own
        if self.rendered.acquire(timeout=2):
            self.overlapped += 1
            self.rendered.release()
        return drawn


async def test_a_picture_is_laid_out_while_the_next_is_drawn(executor: Executor, avatar: Avatar) -> None:
    engine, arrived = FrameProbe(), asyncio.Semaphore(0)
    talker = speaking(engine, avatar)
    for job in list(talker.jobs())[:4]:
        executor.submit(Work("a", engine, talker, job, time.monotonic() + 20, lambda *_: arrived.release()))
    for _ in range(4):
        await asyncio.wait_for(arrived.acquire(), 10)
    assert engine.overlapped == 3


class UnlaidFrames(FrameProbe):
    """Its second picture cannot be laid out."""

    laid = 0

    def picture(self, prepared: Any, drawn: np.ndarray) -> np.ndarray:
        self.laid += 1
        if self.laid == 2:
            raise RuntimeError("the device has gone")
        return np.full_like(drawn, 50 * self.laid)


async def test_a_picture_that_cannot_be_laid_out_is_the_last_one_again(
    executor: Executor, metrics: Metrics, avatar: Avatar
) -> None:
    engine, arrived, all_arrived = UnlaidFrames(), [], asyncio.Event()

    def deliver(index: int, picture: np.ndarray) -> None:
        arrived.append(int(picture[0, 0]))
        if len(arrived) == 3:
            all_arrived.set()

    talker = speaking(engine, avatar)
    for job in list(talker.jobs())[:3]:
        executor.submit(Work("a", engine, talker, job, time.monotonic() + 20, deliver))
    await asyncio.wait_for(all_arrived.wait(), 5)
    assert arrived[1] == arrived[0] != arrived[2]
    assert metrics.registry.get_sample_value("visavis_engine_errors_total") == 1
