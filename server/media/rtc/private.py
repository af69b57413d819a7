"""Access to name-mangled attributes of aiortc's classes, in one place so that a change there is found at once."""

from typing import Any


def get_private(target: object, owner: type, name: str) -> Any:
    """Value of ``owner``'s private attribute ``__name`` on ``target``; AttributeError if aiortc dropped it."""
    return getattr(target, f"_{owner.__name__}__{name}")


def set_private(target: object, owner: type, name: str, value: object) -> None:
    """Replace ``owner``'s private attribute ``__name`` on ``target``; AttributeError if aiortc dropped it."""
    mangled = f"_{owner.__name__}__{name}"
    if not hasattr(target, mangled):
        raise AttributeError(f"{owner.__name__} has no __{name}: this aiortc is not one visavis knows how to patch.")
    setattr(target, mangled, value)
