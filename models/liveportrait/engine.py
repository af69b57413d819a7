"""LivePortrait live: sound, and a camera where there is one, move a portrait."""

import logging
import os
import zlib
from collections.abc import Callable, Sequence
from collections.abc import Generator as Steps
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.avatar import Avatar
from models.engine import RenderRequest, finish
from models.errors import CheckpointError, VisavisError
from models.liveportrait.avatar_source import avatar_source
from models.liveportrait.driving import LIP_KEYPOINTS, Driver, DrivingFrame
from models.liveportrait.fold import fold
from models.liveportrait.keypoints import Motion, rotation_matrix
from models.liveportrait.layers import KEYPOINTS
from models.liveportrait.live_driver import LiveDriver
from models.liveportrait.pipeline import Pipeline, Source
from models.liveportrait.pixels import Picture, to_input, to_pictures
from models.liveportrait.settings import Settings
from models.liveportrait.source_cache import SourceCache
from models.liveportrait.weights import Networks, load_networks
from models.motion.expression import expression
from models.motion.hearing import Hearing, activity, loudness, presence
from models.motion.idle import IdleProcess
from models.runtime.names import DeviceName, RuntimeName
from models.runtime.runtime import choose

logger = logging.getLogger(__name__)

EAR = "motion.safetensors"
"""A network that hears may lie beside LivePortrait's files; else the shipped one does."""
_CHECKPOINT = "liveportrait"
_AT_REST = Motion(
    scale=torch.ones(1, 1),
    rotation=torch.eye(3)[None],
    exp=torch.zeros(1, KEYPOINTS, 3),
    t=torch.zeros(1, 3),
)
"""What live motion is relative to."""


@dataclass(frozen=True)
class PreparedPortrait:
    """An avatar as the engine needs it; shared by sessions."""

    source: Source
    volume: Tensor
    """F's features, on the device that draws."""
    driver: Driver
    idle: IdleProcess


@dataclass
class PortraitState:
    """What a session brings besides its sound: the face before its camera, if any."""

    camera: LiveDriver
    webcam: object | None = None
    """The :class:`Webcam`, once pictures come: it reads the detector's files."""


class LivePortraitEngine:
    """Draws whole frames. Holds weights only: calls may mix sessions and avatars freely.

    Lips follow the sound; head, eyes and brows the camera, or without one a random process that hears the sound.
    In silence the camera has the lips as well.
    """

    name = "liveportrait"
    draws_frames = True

    def __init__(
        self,
        networks: Networks,
        ear: Hearing,
        settings: Settings | None = None,
        cache_folder: Path | None = None,
        device: DeviceName = "auto",
    ) -> None:
        """``cache_folder``: where to keep what F and M say of avatars; None keeps nothing.

        Raises:
            VisavisError: the settings are for clips: live motion is relative, pasted back, and has no ratios.
        """
        self.settings = settings or Settings()
        _check_live(self.settings)
        self.window = ear.window
        self._ear = ear
        self._device = choose("eager", device).device
        cache = None if cache_folder is None else SourceCache(cache_folder, networks)
        self._pipeline = Pipeline(networks, self.settings, cache)
        folded = fold(networks)
        self._warping, self._generator = (part.to(self._device) for part in (folded.warping, folded.generator))

    def prepare(self, avatar: Avatar) -> PreparedPortrait:
        """F and M on the avatar's first idle frame: half a second at full width on a core."""
        return finish(self.preparation(avatar))

    def preparation(self, avatar: Avatar) -> Steps[None, None, PreparedPortrait]:
        """``prepare``; F is one step, as it cannot be divided."""
        yield
        source = avatar_source(self._pipeline, avatar)
        yield
        driver = Driver(source.face, _AT_REST, self.settings, self._pipeline.networks.retargeting)
        # Every avatar moves in its own way, and the same one always in the same.
        return PreparedPortrait(
            source, source.volume.to(self._device), driver, IdleProcess(zlib.crc32(avatar.name.encode()))
        )

    def new_state(self) -> PortraitState:
        """A session that has no camera yet."""
        return PortraitState(LiveDriver())

    def render(self, requests: Sequence[RenderRequest]) -> list[Picture]:
        """One RGB picture of the avatar's size (height, width, 3) a request."""
        if not requests:
            return []
        heard = self._ear.weights(np.stack([request.mel for request in requests]))
        points = [self._keypoints(request, weights) for request, weights in zip(requests, heard, strict=True)]
        drawn = self._draw([cast(PreparedPortrait, request.prepared) for request in requests], points)
        return [request.prepared.source.pasted(crop) for request, crop in zip(requests, drawn, strict=True)]

    def motion(self, request: RenderRequest, heard: NDArray[np.float32]) -> Motion:
        """What the head does in a frame, relative to the source at rest; ``heard`` are (52,) ARKit weights."""
        loud = loudness(request.mel)
        idle = request.prepared.idle.at(request.frame, loud)
        spoken = expression(heard[None] * presence(loud))[0]
        resting = expression(idle.weights[None])[0]
        pose = request.state.camera.at(request.frame)
        share = pose.share
        lips = list(LIP_KEYPOINTS)
        exp = share * pose.exp + (1 - share) * (spoken + resting)
        voice = max(activity(loud), 1 - share)
        exp[lips] = voice * spoken[lips] + (1 - voice) * share * pose.exp[lips]
        angles = share * pose.angles_deg + (1 - share) * idle.angles_deg
        return Motion(
            scale=torch.tensor([[pose.scale**share]], dtype=torch.float32),
            rotation=rotation_matrix(torch.from_numpy(np.asarray(angles, np.float32))[None]),
            exp=torch.from_numpy(np.asarray(exp, np.float32))[None],
            t=torch.from_numpy(np.asarray(share * pose.t + (1 - share) * idle.t, np.float32))[None],
        )

    def look(self, state: PortraitState, picture: Picture) -> Picture | None:
        """The face in a camera's RGB picture, as M looks at it; see :class:`models.engine.Watching`."""
        from models.liveportrait.webcam import Webcam

        if state.webcam is None:
            state.webcam = Webcam()
        return cast(Webcam, state.webcam).look(picture)

    @torch.inference_mode()
    def follow(self, state: PortraitState, seen: Picture | None) -> None:
        """M on what ``look`` found."""
        if seen is not None:
            state.camera.observe(self._pipeline.networks.motion(to_input(seen[None])))

    def neutral(self, state: PortraitState) -> None:
        """The next face seen counts as at rest."""
        state.camera.neutral()

    def watched(self, state: PortraitState) -> str:
        """What becomes of the camera's face."""
        return state.camera.watched

    def _keypoints(self, request: RenderRequest, heard: NDArray[np.float32]) -> Tensor:
        return cast(PreparedPortrait, request.prepared).driver.step(DrivingFrame(self.motion(request, heard)))

    @torch.inference_mode()
    def _draw(self, portraits: Sequence[PreparedPortrait], points: Sequence[Tensor]) -> Picture:
        """Crops of a batch, (n, side, side, 3)."""
        volumes = torch.cat([portrait.volume for portrait in portraits])
        at_rest = torch.cat([portrait.source.face.x for portrait in portraits]).to(self._device)
        with torch.autocast(self._device.type, torch.float16, enabled=self._device.type == "cuda"):
            warped = self._warping(volumes, at_rest, torch.cat(list(points)).to(self._device))
            return to_pictures(self._generator(warped))


def _check_live(settings: Settings) -> None:
    wrong = {
        "absolute motion": not settings.relative_motion,
        "eye retargeting": settings.eye_retargeting,
        "lip retargeting": settings.lip_retargeting,
        "no pasteback": not settings.pasteback,
    }
    if named := [name for name, is_so in wrong.items() if is_so]:
        raise VisavisError(f"A live portrait has no use for {' or '.join(named)}; leave it at its default.")


def load_engine(weights: Path | None, runtime: RuntimeName = "auto", device: DeviceName = "auto") -> LivePortraitEngine:
    """The engine with a folder of LivePortrait's five files; None takes the pulled ones. Its networks run eagerly.

    Raises:
        CheckpointError: they are missing, damaged or of another architecture.
    """
    folder = weights or _pulled()
    if not folder.is_dir():
        raise CheckpointError(
            f"LivePortrait's weights are a folder of five files, and {folder} is none; fetch them with: "
            f"visavis models pull {_CHECKPOINT} --accept-licence"
        )
    if runtime not in ("auto", "eager"):
        logger.warning("LivePortrait has no runtime '%s' yet; its networks run eagerly.", runtime)
    networks = load_networks(folder)
    return LivePortraitEngine(networks, _ear(folder / EAR), cache_folder=_cache_folder(), device=device)


def _ear(path: Path) -> Hearing:
    load_ear: Callable[[Path | None], Hearing] = import_module("models.motion.ear").load_ear
    return load_ear(path if path.is_file() else None)


def _pulled() -> Path:
    from models.store import located

    return cast(Path, located(Path(_CHECKPOINT)))


def _cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "visavis" / "liveportrait"
