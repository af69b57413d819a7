"""The avatar that a command names."""

from pathlib import Path

from models.avatar import MANIFEST, Avatar, load_avatar
from models.errors import AvatarError
from server.paths import AVATARS, own_avatars


def named_avatar(name: str, *more: Path) -> Avatar:
    """One of the shipped avatars, of the user's own, or of ``more`` folders; of two with a name, the first of these.

    Raises:
        AvatarError: there is none of that name, or its files are damaged.
    """
    folders = {
        path.parent.name: path.parent
        for place in (*more, own_avatars(), AVATARS)
        for path in place.glob(f"[!.]*/{MANIFEST}")
    }
    if name not in folders:
        names = ", ".join(sorted(folders)) or "none is installed"
        raise AvatarError(f"There is no avatar '{name}'; choose one of: {names}.")
    return load_avatar(folders[name])
