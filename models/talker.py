"""One voice driving one face: sound in, frame jobs out, pictures back.

The same object serves a live session and an offline render, so both draw the same frames for the same
sound. It holds no clock and starts no thread: frame n is sound [40 n, 40 (n + 1)) ms, whoever asks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.audio.mel import MelStream
from models.audio.resample import SpeechResampler
from models.audio.ring import RingBuffer
from models.avatar import Avatar
from models.engine import Engine, RenderRequest, frame_engine
from models.face.compositor import Compositor, whole_frame
from models.timebase import SAMPLES_PER_FRAME, SPEECH_RATE_HZ, WIRE_RATE_HZ

SILENCE_DBFS = -60.0
"""Sound softer than this is silence: the idle loop shows, no network runs."""
CLOSING_OPACITY = 0.5
"""Share of the drawn mouth in the one frame between the last sound and the resting mouth."""
_RING_SAMPLES = 4 * SPEECH_RATE_HZ


@dataclass(frozen=True)
class FrameJob:
    """Video frame ``index``: what to draw, if anything."""

    index: int
    opacity: float
    request: RenderRequest | None
    """None where the sound is silent: the idle frame alone."""


class Talker:
    """The pure core of a session."""

    def __init__(self, engine: Engine, avatar: Avatar, prepared: Any, idle_from: int = 0) -> None:
        """``idle_from``: the frame of the idle loop that frame 0 shows; two faces side by side blink apart."""
        self.idle_from = idle_from
        self._window = engine.window
        self._prepared = prepared
        self._avatar = avatar
        self._state = engine.new_state()
        self._compositor = Compositor(avatar)
        self._resampler = SpeechResampler()
        self._ring = RingBuffer(_RING_SAMPLES)
        self._mel = MelStream()
        self._pushed: list[NDArray[np.float32]] = []
        self._pushed_samples = 0
        """At 48 kHz, of all that was ever pushed."""
        self._heard = 0
        self._next_frame = 0
        self._was_voiced = False
        self._last_crop: NDArray[np.uint8] | None = None
        self._frame_engine = frame_engine(engine)
        self._last_frame: NDArray[np.uint8] = avatar.frames_i420[0]
        """What shows until the next one, of an engine that draws whole frames; it begins with the first idle one."""

    @property
    def state(self) -> Any:
        """The engine's, of this session."""
        return self._state

    def push(self, samples_48k: NDArray[np.float32]) -> None:
        """Hear (n,) more samples at 48 kHz, clipped to [-1, 1]. NaN and infinities count as silence."""
        self._pushed.append(samples_48k)
        self._pushed_samples += len(samples_48k)

    def finish(self) -> None:
        """The sound has ended: pad with the silence that the last frames' windows still need."""
        self._take_in()
        self._hear(self._resampler.flush())
        to_frame = -self._heard % SAMPLES_PER_FRAME
        lookahead = int(np.ceil(self._window.lookahead_ms / 1000 * SPEECH_RATE_HZ))
        self._hear(np.zeros(to_frame + lookahead + SAMPLES_PER_FRAME, dtype=np.float32))

    def jobs(self) -> Iterator[FrameJob]:
        """Every frame whose window has been heard since the last call, in order."""
        while True:
            needed = self._window.samples_needed(self._next_frame)
            # Once a frame and not once a packet: a call costs more than the samples it is given.
            if self._heard < needed <= self._pushed_samples * SPEECH_RATE_HZ // WIRE_RATE_HZ:
                self._take_in()
            if self._heard < needed:
                return
            yield self._job(self._next_frame)
            self._next_frame += 1

    def picture(self, job: FrameJob, crop: Any | None) -> NDArray[np.uint8]:
        """Compose a frame with what the engine drew. Nothing where something was asked for keeps the last face.

        One frame after the other, on any thread.

        Returns:
            (height * 3 / 2, width) I420; do not write to it.
        """
        if job.request is None:
            return self.idle_picture(job.index)
        if self._frame_engine is not None:
            if crop is not None:
                self._last_frame = whole_frame(self._frame_engine.picture(self._prepared, crop))
            return self._last_frame
        if crop is not None:
            self._last_crop = crop
        return self._compositor.compose(self.idle_from + job.index, self._last_crop, job.opacity)

    def idle_picture(self, index: int) -> NDArray[np.uint8]:
        """The avatar at rest in frame ``index``, which may be negative (before the first sound)."""
        if self._frame_engine is not None:
            return self._last_frame
        return self._compositor.compose(self.idle_from + index, None)

    def _take_in(self) -> None:
        """Resample and analyse what was pushed."""
        if self._pushed:
            sound = np.concatenate(self._pushed)
            self._pushed.clear()
            if not np.isfinite(sound).all():
                sound = np.nan_to_num(sound, nan=0.0, posinf=0.0, neginf=0.0)
            self._hear(self._resampler.push(np.clip(sound, -1.0, 1.0)))

    def _hear(self, samples: NDArray[np.float32]) -> None:
        if len(samples):
            self._ring.append(samples)
            self._mel.push(samples)
            self._heard += len(samples)

    def _job(self, frame: int) -> FrameJob:
        own = self._ring.read(frame * SAMPLES_PER_FRAME, SAMPLES_PER_FRAME)
        following = self._ring.read((frame + 1) * SAMPLES_PER_FRAME, SAMPLES_PER_FRAME)
        voiced = not (is_silent(own) and is_silent(following))
        opacity = 1.0 if voiced or self._frame_engine is not None else CLOSING_OPACITY if self._was_voiced else 0.0
        self._was_voiced = voiced
        if opacity == 0.0:
            return FrameJob(frame, 0.0, None)
        window = self._window
        request = RenderRequest(
            prepared=self._prepared,
            state=self._state,
            avatar_frame=(self.idle_from + frame) % len(self._avatar),
            mel=self._mel.window(window.start(frame), window.columns),
            samples=own,
            frame=frame,
        )
        return FrameJob(frame, opacity, request)


def is_silent(samples: NDArray[np.float32]) -> bool:
    """Whether the RMS of ``samples`` lies below the silence level."""
    mean_square = float(np.mean(np.square(samples, dtype=np.float64)))
    return bool(mean_square < 10.0 ** (SILENCE_DBFS / 10.0))
