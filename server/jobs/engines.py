"""Which engines films can be drawn by on this machine."""

from pathlib import Path
from typing import Any

from models.errors import CheckpointError
from server.config import Settings
from server.engine_report import readiness
from server.render import OFFLINE
from server.sadtalker_render import weights_files as film_weights


def offered(settings: Settings) -> list[dict[str, Any]]:
    """Every engine but those that measure: its ``name``, whether it ``draws`` an "avatar" or a "picture", and what
    is ``missing``, a sentence that says how to mend it, or None. Looks for files: not for the event loop."""
    ready, missing = readiness(settings.engine)
    rows = [{"name": name, "draws": "avatar", "missing": missing.get(name)} for name in (*ready, *missing)]
    return [*rows, {"name": OFFLINE, "draws": "picture", "missing": _missing_film(settings.jobs.sadtalker_weights)}]


def _missing_film(weights: Path | None) -> str | None:
    from models.sadtalker.settings import Choices

    try:
        film_weights(weights, Choices())
    except CheckpointError as error:
        return str(error)
    return None
