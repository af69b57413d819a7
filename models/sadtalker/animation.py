"""The animation step: a picture, and coefficients that say what its face does, to frames."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from models.sadtalker.geometry import Camera, posed_keypoints
from models.sadtalker.keypoints import KeypointDetector
from models.sadtalker.mapping import MappingNetwork
from models.sadtalker.renderer import SourceFeatures


@dataclass(frozen=True)
class AnimatedSource:
    """What depends on the picture alone."""

    features: SourceFeatures
    canonical: Tensor
    """(1, 15, 3) keypoints, facing the camera at rest."""
    keypoints: Tensor
    """(1, 15, 3), as the picture shows them."""


class Draws(Protocol):
    """A ``renderer.Renderer``, or a faster one."""

    def encode(self, picture: Tensor) -> SourceFeatures:
        """What of a source (n, 3, h, w) every frame needs."""
        ...

    def picture(self, source: SourceFeatures, kp_source: Tensor, kp_driving: Tensor) -> Tensor:
        """Frames (n, 3, h, w) of keypoints (n, 15, 3)."""
        ...


class Animator:
    """Three networks as one: coefficients to pose, pose to keypoints, keypoints to picture."""

    def __init__(self, keypoints: KeypointDetector, mapping: MappingNetwork, renderer: Draws) -> None:
        self._keypoints, self._mapping, self._renderer = keypoints, mapping, renderer

    @torch.inference_mode()
    def source(self, picture: Tensor, window: Tensor) -> AnimatedSource:
        """Look at a picture (3, h, w) RGB in [0, 1] with its own coefficient window (c, 27)."""
        canonical = self._keypoints(picture[None])
        shown = posed_keypoints(canonical, self._mapping(window[None]))
        return AnimatedSource(self._renderer.encode(picture[None]), canonical, shown)

    @torch.inference_mode()
    def frames(self, source: AnimatedSource, windows: Tensor, camera: Camera | None = None) -> Tensor:
        """Draw n frames of coefficient windows (n, c, 27): RGB (n, 3, h, w) in [0, 1].

        Camera angles, where given, are (n,) each and replace the pose's own.
        """
        count = len(windows)
        driven = self.keypoints(source, windows, camera)
        shown = source.keypoints.expand(count, -1, -1)
        return self._renderer.picture(source.features.repeated(count), shown, driven)

    @torch.inference_mode()
    def keypoints(self, source: AnimatedSource, windows: Tensor, camera: Camera | None = None) -> Tensor:
        """Where ``frames`` has the keypoints, (n, 15, 3): x right, y down, in [-1, 1] over the drawn square."""
        canonical = source.canonical.expand(len(windows), -1, -1)
        return posed_keypoints(canonical, self._mapping(windows), camera)
