"""Who a head is: proportions (MakeHuman targets) and looks (colours, hair, clothes)."""

from collections.abc import Mapping
from dataclasses import dataclass, field

Colour = tuple[float, float, float]
"""Linear RGB in [0, 1]."""


@dataclass(frozen=True)
class Look:
    """Colours and wardrobe, all drawn by the studio itself."""

    skin: Colour = (0.86, 0.50, 0.345)
    lip: Colour = (0.62, 0.205, 0.185)
    hair: Colour = (0.125, 0.056, 0.030)
    brow: Colour = (0.060, 0.028, 0.016)
    lash: Colour = (0.025, 0.015, 0.012)
    iris: Colour = (0.20, 0.13, 0.055)
    cloth: Colour = (0.52, 0.25, 0.045)
    accent: Colour = (0.05, 0.30, 0.36)
    background: tuple[Colour, Colour] = ((0.10, 0.20, 0.30), (0.55, 0.66, 0.70))
    """Rim and centre of the backdrop."""
    hair_style: str = "bob"
    """``bob`` or ``short``."""
    hair_shine: float = 1.0
    """Factor on the hair's highlights: dark hair wants less."""
    headset: bool = True
    stubble: float = 0.0
    """0 clean-shaven, 1 a day's beard."""
    brow_width: float = 1.0
    neck_half_width: float = 0.62
    """Where the jumper's neck opening ends to the side, on the base mesh (decimetres)."""
    collar_spread: float = 1.04
    """How much wider than its median the collar may be: more for a broad neck."""
    seed: int = 3
    """Of the hair and brow strokes."""


@dataclass(frozen=True)
class Identity:
    """Proportions: weights of MakeHuman's macro targets and face targets."""

    name: str
    title: str
    male: float
    ancestry: tuple[float, float, float]
    """Shares of the caucasian, asian and african macro targets."""
    old: float = 0.0
    """0 young, 1 old."""
    face: Mapping[str, float] = field(default_factory=dict)
    """Face target (``mouth/mouth-angles-up``) to weight; a target with sides is applied to both."""
    look: Look = field(default_factory=Look)


ADA = Identity(
    name="ada",
    title="Ada",
    male=0.06,
    ancestry=(0.5, 0.25, 0.25),
    face={
        "eyes/eye-scale-incr": 0.85,
        "eyes/eye-height2-incr": 0.35,
        "eyes/eye-corner2-up": 0.20,
        "eyebrows/eyebrows-angle-up": 0.25,
        "head/head-oval": 0.65,
        "head/head-round": 0.15,
        "head/head-fat-incr": 0.06,
        "head/head-scale-vert-decr": 0.25,
        "forehead/forehead-scale-vert-decr": 0.6,
        "nose/nose-scale-vert-decr": 0.2,
        "nose/nose-volume-decr": 0.35,
        "nose/nose-point-up": 0.30,
        "nose/nose-scale-horiz-decr": 0.15,
        "mouth/mouth-angles-up": 0.60,
        "mouth/mouth-scale-horiz-incr": 0.30,
        "mouth/mouth-upperlip-volume-incr": 0.30,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "chin/chin-width-decr": 0.25,
        "chin/chin-height-decr": 0.25,
        "neck/neck-scale-horiz-decr": 0.2,
    },
)

LEO = Identity(
    name="leo",
    title="Leo",
    male=1.0,
    ancestry=(0.35, 0.05, 0.60),
    old=0.25,
    face={
        "eyes/eye-scale-incr": 0.40,
        "eyes/eye-height2-incr": 0.15,
        "eyebrows/eyebrows-angle-up": 0.30,
        "head/head-square": 0.30,
        "head/head-scale-vert-decr": 0.15,
        "forehead/forehead-scale-vert-decr": 0.5,
        "nose/nose-volume-decr": 0.20,
        "nose/nose-scale-horiz-decr": 0.15,
        "mouth/mouth-angles-up": 0.55,
        "mouth/mouth-scale-horiz-incr": 0.15,
        "mouth/mouth-upperlip-volume-decr": 0.20,
        "chin/chin-height-decr": 0.70,
        "chin/chin-prominent-incr": 0.25,
        "chin/chin-width-incr": 0.25,
        "neck/neck-scale-horiz-decr": 0.25,
    },
    look=Look(
        skin=(0.35, 0.165, 0.092),
        lip=(0.29, 0.125, 0.098),
        hair=(0.024, 0.016, 0.012),
        brow=(0.012, 0.009, 0.008),
        lash=(0.035, 0.018, 0.012),
        iris=(0.085, 0.040, 0.016),
        cloth=(0.075, 0.125, 0.30),
        background=((0.20, 0.15, 0.11), (0.66, 0.57, 0.47)),
        hair_style="short",
        hair_shine=0.30,
        headset=False,
        stubble=0.35,
        brow_width=1.35,
        neck_half_width=0.60,
        collar_spread=1.35,
        seed=9,
    ),
)

IDENTITIES: dict[str, Identity] = {identity.name: identity for identity in (ADA, LEO)}
