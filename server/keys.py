"""What handlers find in the application."""

from dataclasses import dataclass

from aiohttp import web

from server.config import Settings
from server.executor import Executor
from server.library import Library
from server.metrics import Metrics
from server.own_avatars import OwnAvatars
from server.session_manager import SessionManager
from server.session_recordings import SessionRecordings


@dataclass
class Readiness:
    """Whether start-up is through."""

    is_warm: bool = False


SETTINGS = web.AppKey("settings", Settings)
METRICS = web.AppKey("metrics", Metrics)
EXECUTOR = web.AppKey("executor", Executor)
LIBRARY = web.AppKey("library", Library)
OWN_AVATARS = web.AppKey("own_avatars", OwnAvatars)
RECORDINGS = web.AppKey("recordings", SessionRecordings)
MANAGER = web.AppKey("manager", SessionManager)
READY = web.AppKey("ready", Readiness)
