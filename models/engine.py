"""What every face engine offers: prepare an avatar once, then render batches of frames.

An engine is pure: no threads, no clock, no sockets. The same ``render`` serves live sessions, offline
renders, tests and benchmarks, so their pictures agree.
"""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.timebase import MEL_HOP, SAMPLES_PER_FRAME, SPEECH_RATE_HZ, first_column


@dataclass(frozen=True)
class MelWindow:
    """The stretch of mel spectrogram an engine hears for one frame."""

    columns: int
    """Width of the window in mel columns."""
    lead_columns: int
    """How many of them lie before the frame's start."""
    half_window: int = 400
    """Samples a column needs after its centre (half the STFT window)."""

    def start(self, frame: int) -> int:
        """First column of video frame ``frame``; negative near the beginning of the sound."""
        return first_column(frame, self.lead_columns)

    def samples_needed(self, frame: int) -> int:
        """Samples of the sound, from its start, that must be there to draw ``frame``.

        At least to the end of the frame after it, whose silence tells a mouth to close.
        """
        last_column = self.start(frame) + self.columns - 1
        return max(last_column * MEL_HOP + self.half_window, (frame + 2) * SAMPLES_PER_FRAME)

    @property
    def lookahead_ms(self) -> float:
        """Sound needed after the frame's start, in ms: the delay the engine's ear adds."""
        last_column = self.columns - 1 - self.lead_columns
        return 1000 * (last_column * MEL_HOP + self.half_window) / SPEECH_RATE_HZ


@dataclass(frozen=True)
class RenderRequest:
    """One frame to draw."""

    prepared: Any
    """What this engine's ``prepare`` returned for the session's avatar."""
    state: Any
    """What this engine's ``new_state`` returned for the session; may be updated by ``render``."""
    avatar_frame: int
    """Index into the avatar's idle loop."""
    mel: NDArray[np.float32]
    """(80, window.columns): the frame's mel window."""
    samples: NDArray[np.float32]
    """(640,) at 16 kHz in [-1, 1]: the frame's own 40 ms of sound."""
    frame: int = 0
    """The frame's index in the sound, for engines whose head moves by itself."""


class Engine(Protocol):
    """A way to draw a talking face."""

    name: str
    window: MelWindow

    def prepare(self, avatar: Avatar) -> Any:
        """Compute and return all that depends on the avatar alone. Slow; called once an avatar."""
        ...

    def preparation(self, avatar: Avatar) -> Generator[None, None, Any]:
        """``prepare`` in steps of a few ms, so that frames of others can be drawn in between; returns its result."""
        ...

    def new_state(self) -> Any:
        """Fresh per-session state, kept apart from weights and shared by no two sessions."""
        ...

    def render(self, requests: Sequence[RenderRequest]) -> list[Any]:
        """Draw a batch, in order: one RGB crop (height, width, 3) of bytes a request.

        The compositor scales each crop to the avatar's box of that frame and blends it in with the
        avatar's mask. A request may be of any session; the batch is what the scheduler could collect.
        """
        ...


@runtime_checkable
class FrameEngine(Engine, Protocol):
    """An engine that draws whole frames, head and shoulders, in silence too.

    ``render`` gives what ``picture`` takes; idle loop and mask are not used, so that the head does not jump where
    speech begins and ends.
    """

    draws_frames: bool

    def picture(self, prepared: Any, drawn: Any) -> NDArray[np.uint8]:
        """The whole picture, RGB of the avatar's size (height, width, 3), with what ``render`` drew of it.

        On any thread, while others are rendered: it must not touch a session's state.
        """
        ...


def frame_engine(engine: Engine) -> FrameEngine | None:
    """The engine where it draws whole frames rather than crops."""
    return engine if isinstance(engine, FrameEngine) and engine.draws_frames else None


@runtime_checkable
class Watching(Protocol):
    """What an engine offers besides that can follow a face in a camera's pictures."""

    def look(self, state: Any, picture: NDArray[np.uint8]) -> Any:
        """Find the face in an RGB picture (h, w, 3). Any thread but one at a time a state; None where there is none."""
        ...

    def follow(self, state: Any, seen: Any) -> None:
        """Take over what ``look`` found. On the thread that renders."""
        ...

    def neutral(self, state: Any) -> None:
        """The next face seen counts as at rest. On the thread that renders.

        Raises:
            VisavisError: the engine takes faces as they are.
        """
        ...

    def watched(self, state: Any) -> str:
        """What becomes of the face seen: ``waiting``, ``following``, ``holding`` or ``idle``."""
        ...


@runtime_checkable
class Gesturing(Protocol):
    """What an engine offers besides that can lay short motions over live speech."""

    gestures: tuple[str, ...]
    """Names of those that are built in."""

    def gesture_of(self, template: Path) -> Any:
        """A motion template's file as a gesture. Any thread.

        Raises:
            MediaError: there is none, it is damaged, or nothing moves in it.
        """
        ...

    def gesture(self, state: Any, gesture: Any) -> float:
        """Begin a gesture, one of ``gestures`` or what ``gesture_of`` gave, in place of the one that runs.

        On the thread that renders. Returns how long it takes, s.

        Raises:
            KeyError: no gesture has that name.
        """
        ...


T = TypeVar("T")


def finish(steps: Generator[None, None, T]) -> T:
    """Take every step, and return what they come to."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
