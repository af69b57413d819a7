"""Controls: what must not move the mouth, what must not leak into it, and how long a frame takes."""

import dataclasses
import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import SILENCE
from models.avatar import Avatar
from models.engine import Engine, RenderRequest, frame_engine
from models.face.compositor import Compositor, whole_frame
from models.quality.measures import amplitude_ratio, correlation
from models.quality.opening import OpeningGauge, Renders
from models.quality.speech_set import Sound
from models.quality.trial import Draw, chunks, share_p95
from models.timebase import SAMPLES_PER_FRAME

BATCH = 4
_WARM_UP_BATCHES, _TIMED_BATCHES = 4, 40
_MEL_BANDS = 80


@dataclass(frozen=True)
class Leak:
    """How much of a talking input frame's mouth comes out again under silent sound."""

    correlation: float
    amplitude_ratio: float
    """A correlation of hardly any movement matters little."""


def stillness(draw: Draw, engine: Engine, avatar: Avatar, gauge: OpeningGauge, noise: Sound) -> float:
    """95th percentile of the opening while ``noise`` sounds and nobody speaks, as a share of the range."""
    pictures = draw(engine, avatar, chunks(noise))
    return share_p95(np.array([gauge.measure(picture, frame) for frame, picture in enumerate(pictures)]), gauge)


def leak(engine: Engine, avatar: Avatar, gauge: OpeningGauge, renders: Renders) -> Leak:
    """How silence shuts ``renders``' mouths."""
    frames = renders.frames.tolist()
    drawn, true = (
        np.array([gauge.measure(*pair) for pair in zip(pictures, frames, strict=True)])
        for pictures in (hushed(engine, avatar, renders), renders.pictures)
    )
    return Leak(correlation(true, drawn), amplitude_ratio(drawn, true))


def hushed(engine: Engine, avatar: Avatar, renders: Renders) -> Iterator[NDArray[np.uint8]]:
    """Give the engine an avatar whose loop talks, and silence; what it draws is pasted on the resting avatar.

    The engine is asked itself, as a session would ask it, since a session shows the idle frame in silence. Yields a
    whole picture for each render.
    """
    loop = dataclasses.replace(
        avatar, frames_i420=np.stack(renders.pictures), boxes=avatar.boxes[renders.frames % len(avatar)]
    )
    prepared, state, compositor = engine.prepare(loop), engine.new_state(), Compositor(avatar)
    frames = frame_engine(engine)
    silence = np.full((_MEL_BANDS, engine.window.columns), SILENCE, dtype=np.float32)
    for first in range(0, len(loop), BATCH):
        rows = range(first, min(first + BATCH, len(loop)))
        crops = engine.render([_request(prepared, state, row, silence) for row in rows])
        for row, crop in zip(rows, crops, strict=True):
            frame = int(renders.frames[row])
            yield compositor.compose(frame, crop) if frames is None else whole_frame(frames.picture(prepared, crop))


def _request(prepared: object, state: object, frame: int, mel: NDArray[np.float32]) -> RenderRequest:
    return RenderRequest(prepared, state, frame, mel, np.zeros(SAMPLES_PER_FRAME, dtype=np.float32))


def ms_per_frame(engine: Engine, avatar: Avatar) -> float:
    """Median processor time of a frame in batches of ``BATCH``, in ms, on one thread.

    The thread's own time rather than the wall's: what else runs on the machine counts for less.
    """
    prepared, state = engine.prepare(avatar), engine.new_state()
    rng = np.random.default_rng(0)
    times_ms = []
    for number in range(_WARM_UP_BATCHES + _TIMED_BATCHES):
        mels = rng.uniform(-4.0, 4.0, (BATCH, _MEL_BANDS, engine.window.columns)).astype(np.float32)
        frames = range(number * BATCH, (number + 1) * BATCH)
        requests = [
            _request(prepared, state, frame % len(avatar), mel) for frame, mel in zip(frames, mels, strict=True)
        ]
        start = time.thread_time()
        engine.render(requests)
        times_ms.append(1000 * (time.thread_time() - start) / BATCH)
    return float(np.median(times_ms[_WARM_UP_BATCHES:]))
