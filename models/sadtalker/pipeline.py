"""From a picture and a sound to the frames of a film.

A film is looked at and heard once (``Pipeline.film``), then drawn from any frame on; what is drawn depends on the
picture, the sound, the choices and the frame alone, batches excepted (``Film.pictures``).
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio.resample import SpeechResampler
from models.errors import CheckpointError
from models.face.enhancer import FaceEnhancer, Points, similarity
from models.runtime.runtime import Runtime, choose
from models.sadtalker import coefficients
from models.sadtalker.animation import AnimatedSource, Animator
from models.sadtalker.coefficients import CROP_SIZE, EXPRESSION_SIZE, FULL_SIZE, FaceCoefficients
from models.sadtalker.fold import FastRenderer
from models.sadtalker.hearing import FastPose, expression_call
from models.sadtalker.mapping import MappingNetwork
from models.sadtalker.portrait import Portrait, Rgb
from models.sadtalker.pose import gaussian_noise
from models.sadtalker.settings import Choices
from models.sadtalker.speech import Floats, mel_blocks, random_blinks
from models.sadtalker.talk import Talk, speak
from models.sadtalker.weights import MAPPING_FILES, NETWORK_FILES, Networks, load_mapping, load_networks


@dataclass(frozen=True)
class References:
    """Motion taken from clips, see ``clip.clip_coefficients``; (t, 70) each."""

    pose: Floats | None = None
    """Its head's motion is added to the speaker's."""
    blink: Floats | None = None
    """Its expressions, blinks among them, take the place of the picture's own and of random blinks."""


@dataclass(frozen=True)
class Film:
    """A film that can be drawn."""

    portrait: Portrait
    choices: Choices
    animator: Animator
    source: AnimatedSource
    driven: Floats
    """(frames, 70 or 73)."""
    enhancer: FaceEnhancer | None = None
    """Restores the face of every frame."""

    def __len__(self) -> int:
        return len(self.driven)

    def pictures(self, first_frame: int = 0, chunk_frames: int = 0) -> Iterator[Rgb]:
        """Frames (h, w, 3) from ``first_frame`` on.

        No batch reaches over a multiple of ``chunk_frames`` (0: there are none), so that frames from such a one on
        equal, bit by bit, those that are drawn from the beginning.
        """
        chunk = chunk_frames or len(self)
        for begin in range(first_frame, len(self), chunk):
            end = min(begin + chunk, len(self))
            for first in range(begin, end, self.choices.batch_frames):
                yield from self._drawn(range(first, min(first + self.choices.batch_frames, end)))

    def _drawn(self, frames: range) -> list[Rgb]:
        windows = torch.from_numpy(coefficients.windows(self.driven, list(frames)))
        drawn = self.animator.frames(self.source, windows.to(self.source.canonical.device)).cpu().numpy()
        pictures = [self.portrait.frame(picture, self.choices.size_px) for picture in drawn]
        if self.enhancer is None:
            return pictures
        return [self.enhancer.enhance(*pair) for pair in zip(pictures, self._faces(windows), strict=True)]

    def _faces(self, windows: Tensor) -> Iterator[Points]:
        """Of each frame eye centres, nose tip and mouth corners (5, 2) in its pixels.

        The picture's own, moved as the keypoints move: by the similarity that fits best. Of a turned head that is
        rough by some pixels, but as smooth as the head's motion, which a detector in each frame would not be.
        """
        device = self.source.canonical.device
        moved = self.animator.keypoints(self.source, windows.to(device))[..., :2].cpu().numpy().astype(np.float64)
        rest = self.source.keypoints[0, :, :2].cpu().numpy().astype(np.float64)
        five = self.portrait.five()
        for points in moved:
            motion = similarity(rest, points)
            yield self.portrait.shown(five @ motion[:, :2].T + motion[:, 2], self.choices.size_px)


class Pipeline:
    """The networks, joined. Holds weights only."""

    def __init__(
        self,
        networks: Networks,
        mapping: MappingNetwork,
        dtype: torch.dtype | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        """Join them, and move them to the runtime's device.

        The renderer and the networks that hear run as the runtime does; what a picture is looked at by once, and the
        small mapping network, as PyTorch comes.

        Args:
            networks: in eval mode.
            mapping: of the same coefficients as the films to come.
            dtype: of the renderer's convolutions, see ``FastRenderer``.
            runtime: None is scripted on the CPU.
        """
        self.runtime = runtime = runtime or choose("scripted", "cpu")
        self._device = runtime.device
        self._reconstruction = networks.reconstruction.to(self._device)
        self._talk = Talk(expression_call(networks.expression, runtime), FastPose(networks.pose, runtime))
        self._animator = Animator(
            networks.keypoints.to(self._device),
            mapping.to(self._device),
            FastRenderer(networks.renderer, dtype, runtime),
        )

    @classmethod
    def load(cls, folder: Path, choices: Choices, runtime: Runtime | None = None) -> "Pipeline":
        """Read the published files, or a stand-in's, that ``choices`` need; ``runtime`` as for a new one.

        Raises:
            CheckpointError: the folder or one of them is missing, damaged or of another architecture.
        """
        if not folder.is_dir():
            raise CheckpointError(f"There is no folder {folder} of SadTalker's weights; check the path.")
        mapping = MAPPING_FILES[FULL_SIZE if choices.is_full else CROP_SIZE]
        networks = load_networks(folder / NETWORK_FILES[choices.size_px])
        return cls(networks, load_mapping(folder / mapping), runtime=runtime)

    @torch.inference_mode()
    def coefficients(self, portrait: Portrait, size_px: int) -> Floats:
        """The (73,) of a picture's face."""
        aligned, fit = portrait.aligned(size_px)
        tensor = torch.from_numpy(aligned).permute(2, 0, 1)[None].float() / 255
        face = FaceCoefficients.split(self._reconstruction(tensor.to(self._device)).cpu().numpy())
        return np.asarray(face.stored(fit[None])[0], np.float32)

    def film(
        self,
        portrait: Portrait,
        sound: Iterable[NDArray[np.float32]],
        frames: int,
        choices: Choices,
        references: References | None = None,
        enhancer: FaceEnhancer | None = None,
    ) -> Film:
        """Look at the picture and hear the sound.

        Args:
            portrait: whom.
            sound: (n,) chunks at 48 kHz mono; it is cut, or filled with silence, to ``frames``.
            frames: of the film, 40 ms each.
            choices: of the film; ``preprocess`` and ``size_px`` are the portrait's and the weights'.
            references: motion of others.
            enhancer: restores every frame's face; None leaves frames as they are drawn.
        """
        references = references or References()
        source = self.coefficients(portrait, choices.size_px)
        spoken = self._speak(sound, frames, source, choices, references)
        full, still = choices.is_full, choices.still
        driven = coefficients.driven(spoken, source, full=full, still=still, expression_scale=choices.expression_scale)
        picture = torch.from_numpy(portrait.input(choices.size_px)).to(self._device)
        window = torch.from_numpy(coefficients.source_window(source, full=full)).to(self._device)
        return Film(portrait, choices, self._animator, self._animator.source(picture, window), driven, enhancer)

    def _speak(
        self,
        sound: Iterable[NDArray[np.float32]],
        frames: int,
        source: Floats,
        choices: Choices,
        references: References,
    ) -> Floats:
        """(frames, 70)."""
        eyes, blinks = None, random_blinks(frames, random.Random(choices.seed))
        if references.blink is not None:
            eyes, blinks = references.blink[:, :EXPRESSION_SIZE], np.zeros(frames, np.float32)
        spoken = speak(
            self._talk,
            mel_blocks(_at_speech_rate(sound), frames),
            source,
            blinks,
            style=choices.pose_style,
            noise=gaussian_noise(choices.seed),
            eyes=eyes,
        )
        if references.pose is not None:
            pose = references.pose[:, EXPRESSION_SIZE:]
            spoken[:, EXPRESSION_SIZE:] += (pose - pose[0])[np.arange(frames) % len(pose)]
        return spoken


def _at_speech_rate(sound: Iterable[NDArray[np.float32]]) -> Iterator[Floats]:
    """48 kHz to 16 kHz, clipped to [-1, 1]; NaN and infinities count as silence."""
    resampler = SpeechResampler()
    for chunk in sound:
        yield resampler.push(np.clip(np.nan_to_num(chunk, nan=0.0, posinf=0.0, neginf=0.0), -1, 1))
    yield resampler.flush()
