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
    """One of ``hair_styles.HAIR_STYLES``."""
    hair_shine: float = 1.0
    """Factor on the hair's highlights: dark hair wants less."""
    headset: bool = True
    glasses: Colour | None = None
    """Of the spectacles' rims, if any."""
    beard: float = 0.0
    """0 clean-shaven, 0.4 a day's stubble, 1 a short full beard."""
    blush: float = 1.0
    freckles: float = 0.0
    iris_size: float = 1.0
    lash_length: float = 1.0
    toon: bool = False
    """Drawn like a cartoon: flat colours in two tones, dark outlines, no texture."""
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
    child: float = 0.0
    """Share of the child's proportions."""
    face: Mapping[str, float] = field(default_factory=dict)
    """Face target (``mouth/mouth-angles-up``) to weight; a target with sides is applied to both."""
    eye_magnification: float = 1.0
    """How many times larger the eyes with their lids are drawn than the targets make them."""
    look: Look = field(default_factory=Look)
    framing: tuple[float, float] = (0.06, 1.0)
    """Height the camera looks at (decimetres over the top of the neck), and its zoom."""


ADA = Identity(
    name="ada",
    title="Ada",
    male=0.06,
    ancestry=(0.5, 0.25, 0.25),
    face={
        "eyes/eye-scale-incr": 0.85,
        "eyes/eye-height1-incr": 0.55,
        "eyes/eye-height2-incr": 0.90,
        "eyes/eye-height3-incr": 0.50,
        "eyes/eye-corner2-up": 0.20,
        "eyebrows/eyebrows-angle-up": 0.25,
        "head/head-oval": 0.85,
        "head/head-fat-decr": 0.15,
        "head/head-scale-horiz-decr": 0.15,
        "head/head-scale-vert-decr": 0.25,
        "forehead/forehead-scale-vert-decr": 0.6,
        "nose/nose-scale-vert-decr": 0.2,
        "nose/nose-volume-decr": 0.35,
        "nose/nose-point-up": 0.30,
        "nose/nose-scale-horiz-decr": 0.25,
        "mouth/mouth-angles-up": 0.60,
        "mouth/mouth-scale-horiz-incr": 0.30,
        "mouth/mouth-upperlip-volume-incr": 0.30,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "chin/chin-width-decr": 0.35,
        "chin/chin-height-decr": 0.20,
        "neck/neck-scale-horiz-decr": 0.3,
    },
    look=Look(iris_size=0.92),
)

LEO = Identity(
    name="leo",
    title="Leo",
    male=1.0,
    ancestry=(0.25, 0.0, 0.75),
    old=0.15,
    face={
        "eyes/eye-scale-incr": 0.55,
        "eyes/eye-height1-incr": 0.70,
        "eyes/eye-height2-incr": 1.00,
        "eyes/eye-height3-incr": 0.70,
        "eyebrows/eyebrows-angle-up": 0.30,
        "head/head-oval": 0.30,
        "head/head-square": 0.20,
        "head/head-scale-vert-decr": 0.10,
        "forehead/forehead-scale-vert-decr": 0.4,
        "nose/nose-volume-decr": 0.20,
        "nose/nose-scale-horiz-decr": 0.10,
        "mouth/mouth-angles-up": 0.65,
        "mouth/mouth-scale-horiz-incr": 0.25,
        "chin/chin-height-decr": 0.55,
        "chin/chin-prominent-incr": 0.25,
        "chin/chin-width-incr": 0.10,
        "neck/neck-scale-horiz-decr": 0.25,
    },
    look=Look(
        skin=(0.255, 0.100, 0.046),
        lip=(0.235, 0.090, 0.072),
        hair=(0.014, 0.011, 0.010),
        brow=(0.008, 0.006, 0.006),
        lash=(0.020, 0.010, 0.008),
        iris=(0.075, 0.032, 0.012),
        cloth=(0.030, 0.210, 0.190),
        background=((0.16, 0.07, 0.05), (0.78, 0.42, 0.22)),
        hair_style="crop",
        hair_shine=0.25,
        headset=False,
        beard=1.0,
        blush=0.45,
        lash_length=0.35,
        brow_width=1.25,
        neck_half_width=0.60,
        collar_spread=1.35,
        seed=9,
    ),
    framing=(0.04, 0.955),
)

VERA = Identity(
    name="vera",
    title="Vera",
    male=0.10,
    ancestry=(0.75, 0.20, 0.05),
    old=0.80,
    face={
        "eyes/eye-scale-incr": 0.75,
        "eyes/eye-height1-incr": 0.60,
        "eyes/eye-height2-incr": 0.95,
        "eyes/eye-height3-incr": 0.60,
        "eyes/eye-bag-incr": 0.15,
        "head/head-oval": 0.70,
        "head/head-scale-vert-decr": 0.20,
        "forehead/forehead-scale-vert-decr": 0.5,
        "cheek/cheek-bones-incr": 0.35,
        "cheek/cheek-volume-incr": 0.30,
        "nose/nose-volume-decr": 0.35,
        "nose/nose-scale-vert-decr": 0.15,
        "mouth/mouth-angles-up": 0.75,
        "mouth/mouth-laugh-lines-in": 0.35,
        "mouth/mouth-scale-horiz-incr": 0.25,
        "mouth/mouth-upperlip-volume-incr": 0.35,
        "mouth/mouth-lowerlip-volume-incr": 0.25,
        "chin/chin-height-decr": 0.30,
        "neck/neck-scale-horiz-decr": 0.3,
    },
    look=Look(
        skin=(0.80, 0.47, 0.355),
        lip=(0.60, 0.185, 0.175),
        hair=(0.66, 0.64, 0.62),
        brow=(0.24, 0.17, 0.12),
        lash=(0.07, 0.05, 0.045),
        iris=(0.075, 0.17, 0.26),
        cloth=(0.33, 0.045, 0.105),
        background=((0.13, 0.17, 0.11), (0.66, 0.67, 0.50)),
        hair_style="waves",
        hair_shine=0.55,
        headset=False,
        glasses=(0.045, 0.018, 0.020),
        lash_length=0.6,
        iris_size=0.95,
        brow_width=0.85,
        seed=21,
    ),
    framing=(0.10, 0.97),
)

KIT = Identity(
    name="kit",
    title="Kit",
    male=0.55,
    ancestry=(0.55, 0.35, 0.10),
    child=0.75,
    face={
        "eyes/eye-scale-incr": 1.4,
        "eyes/eye-height1-incr": 1.0,
        "eyes/eye-height2-incr": 1.6,
        "eyes/eye-height3-incr": 1.0,
        "eyes/eye-trans-out": 0.45,
        "eyes/eye-bag-decr": 1.0,
        "head/head-round": 0.55,
        "head/head-invertedtriangular": 0.75,
        "nose/nose-scale-vert-decr": 0.6,
        "nose/nose-volume-decr": 0.9,
        "nose/nose-scale-horiz-decr": 0.55,
        "nose/nose-scale-depth-decr": 0.5,
        "mouth/mouth-angles-up": 1.0,
        "mouth/mouth-scale-horiz-incr": 0.55,
        "chin/chin-width-decr": 0.5,
        "ears/ear-scale-decr": 0.4,
        "neck/neck-scale-horiz-decr": 0.6,
    },
    eye_magnification=1.65,
    look=Look(
        skin=(0.93, 0.56, 0.385),
        lip=(0.70, 0.235, 0.20),
        hair=(0.012, 0.36, 0.42),
        brow=(0.006, 0.13, 0.16),
        lash=(0.02, 0.012, 0.03),
        iris=(0.42, 0.16, 0.62),
        cloth=(0.95, 0.33, 0.03),
        background=((0.42, 0.20, 0.62), (0.98, 0.60, 0.62)),
        hair_style="mop",
        hair_shine=0.6,
        headset=False,
        freckles=0.8,
        brow_width=1.5,
        iris_size=1.15,
        toon=True,
        seed=5,
    ),
    framing=(0.14, 0.96),
)

IDENTITIES: dict[str, Identity] = {identity.name: identity for identity in (ADA, LEO, VERA, KIT)}
