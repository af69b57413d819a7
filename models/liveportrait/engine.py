"""LivePortrait live: sound, and a camera where there is one, move a portrait."""

import copy
import zlib
from collections.abc import Generator as Steps
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.avatar import Avatar
from models.engine import RenderRequest, finish
from models.errors import VisavisError
from models.liveportrait.animator import Animator
from models.liveportrait.avatar_source import avatar_source
from models.liveportrait.driving import EXPRESSION, LIP_KEYPOINTS, Driver, DrivingFrame, SourceFace
from models.liveportrait.files import landmark_file, weights_folder
from models.liveportrait.gesture import GESTURES, Gesture, GesturePlayer
from models.liveportrait.keypoints import Head, Motion, rotation_matrix
from models.liveportrait.landmark_model import LandmarkModel
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.live_driver import LiveDriver, LivePose
from models.liveportrait.live_settings import LiveSettings
from models.liveportrait.openings import Openings
from models.liveportrait.pipeline import Pipeline, Source
from models.liveportrait.pixels import Picture, to_input
from models.liveportrait.place import Place
from models.liveportrait.source_cache import SourceCache, cache_folder
from models.liveportrait.template import load_template
from models.liveportrait.template_gesture import template_gesture
from models.liveportrait.weights import Networks, load_networks
from models.motion.ear import load_ear
from models.motion.expression import expression, limits
from models.motion.hearing import Hearing, activity, loudness, presence
from models.motion.idle import IdleProcess
from models.runtime.names import DeviceName, RuntimeName
from models.runtime.runtime import Runtime, choose

Array = NDArray[np.float64]

EAR = "motion.safetensors"
"""A network that hears may lie beside LivePortrait's files; else the shipped one does."""
VOLUME_STRIDE = 4
"""Pixels of a face crop for a cell of F's volume."""
_AT_REST = Motion(
    scale=torch.ones(1, 1),
    rotation=torch.eye(3)[None],
    exp=torch.zeros(1, KEYPOINTS, 3),
    t=torch.zeros(1, 3),
)
"""What live motion is relative to."""
_LIPS = list(LIP_KEYPOINTS)


@dataclass(frozen=True)
class PreparedPortrait:
    """An avatar as the engine needs it; shared by sessions."""

    source: Source
    volume: Tensor
    """F's features, on the device that draws."""
    place: Place
    driver: Driver
    idle: IdleProcess
    openings: Openings | None
    """Where eyes or lips are retargeted."""


@dataclass
class PortraitState:
    """What a session brings besides its sound: the face before its camera, if any, and the gesture that runs."""

    camera: LiveDriver
    gestures: GesturePlayer = field(default_factory=GesturePlayer)
    webcam: object | None = None
    """The :class:`Webcam`, once pictures come: it reads the detector's files."""


class LivePortraitEngine:
    """Draws whole frames. Holds weights only: calls may mix sessions and avatars freely.

    Lips follow the sound; head, eyes and brows the camera, or without one a random process that hears the sound.
    In silence the camera has the lips as well. Gestures are laid over all of it.
    """

    name = "liveportrait"
    draws_frames = True
    gestures = tuple(GESTURES)

    def __init__(
        self,
        networks: Networks,
        ear: Hearing,
        settings: LiveSettings | None = None,
        cache_folder: Path | None = None,
        runtime: Runtime | None = None,
        landmark_model: LandmarkModel | None = None,
    ) -> None:
        """The networks are published ones or narrower; they stay as they are.

        Args:
            networks: plain ones, on the CPU.
            ear: what hears the sound.
            settings: None takes the defaults.
            cache_folder: where to keep what F and M say of avatars; None keeps nothing.
            runtime: of W and G, whose device M looks at cameras on too; None is scripted on the CPU.
            landmark_model: needed where the settings say so.
        """
        self.settings = settings or LiveSettings()
        self.window = ear.window
        self._ear, self._landmark_model = ear, landmark_model
        cache = None if cache_folder is None else SourceCache(cache_folder, networks)
        self._pipeline = Pipeline(networks, self.settings.published(), cache)
        self._animator = Animator(networks, side=self.settings.face_px // VOLUME_STRIDE, runtime=runtime)
        self._device = self._animator.runtime.device
        on_cpu = self._device.type == "cpu"
        self._extractor = networks.motion if on_cpu else copy.deepcopy(networks.motion).to(self._device)

    def prepare(self, avatar: Avatar) -> PreparedPortrait:
        """F and M on the avatar's first idle frame: half a second at full width on a core."""
        return finish(self.preparation(avatar))

    def preparation(self, avatar: Avatar) -> Steps[None, None, PreparedPortrait]:
        """``prepare``; F is one step, as it cannot be divided."""
        yield
        source = avatar_source(self._pipeline, avatar, self.settings.face_px, self._landmark_model)
        yield
        driver = Driver(source.face, _AT_REST, self._pipeline.settings, self._pipeline.networks.retargeting)
        # Every avatar moves in its own way, and the same one always in the same.
        idle = IdleProcess(zlib.crc32(avatar.name.encode()))
        assert source.picture is not None, "live pictures are pasted back"
        assert source.to_picture is not None
        yield
        place = Place.of(source.picture, source.to_picture, 2 * self.settings.face_px, self._device)
        return PreparedPortrait(
            source, source.volume.to(self._device), place, driver, idle, self._openings(source.face)
        )

    def new_state(self) -> PortraitState:
        """A session that has no camera yet."""
        return PortraitState(LiveDriver(self.settings.camera_cutoff_hz, self.settings.camera_beta))

    @torch.inference_mode()
    def render(self, requests: Sequence[RenderRequest]) -> list[Tensor]:
        """One RGB crop (side, side, 3) of bytes a request, on the device that draws."""
        if not requests:
            return []
        heard = self._ear.weights(np.stack([request.mel for request in requests]))
        points = [self._keypoints(request, weights) for request, weights in zip(requests, heard, strict=True)]
        portraits = [cast(PreparedPortrait, request.prepared) for request in requests]
        volumes = torch.cat([portrait.volume for portrait in portraits])
        at_rest = torch.cat([portrait.source.face.x for portrait in portraits])
        drawn = self._animator.draw(volumes, at_rest, torch.cat(points))
        return list(drawn)

    @torch.inference_mode()
    def picture(self, prepared: PreparedPortrait, drawn: Tensor) -> Picture:
        """The avatar's picture with a drawn crop laid over it, RGB (height, width, 3); see :class:`FrameEngine`."""
        return prepared.place.pasted(drawn)

    def motion(self, request: RenderRequest, heard: NDArray[np.float32]) -> Motion:
        """What the head does in a frame, relative to the source at rest; ``heard`` are (52,) ARKit weights."""
        loud = loudness(request.mel)
        idle = request.prepared.idle.at(request.frame, loud)
        spoken = expression(heard[None] * presence(loud))[0]
        resting = expression(idle.weights[None])[0]
        pose = self._camera_pose(request)
        share = pose.share
        exp = share * pose.exp + (1 - share) * (spoken + resting)
        voice = max(activity(loud), 1 - share)
        exp[_LIPS] = voice * spoken[_LIPS] + (1 - voice) * share * pose.exp[_LIPS]
        gesture = request.state.gestures.at(request.frame)
        exp = _laid_over(exp, gesture.exp + (1 - activity(loud)) * gesture.silent_exp)
        angles = share * pose.angles_deg + (1 - share) * idle.angles_deg + gesture.angles_deg
        t = share * pose.t + (1 - share) * idle.t + gesture.t
        return Motion(
            scale=torch.tensor([[pose.scale**share * gesture.scale]], dtype=torch.float32),
            rotation=rotation_matrix(torch.from_numpy(np.asarray(angles, np.float32))[None]),
            exp=torch.from_numpy(np.asarray(exp, np.float32))[None],
            t=torch.from_numpy(np.asarray(t, np.float32))[None],
        )

    def look(self, state: PortraitState, picture: Picture) -> Picture | None:
        """The face in a camera's RGB picture, as M looks at it; see :class:`models.engine.Watching`."""
        from models.liveportrait.webcam import Webcam

        if state.webcam is None:
            state.webcam = Webcam(self.settings.face_px)
        return cast(Webcam, state.webcam).look(picture)

    @torch.inference_mode()
    def follow(self, state: PortraitState, seen: Picture | None) -> None:
        """M on what ``look`` found."""
        if seen is not None:
            head = self._extractor(to_input(seen[None]).to(self._device))
            state.camera.observe(Head(**{name: value.cpu() for name, value in vars(head).items()}))

    def neutral(self, state: PortraitState) -> None:
        """The next face seen counts as at rest.

        Raises:
            VisavisError: faces are taken as they are.
        """
        if not self.settings.relative:
            raise VisavisError(
                "This server takes the face before a camera as it is, so none is neutral; set "
                "engine.liveportrait.relative: true to have it taken relative to a neutral one."
            )
        state.camera.neutral()

    def watched(self, state: PortraitState) -> str:
        """What becomes of the camera's face."""
        return state.camera.watched

    def gesture_of(self, template: Path) -> Gesture:
        """A motion template's file as a gesture; see :class:`models.engine.Gesturing`."""
        return template_gesture(load_template(template), template.stem)

    def gesture(self, state: PortraitState, gesture: str | Gesture) -> float:
        """Begin a gesture in place of the one that runs; returns how long it takes, s."""
        chosen = GESTURES[gesture] if isinstance(gesture, str) else gesture
        state.gestures.play(chosen)
        return chosen.seconds

    def _openings(self, source: SourceFace) -> Openings | None:
        moves = self._pipeline.settings.moves
        eyes = self.settings.eye_retargeting and moves("exp", "eyes")
        lips = self.settings.lip_retargeting and moves("exp", "lip")
        return Openings(source, self._pipeline.networks.retargeting, eyes, lips) if eyes or lips else None

    def _camera_pose(self, request: RenderRequest) -> LivePose:
        """What the camera's face does, to be added to the source's own motion."""
        if self.settings.relative:
            return request.state.camera.at(request.frame)  # type: ignore[no-any-return]
        pose: LivePose = request.state.camera.at(request.frame, request.prepared.source.face.head)
        # As published: of absolute motion, size and what tells whose face it is stay the source's.
        return LivePose(pose.angles_deg, pose.t, 1.0, np.where(EXPRESSION.numpy(), pose.exp, 0.0), pose.share)

    def _keypoints(self, request: RenderRequest, heard: NDArray[np.float32]) -> Tensor:
        portrait, motion = cast(PreparedPortrait, request.prepared), self.motion(request, heard)
        if portrait.openings is None:
            return portrait.driver.step(DrivingFrame(motion))
        exp, offset = portrait.openings.taken(motion.exp[0].double().numpy())
        motion = replace(motion, exp=torch.from_numpy(exp.astype(np.float32))[None])
        return portrait.driver.step(DrivingFrame(motion, offset=offset))


def _laid_over(exp: Array, gesture: Array) -> Array:
    """The sum, (21, 3), which a gesture takes no further than real faces go; what is there already may be."""
    low, high = limits()
    return np.asarray(np.clip(exp + gesture, np.minimum(exp, low), np.maximum(exp, high)))


def load_engine(
    weights: Path | None,
    runtime: RuntimeName = "auto",
    device: DeviceName = "auto",
    live: Mapping[str, Any] | None = None,
) -> LivePortraitEngine:
    """The engine with a folder of LivePortrait's five files; None takes the pulled ones.

    ``live``: fields of :class:`LiveSettings`.

    Raises:
        CheckpointError: they are missing, damaged or of another architecture.
    """
    folder = weights_folder(weights)
    settings = LiveSettings(**(live or {}))
    networks = load_networks(folder)
    own_ear = folder / EAR
    ear = load_ear(own_ear if own_ear.is_file() else None)
    model = LandmarkModel(landmark_file(folder)) if settings.needs_landmarks else None
    return LivePortraitEngine(networks, ear, settings, cache_folder(), choose(runtime, device), model)
