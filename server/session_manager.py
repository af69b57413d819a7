"""Who may come in, who is here, and how all leave."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from server.errors import NotFoundError, ServerFullError
from server.metrics import Metrics
from server.session import Session


class SessionManager:
    """Admission, look-up, drain. A place is reserved before the first await and freed whatever happens."""

    def __init__(self, metrics: Metrics, max_sessions: int) -> None:
        self._metrics = metrics
        self._max_sessions = max_sessions
        self._reserved = 0
        self._sessions: dict[str, Session] = {}
        self._draining = False

    @property
    def has_room(self) -> bool:
        """Whether an offer would be let in now."""
        return not self._draining and self._reserved + len(self._sessions) < self._max_sessions

    @contextmanager
    def reserve(self) -> Iterator[None]:
        """Hold a place while a session is being made.

        Raises:
            ServerFullError: there is none.
        """
        if not self.has_room:
            raise ServerFullError(f"All {self._max_sessions} sessions are taken; try again in a moment.")
        self._reserved += 1
        self._count()
        try:
            yield
        finally:
            self._reserved -= 1
            self._count()

    def adopt(self, session: Session) -> None:
        """Keep a session that was answered, until it ends by itself."""
        self._sessions[session.id] = session
        self._metrics.sessions_opened.inc()
        self._count()
        session.start(self._forget)

    def get(self, session_id: str) -> Session:
        """A session by id.

        Raises:
            NotFoundError: it has ended or never was.
        """
        if session_id not in self._sessions:
            raise NotFoundError(f"There is no session '{session_id}'; it may have ended.")
        return self._sessions[session_id]

    def all(self) -> list[Session]:
        """Every session now."""
        return list(self._sessions.values())

    async def close(self, session_id: str, reason: str) -> None:
        """End one session and wait for it.

        Raises:
            NotFoundError: it has ended or never was.
        """
        await self._end(self.get(session_id), reason)

    async def aclose(self) -> None:
        """Let nobody in any more and end everyone, also those who leave by themselves meanwhile."""
        self._draining = True
        await asyncio.gather(*(self._end(session, "shutdown") for session in self.all()))

    async def _end(self, session: Session, reason: str) -> None:
        await session.aclose(reason)
        self._forget(session)

    def _forget(self, session: Session) -> None:
        if self._sessions.pop(session.id, None) is not None:
            self._metrics.sessions_closed.labels(reason=session.close_reason or "left").inc()
            self._count()

    def _count(self) -> None:
        self._metrics.sessions.set(self._reserved + len(self._sessions))
