"""The cast: eighty heads by number, for a corpus that teaches faces at large.

Numbers cross age, sex and skin: sixteen in a row are eight ages of both sexes, and each such block moves every one
of them on to the next of four ranges of skin. All else is drawn from the number alone. The sheet of all of them, which
``cast_sheet`` draws, was looked at, and what did not pass as a face was drawn anew: see ``_TAKES``.
"""

from collections.abc import Mapping
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.studio.identity import Colour, Identity, Look

CAST_SIZE = 80
HELD_OUT_FROM = 64
"""Heads from this number on are never learned from, but judged by."""
_TAKES: Final[Mapping[int, int]] = {16: 2, 20: 1, 40: 2, 43: 1}
"""Number to which draw of it is kept, where that is not the first."""

_AGES: Final = ("child", "young", "young", "young", "middle", "middle", "old", "old")
_OLD: Final[Mapping[str, tuple[float, float]]] = {"young": (0.0, 0.12), "middle": (0.25, 0.5), "old": (0.7, 0.95)}
_SKINS: Final = ((0.0, 0.18), (0.16, 0.38), (0.42, 0.66), (0.7, 1.0))
"""Ranges of a skin's place in ``_SKIN_TONES``."""
_SKIN_TONES: Final = (
    (0.90, 0.585, 0.44),
    (0.86, 0.50, 0.345),
    (0.76, 0.42, 0.265),
    (0.63, 0.325, 0.19),
    (0.46, 0.21, 0.115),
    (0.34, 0.14, 0.07),
    (0.255, 0.10, 0.046),
    (0.17, 0.066, 0.033),
)
_LIP_TINTS: Final = ((0.74, 0.44, 0.55), (0.80, 0.62, 0.90), (0.92, 0.88, 1.45))
"""A lip's share of the skin's colour, fair to dark."""
_ANCESTRIES: Final = ((8.0, 0.8, 0.4), (2.0, 8.0, 0.4), (3.0, 2.5, 3.0), (0.6, 0.3, 8.0))
"""Of each range of skin: a Dirichlet distribution's parameters."""
_HAIR: Final[Mapping[str, Colour]] = {
    "black": (0.012, 0.010, 0.010),
    "dark": (0.045, 0.022, 0.013),
    "brown": (0.125, 0.056, 0.030),
    "chestnut": (0.16, 0.055, 0.022),
    "auburn": (0.22, 0.060, 0.020),
    "ginger": (0.40, 0.135, 0.035),
    "straw": (0.30, 0.185, 0.085),
    "blond": (0.50, 0.345, 0.175),
    "grey": (0.34, 0.33, 0.32),
    "white": (0.66, 0.64, 0.62),
}
_HAIR_BY_SKIN: Final = (
    ("dark", "brown", "chestnut", "auburn", "ginger", "straw", "blond"),
    ("black", "dark", "dark", "brown", "chestnut", "straw"),
    ("black", "dark", "dark", "brown"),
    ("black", "black", "dark"),
)
_DYED: Final = ((0.012, 0.30, 0.42), (0.42, 0.05, 0.26), (0.20, 0.09, 0.46), (0.10, 0.36, 0.12))
"""Of drawn heads."""
_STYLES: Final[Mapping[str, tuple[str, ...]]] = {
    "female": ("bob", "waves", "long", "lob", "short", "swept", "bun"),
    "male": ("short", "crop", "buzz", "swept", "short", "mop"),
    "dark female": ("bob", "afro", "crop", "swept", "bun", "lob", "long"),
    "dark male": ("crop", "buzz", "afro", "crop", "swept"),
}
_BRIGHT: Final = 0.15
_INSTEAD: Final[Mapping[str, str]] = {"buzz": "short", "afro": "crop"}
"""Bright hair is laid otherwise: cut short, it speckles the skull."""
_IRISES: Final = (
    (0.075, 0.032, 0.012),
    (0.13, 0.065, 0.022),
    (0.20, 0.13, 0.055),
    (0.13, 0.19, 0.09),
    (0.075, 0.17, 0.26),
    (0.16, 0.20, 0.22),
)
"""Dark to light: brown, hazel, green, blue, grey."""
_CLOTHS: Final = (
    (0.52, 0.25, 0.045),
    (0.030, 0.210, 0.190),
    (0.33, 0.045, 0.105),
    (0.035, 0.06, 0.17),
    (0.10, 0.10, 0.11),
    (0.55, 0.53, 0.48),
    (0.16, 0.20, 0.06),
    (0.36, 0.10, 0.045),
    (0.17, 0.09, 0.28),
    (0.22, 0.36, 0.48),
    (0.62, 0.28, 0.24),
    (0.02, 0.022, 0.026),
    (0.75, 0.72, 0.66),
)
_SHAPES: Final = ("oval", "round", "square", "rectangular", "diamond", "triangular", "invertedtriangular")
_PAIRS: Final = (
    ("nose/nose-scale-vert-", "incr", "decr", 0.45),
    ("nose/nose-scale-horiz-", "incr", "decr", 0.5),
    ("nose/nose-scale-depth-", "incr", "decr", 0.4),
    ("nose/nose-volume-", "incr", "decr", 0.4),
    ("nose/nose-point-", "up", "down", 0.5),
    ("mouth/mouth-scale-horiz-", "incr", "decr", 0.4),
    ("mouth/mouth-upperlip-volume-", "incr", "decr", 0.5),
    ("mouth/mouth-lowerlip-volume-", "incr", "decr", 0.5),
    ("mouth/mouth-cupidsbow-", "incr", "decr", 0.6),
    ("mouth/mouth-trans-", "up", "down", 0.25),
    ("chin/chin-width-", "incr", "decr", 0.4),
    ("chin/chin-height-", "incr", "decr", 0.4),
    ("chin/chin-prominent-", "incr", "decr", 0.35),
    ("cheek/cheek-bones-", "incr", "decr", 0.5),
    ("cheek/cheek-volume-", "incr", "decr", 0.5),
    ("head/head-fat-", "incr", "decr", 0.4),
    ("head/head-scale-horiz-", "incr", "decr", 0.25),
    ("head/head-scale-vert-", "incr", "decr", 0.3),
    ("eyebrows/eyebrows-angle-", "up", "down", 0.4),
    ("eyebrows/eyebrows-trans-", "up", "down", 0.4),
    ("eyes/eye-corner2-", "up", "down", 0.4),
    ("eyes/eye-trans-", "in", "out", 0.25),
    ("ears/ear-scale-", "incr", "decr", 0.4),
    ("ears/ear-wing-", "incr", "decr", 0.5),
)
"""Face targets that come in opposites, and how far either may go."""


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return round(float(rng.uniform(low, high)), 3)


def _colour(values: NDArray[np.float64] | Colour) -> Colour:
    r, g, b = (round(float(np.clip(value, 0.002, 0.97)), 4) for value in values)
    return r, g, b


def _along(tones: tuple[Colour, ...], place: float) -> NDArray[np.float64]:
    """The colour at ``place`` in [0, 1] of a scale."""
    steps = np.linspace(0, 1, len(tones))
    return np.array([np.interp(place, steps, [tone[c] for tone in tones]) for c in range(3)])


def _face(rng: np.random.Generator, age: str, male: float) -> dict[str, float]:
    """Face targets: the studio's large eyes and friendly mouth, and what tells people apart."""
    face = {
        "eyes/eye-scale-incr": _between(rng, 0.35, 0.85),
        "eyes/eye-height1-incr": _between(rng, 0.35, 0.70),
        "eyes/eye-height2-incr": _between(rng, 0.55, 1.0),
        "eyes/eye-height3-incr": _between(rng, 0.35, 0.65),
        "mouth/mouth-angles-up": _between(rng, 0.40, 0.75),
        "forehead/forehead-scale-vert-decr": _between(rng, 0.25, 0.65),
        "neck/neck-scale-horiz-decr": _between(rng, 0.10, 0.35) * (1.0 if age != "child" else 1.6),
    }
    for shape in rng.choice(_SHAPES, 2, replace=False):
        face[f"head/head-{shape}"] = _between(rng, 0.05, 0.50)
    for stem, more, less, reach in _PAIRS:
        amount = float(np.clip(rng.normal() * 0.5, -1, 1)) * reach
        face[stem + (more if amount > 0 else less)] = round(abs(amount), 3)
    if male > 0.5 and rng.random() < 0.3:
        face["chin/chin-cleft-incr"] = _between(rng, 0.2, 0.7)
    if age in ("middle", "old"):
        face["mouth/mouth-laugh-lines-in"] = _between(rng, 0.1, 0.4)
        face["eyes/eye-bag-incr"] = _between(rng, 0.0, 0.25)
    return face


def _hair(rng: np.random.Generator, age: str, skin_range: int, male: bool, toon: bool) -> tuple[str, Colour]:
    """Style and colour."""
    kind = ("dark " if skin_range == 3 else "") + ("male" if male else "female")
    style = str(rng.choice(_STYLES[kind]))
    name = str(rng.choice(_HAIR_BY_SKIN[skin_range]))
    if age == "old" or (age == "middle" and rng.random() < 0.3):
        name = str(rng.choice(("grey", "white")))
    colour = np.array(_HAIR[name]) * rng.uniform(0.8, 1.2)
    if colour.mean() > _BRIGHT:
        style = _INSTEAD.get(style, style)
    if toon:
        colour = np.array(_DYED[rng.integers(len(_DYED))])
        style = "mop" if male or rng.random() < 0.3 else style
    return style, _colour(colour)


def _backdrop(rng: np.random.Generator) -> tuple[Colour, Colour]:
    """Rim and centre: one hue, dark and light, or two near ones."""
    tint, spread = rng.uniform(0.25, 1.0, 3), rng.uniform(0.05, 0.6)
    tint = spread * tint + (1 - spread) * tint.mean()
    centre = tint / tint.max() * rng.uniform(0.15, 0.85)
    rim = centre * rng.uniform(0.15, 0.8) * rng.uniform(0.8, 1.2, 3)
    return _colour(rim), _colour(centre)


def _look(rng: np.random.Generator, age: str, skin_range: int, male: bool, toon: bool) -> Look:
    tone = float(rng.uniform(*_SKINS[skin_range]))
    skin = _along(_SKIN_TONES, tone) * (1 + rng.normal(size=3) * [0.02, 0.025, 0.04])
    lip = skin * _along(_LIP_TINTS, tone) * rng.uniform(0.85, 1.1)
    if not male and age != "child" and rng.random() < 0.4:  # lipstick
        lip = lip * (1.1, rng.uniform(0.45, 0.8), rng.uniform(0.5, 0.95))
    style, hair = _hair(rng, age, skin_range, male, toon)
    bright = float(np.mean(hair))
    brow = np.minimum(np.array(hair) * 0.48, 0.10) + 0.004
    if bright > 0.25 and not toon:
        brow = np.array((0.20, 0.15, 0.11)) * rng.uniform(0.6, 1.1)
    lightest = len(_IRISES) if tone < 0.3 else 3 if tone < 0.6 else 2
    bearded = male and age != "child" and not toon and rng.random() < 0.5
    lash = {"child": 0.7, "old": 0.6}.get(age, 1.0)
    return Look(
        skin=_colour(skin),
        lip=_colour(lip),
        hair=hair,
        brow=_colour(brow),
        lash=(0.07, 0.05, 0.045) if age == "old" and tone < 0.4 else (0.022, 0.012, 0.010),
        iris=_colour(np.array(_IRISES[rng.integers(lightest)]) * rng.uniform(0.85, 1.15)),
        cloth=_colour(np.array(_CLOTHS[rng.integers(len(_CLOTHS))]) * rng.uniform(0.85, 1.15)),
        accent=_colour(rng.uniform(0.03, 0.5, 3)),
        background=_backdrop(rng),
        hair_style=style,
        hair_shine=round(float(np.clip(0.25 + 3 * bright, 0.25, 0.8)), 2),
        headset=bool(rng.random() < 0.06),
        glasses=_colour(rng.uniform(0.01, 0.06, 3)) if rng.random() < (0.35 if age == "old" else 0.15) else None,
        beard=(0.35 if bright > 0.25 else float(rng.choice((0.35, 0.6, 1.0)))) if bearded else 0.0,
        blush=round(float(np.interp(tone, [0, 0.6, 1], [0.85, 0.6, 0.4])), 2),
        freckles=_between(rng, 0.3, 0.8) if tone < 0.2 and rng.random() < 0.25 else 0.0,
        iris_size=_between(rng, 0.88, 1.02),
        lash_length=0.4 if male else lash,
        toon=toon,
        brow_width=_between(rng, 1.05, 1.35) if male else _between(rng, 0.8, 1.1),
        neck_half_width=0.60 if male else 0.62,
        collar_spread=1.35 if male else 1.06,
        seed=int(rng.integers(1 << 16)),
    )


@cache
def member(number: int) -> Identity:
    """Head ``number`` of the cast, 0 to ``CAST_SIZE`` - 1; always the same.

    Raises:
        ValueError: there is no such number.
    """
    if not 0 <= number < CAST_SIZE:
        raise ValueError(f"The cast has no number {number}; it counts from 0 to {CAST_SIZE - 1}.")
    rng = np.random.default_rng([number, _TAKES.get(number, 0)])
    block, place = divmod(number, 16)
    age, male = _AGES[place % 8], place >= 8
    skin_range = (place + block) % len(_SKINS)
    shares = rng.dirichlet(_ANCESTRIES[skin_range])
    toon = place == (2 + 3 * block) % 16
    share = _between(rng, 0.85, 1.0) if male else _between(rng, 0.0, 0.15)
    return Identity(
        name=f"cast-{number:02d}",
        title=f"Cast {number:02d}",
        male=share,
        ancestry=(float(shares[0]), float(shares[1]), float(shares[2])),
        old=_between(rng, *_OLD[age]) if age in _OLD else 0.0,
        child=_between(rng, 0.45, 0.75) if age == "child" else 0.0,
        face=_face(rng, age, share),
        eye_magnification=_between(rng, 1.1, 1.4) if toon else 1.0,
        look=_look(rng, age, skin_range, male, toon),
        framing=(0.06, 0.95),
    )
