import asyncio
from collections.abc import Callable
from typing import cast

import pytest

from server.errors import NotFoundError, ServerFullError
from server.metrics import Metrics
from server.session import Session
from server.session_manager import SessionManager


class Visit:
    """What the manager knows of a session: it ends when told to, or by itself."""

    def __init__(self, name: str) -> None:
        self.id = name
        self.close_reason: str | None = None
        self.closed = False

    def start(self, on_end: Callable[[Session], None]) -> None:
        self._on_end = on_end

    def leave(self) -> None:
        self._on_end(cast(Session, self))

    async def aclose(self, reason: str) -> None:
        await asyncio.sleep(0)
        self.close_reason = self.close_reason or reason
        self.closed = True


def adopted(manager: SessionManager, *names: str) -> list[Visit]:
    visits = [Visit(name) for name in names]
    for visit in visits:
        with manager.reserve():
            manager.adopt(cast(Session, visit))
    return visits


async def test_a_shutdown_ends_everyone_though_one_leaves_in_that_moment() -> None:
    manager = SessionManager(Metrics(), max_sessions=2)
    staying, leaving = adopted(manager, "staying", "leaving")
    asyncio.get_running_loop().call_soon(leaving.leave)
    await manager.aclose()
    assert staying.closed
    assert leaving.closed
    assert manager.all() == []
    with pytest.raises(ServerFullError):
        manager.reserve().__enter__()


async def test_a_session_that_left_is_not_found() -> None:
    manager = SessionManager(Metrics(), max_sessions=1)
    (visit,) = adopted(manager, "one")
    assert not manager.has_room
    visit.leave()
    assert manager.has_room
    with pytest.raises(NotFoundError, match="may have ended"):
        await manager.close("one", "deleted")
