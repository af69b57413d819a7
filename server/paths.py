"""Where the files that travel with the packages lie: beside them in a checkout, inside them in a wheel."""

import os
from pathlib import Path

_SERVER = Path(__file__).resolve().parent
_CHECKOUT = _SERVER.parent
_WHEEL = _SERVER / "_share"


def _shared(name: str) -> Path:
    packed = _WHEEL / name
    return packed if packed.is_dir() else _CHECKOUT / name


PACKAGES = _CHECKOUT
"""The folder that ``server`` and ``models`` lie in."""
STATIC = _shared("static")
CONFIGS = _shared("configs")
AVATARS = _SERVER.parent / "models" / "assets" / "avatars"


def own_avatars() -> Path:
    """Where a user's own avatars go unless told otherwise."""
    return _user_data() / "avatars"


def own_motions() -> Path:
    """Where a user's motion templates go unless told otherwise."""
    return _user_data() / "motions"


def measured_engines() -> Path:
    """Where it is kept how fast the engines run on this machine."""
    return _folder("XDG_CACHE_HOME", ".cache") / "engines.json"


def own_jobs() -> Path:
    """Where jobs and their results are kept unless told otherwise."""
    return _user_data() / "jobs"


def own_recordings() -> Path:
    """Where recorded sessions are kept unless told otherwise."""
    return _user_data() / "recordings"


def _user_data() -> Path:
    return _folder("XDG_DATA_HOME", ".local/share")


def _folder(variable: str, default: str) -> Path:
    """A folder of the user's own (XDG Base Directory Specification 0.8)."""
    named = os.environ.get(variable, "")
    return (Path(named) if named.startswith("/") else Path.home() / default) / "visavis"
