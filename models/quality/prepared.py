"""An engine that prepares an avatar once, however many films are drawn of it."""

from collections.abc import Generator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.engine import Engine, RenderRequest, frame_engine


class PreparedOnce:
    """Stands for another engine; keeps what ``prepare`` returned for the last avatar."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.window = engine.name, engine.window
        self._frames = frame_engine(engine)
        self.draws_frames = self._frames is not None
        self._last: tuple[Avatar, Any] | None = None

    def prepare(self, avatar: Avatar) -> Any:
        """As the engine's own, at no cost for the avatar of the last call."""
        if self._last is None or self._last[0] is not avatar:
            self._last = (avatar, self._engine.prepare(avatar))
        return self._last[1]

    def preparation(self, avatar: Avatar) -> Generator[None, None, Any]:
        """``prepare`` in one step: nobody waits for a turn in between."""
        yield from ()
        return self.prepare(avatar)

    def new_state(self) -> Any:
        """As the engine's own."""
        return self._engine.new_state()

    def render(self, requests: Sequence[RenderRequest]) -> list[Any]:
        """As the engine's own."""
        return self._engine.render(requests)

    def picture(self, prepared: Any, drawn: Any) -> NDArray[np.uint8]:
        """As the engine's own, where it draws frames."""
        assert self._frames is not None
        return self._frames.picture(prepared, drawn)
