"""Where the files that travel with the packages lie: beside them in a checkout, inside them in a wheel."""

from pathlib import Path

_SERVER = Path(__file__).resolve().parent
_CHECKOUT = _SERVER.parent
_WHEEL = _SERVER / "_share"


def _shared(name: str) -> Path:
    packed = _WHEEL / name
    return packed if packed.is_dir() else _CHECKOUT / name


STATIC = _shared("static")
CONFIGS = _shared("configs")
AVATARS = _SERVER.parent / "models" / "assets" / "avatars"
