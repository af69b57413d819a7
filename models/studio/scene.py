"""A head of the cast on its set: one light, one backdrop, and any pose, size and mouth before the camera."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from models.studio.arkit import INDEX, weights
from models.studio.backdrops import random_backdrop
from models.studio.head import Head, Pose
from models.studio.identity import Identity
from models.studio.idle import REST, talking_weights
from models.studio.light import Light, random_key, random_light
from models.studio.mesh import Floats
from models.studio.renderer import Renderer, Rotation, Window
from models.studio.stage import BOX_PX, PICTURE_PX, mouth_anchor

POSE_LIMIT_DEG = 15.0
"""Of yaw, pitch and roll each, either way."""
_CHIN_ROW = 262
"""In the largest picture the chin of the wide open jaw is here in the box: the mask begins to fade below."""
_SCALES = (0.78, 1.0)
"""Size of the face in its box; 1 is as large as the mask allows."""
_ASIDE_PX = 10.0
_UP_PX = 3.0
_DOWN_PX = 8.0
_WIDE = weights(jawOpen=1.0, mouthLowerDown=0.6)
_BLINK_SHARE = 0.12


@dataclass(frozen=True)
class Shot:
    """All of a picture but the mouth."""

    weights: NDArray[np.float32]
    """(52,) of the face at rest."""
    gaze: tuple[float, float]
    rotation: Rotation
    scale: float
    shift_px: tuple[float, float]
    """Of the face in the box, right and down."""
    camera_rise: float
    """Height the camera looks at over the mouth, in decimetres."""
    light: Light


class Scene:
    """Draws one head's face boxes, 288 x 288 px with 2 x 2 samples a pixel, at rest and talking.

    Boxes lie as an avatar's do (see ``Stage``), so that one blend mask suits both: the middle row under the nose,
    the open jaw's chin above where the mask ends.
    """

    def __init__(self, identity: Identity, rng: np.random.Generator) -> None:
        self.identity, self._key = identity, random_key(rng)
        self.head = Head(identity)
        backdrop = random_backdrop(rng, 2 * PICTURE_PX)
        self.renderer = Renderer(self.head, PICTURE_PX, 2, Light(key=self._key), backdrop)
        self._anchor = mouth_anchor(self.head.skin)
        self._chin = self._wide_chin()

    def _wide_chin(self) -> NDArray[np.float64]:
        """The front of the face that a wide open jaw moves down, (n, 3)."""
        skin, here = self.head.skin, self.head.span("skin")
        moved = self.head.pose(_WIDE).vertices[here]
        drop = skin.vertices[:, 1] - moved[:, 1]
        chin = (skin.vertices[:, 2] > 0.6) & (skin.inside < 0.1) & (drop > 0.15) & (skin.vertices[:, 1] > -0.75)
        return np.asarray(moved[chin], np.float64)

    def shot(self, rng: np.random.Generator) -> Shot:
        """Any shot: pose, size, place, gaze, brows, blink, smile, and the light but for where its key stands."""
        pitch, yaw, roll = np.deg2rad(POSE_LIMIT_DEG * (2 * rng.beta(1.6, 1.6, 3) - 1))
        rest = REST * np.float32(rng.uniform(0.3, 1.2))
        brows = rng.uniform(0.0, 0.5)
        rest[INDEX["browInnerUp"]] += brows
        blink = float(rng.uniform()) if rng.random() < _BLINK_SHARE else 0.0
        for side in ("Left", "Right"):
            rest[INDEX["browOuterUp" + side]] += 0.75 * brows
            rest[INDEX["eyeBlink" + side]] = blink
        scale = float(rng.uniform(*_SCALES))
        room = min(_DOWN_PX, 4 + (1 - scale) * (_CHIN_ROW - BOX_PX / 2))
        return Shot(
            weights=rest,
            gaze=(float(np.clip(rng.normal() * 0.12 - 0.5 * yaw, -0.4, 0.4)), float(rng.normal() * 0.05 + 0.5 * pitch)),
            rotation=(float(pitch), float(yaw), float(roll)),
            scale=scale,
            shift_px=(float(rng.uniform(-_ASIDE_PX, _ASIDE_PX)), float(rng.uniform(-_UP_PX, room))),
            camera_rise=float(rng.uniform(-0.1, 0.4)),
            light=random_light(rng, self._key),
        )

    def draw(self, shot: Shot, mouth: NDArray[np.float32] | None = None) -> NDArray[np.uint8]:
        """The face box, (288, 288, 3) RGB: at rest, or with the mouth's (52,) weights."""
        window = self._frame(shot)
        self.renderer.light = shot.light
        return self.renderer.render(self._pose(shot, mouth), shot.rotation, window)

    def flows(self, shot: Shot, mouth: NDArray[np.float32]) -> tuple[Floats, Floats]:
        """As ``Stage.flows``."""
        talking, rest, where = self._pose(shot, mouth), self._pose(shot), (shot.rotation, self._frame(shot))
        return self.renderer.flow(talking, rest, *where), self.renderer.flow(rest, talking, *where)

    def _pose(self, shot: Shot, mouth: NDArray[np.float32] | None = None) -> Pose:
        return self.head.pose(shot.weights if mouth is None else talking_weights(shot.weights, mouth), shot.gaze)

    def _frame(self, shot: Shot) -> Window:
        """Point the camera for a shot; returns the box."""
        aim = float(self._anchor[0, 1]) + shot.camera_rise
        self.renderer.aim(aim, 1.0)
        reach = max(self._reach((0.0, 0.0, 0.0)), self._reach(shot.rotation))
        self.renderer.aim(aim, shot.scale * (_CHIN_ROW - BOX_PX / 2) / reach)
        corner = self.renderer.project(self._anchor, shot.rotation)[0] - BOX_PX / 2 - shot.shift_px
        x0, y0 = np.clip(np.round(corner), 0, PICTURE_PX - BOX_PX)
        return int(x0), int(y0), int(x0) + BOX_PX, int(y0) + BOX_PX

    def _reach(self, rotation: Rotation) -> float:
        """From the box's middle row down to the wide open jaw's chin, in pixels."""
        middle, chin = (self.renderer.project(points, rotation) for points in (self._anchor, self._chin))
        return float(chin[:, 1].max() - middle[0, 1])


def coded(picture: NDArray[np.uint8], quality: int) -> NDArray[np.uint8]:
    """A picture (h, w, 3) as a codec leaves it: what a network is given in service comes out of a video."""
    blob = cv2.imencode(".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    decoded = cv2.imdecode(blob, cv2.IMREAD_COLOR)
    assert decoded is not None
    return np.ascontiguousarray(decoded[..., ::-1], np.uint8)
