"""PoseVAE: from sound to head motion, in one of 46 styles.

A conditional variational autoencoder (Sohn, Lee and Yan, "Learning Structured Output Representation using Deep
Conditional Generative Models", NeurIPS 2015) over windows of 32 frames. The decoder draws motion; encoder and
discriminator are there to train it, and because the published file holds them.
"""

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.encoder import audio_encoder, scaled
from models.sadtalker.coefficients import POSE_SIZE
from models.sadtalker.resunet import ResUnet

STYLES = 46
LATENT_SIZE = 64
WINDOW_FRAMES = 32

Noise = Callable[[int], Tensor]
"""Latent vector (64,) of window i."""


def gaussian_noise(seed: int) -> Noise:
    """Standard normal latents; the same seed gives the same motion."""

    def noise(window: int) -> Tensor:
        # Each window has a generator of its own, so that its latent does not depend on who asked before.
        generator = torch.Generator().manual_seed((seed << 20) + window)
        return torch.randn(LATENT_SIZE, generator=generator)

    return noise


class _Stack(nn.Sequential):
    """Linear layers ``L0``, ``L1`` with their activations ``A0``, ``A1``."""

    def __init__(self, sizes: tuple[int, ...], activations: tuple[nn.Module, ...]) -> None:
        super().__init__()
        for i, activation in enumerate(activations):
            self.add_module(f"L{i}", nn.Linear(sizes[i], sizes[i + 1]))
            self.add_module(f"A{i}", activation)


class _Encoder(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        hidden, embedding, flat = scaled(128, width), scaled(512, width), WINDOW_FRAMES * POSE_SIZE
        self.classbias = nn.Parameter(torch.randn(STYLES, LATENT_SIZE))
        self.resunet = ResUnet(width)
        self.MLP = _Stack((POSE_SIZE + 2 * flat + LATENT_SIZE, hidden), (nn.ReLU(),))
        self.linear_means = nn.Linear(hidden, LATENT_SIZE)
        self.linear_logvar = nn.Linear(hidden, LATENT_SIZE)
        self.linear_audio = nn.Linear(embedding, POSE_SIZE)

    def forward(self, motion: Tensor, reference: Tensor, embedding: Tensor, style: Tensor) -> tuple[Tensor, Tensor]:
        """(n, 32, 6), (n, 6), (n, 32, 512), (n,) -> mean and log variance, (n, 64) each.

        The published network takes both from ``linear_means``; its weights only make sense so.
        """
        moved = self.resunet(motion[:, None]).flatten(1)
        heard = self.linear_audio(embedding).flatten(1)
        x = self.MLP(torch.cat((reference, moved, heard, self.classbias[style]), dim=1))
        return self.linear_means(x), self.linear_means(x)


class _Decoder(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        hidden, embedding, flat = scaled(128, width), scaled(512, width), WINDOW_FRAMES * POSE_SIZE
        self.classbias = nn.Parameter(torch.randn(STYLES, LATENT_SIZE))
        self.resunet = ResUnet(width)
        self.MLP = _Stack((POSE_SIZE + LATENT_SIZE + flat, hidden, flat), (nn.ReLU(), nn.Sigmoid()))
        self.pose_linear = nn.Linear(POSE_SIZE, POSE_SIZE)
        self.linear_audio = nn.Linear(embedding, POSE_SIZE)

    def forward(self, latent: Tensor, reference: Tensor, embedding: Tensor, style: Tensor) -> Tensor:
        """(n, 64), (n, 6), (n, 32, 512), (n,) -> motion (n, 32, 6)."""
        heard = self.linear_audio(embedding).flatten(1)
        x = self.MLP(torch.cat((reference, latent + self.classbias[style], heard), dim=1))
        window = x.unflatten(1, (1, WINDOW_FRAMES, POSE_SIZE))
        return self.pose_linear(self.resunet(window)[:, 0])  # type: ignore[no-any-return]


class _Autoencoder(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        self.encoder = _Encoder(width)
        self.decoder = _Decoder(width)


class _ConvNorm1d(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride, padding=1, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class MotionDiscriminator(nn.Module):
    """Is this motion a person's? One verdict for every four frames."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        c256, c512, c1024 = (scaled(c, width) for c in (256, 512, 1024))
        self.seq = nn.Sequential(
            _ConvNorm1d(POSE_SIZE, c256, 4, 2),
            _ConvNorm1d(c256, c512, 4, 2),
            _ConvNorm1d(c512, c1024, 3, 1),
            nn.Conv1d(c1024, 1, 3, padding=1),
        )

    def forward(self, motion: Tensor) -> Tensor:
        """(n, t, 6) -> (n, t / 4) logits."""
        return self.seq(motion.transpose(1, 2))[:, 0]  # type: ignore[no-any-return]


class _Ear(nn.Module):
    def __init__(self, width: float) -> None:
        super().__init__()
        self.audio_encoder = audio_encoder(width)

    def forward(self, mels: Tensor) -> Tensor:
        """(n, 1, 80, 16) -> (n, 512)."""
        return self.audio_encoder(mels).flatten(1)  # type: ignore[no-any-return]


class PoseNetwork(nn.Module):
    """Sound and style -> head motion."""

    def __init__(self, width: float = 1.0) -> None:
        super().__init__()
        self.audio_encoder = _Ear(width)
        self.netG = _Autoencoder(width)
        self.netD_motion = MotionDiscriminator(width)

    def motion(self, mels: Tensor, reference: Tensor, style: int, noise: Noise) -> Tensor:
        """Motion of a whole sound, to be added to ``reference``; the first frame does not move.

        Windows of 32 frames follow each other from the second frame on. What is left at the end is the end of
        a window that overlaps the one before; a sound too short for one has its first embedding put in front.

        Args:
            mels: (t, 1, 80, 16), see ``speech.mel_windows``.
            reference: (6,): the picture's pose.
            style: 0 to 45.
            noise: latents, one a window.

        Returns:
            (t, 6): angles in radians, translation in the face model's units.

        Raises:
            ValueError: no such style.
        """
        stream = MotionStream(self, reference, style, noise)
        motion: list[Tensor] = []
        for block in mels.split(WINDOW_FRAMES):  # type: ignore[no-untyped-call]
            motion += stream.push(block)
        return torch.cat([*motion, *stream.finish()])

    def embed(self, mels: Tensor) -> Tensor:
        """(n, 1, 80, 16) -> (n, 512)."""
        embedding: Tensor = self.audio_encoder(mels)
        return embedding

    def decode(self, embedding: Tensor, reference: Tensor, style: int, latent: Tensor) -> Tensor:
        """Motion (32, 6) of one window, from its (32, 512) and a latent (64,)."""
        decoded: Tensor = self.netG.decoder(latent[None], reference[None], embedding[None], torch.tensor([style]))
        return decoded[0]


class DrawsMotion(Protocol):
    """A ``PoseNetwork``, or a faster one."""

    def embed(self, mels: Tensor) -> Tensor:
        """See ``PoseNetwork.embed``."""
        ...

    def decode(self, embedding: Tensor, reference: Tensor, style: int, latent: Tensor) -> Tensor:
        """See ``PoseNetwork.decode``."""
        ...


class MotionStream:
    """``PoseNetwork.motion`` of a sound that comes in blocks: what is kept of it does not grow with it.

    Raises:
        ValueError: no such style.
    """

    def __init__(self, network: DrawsMotion, reference: Tensor, style: int, noise: Noise) -> None:
        if not 0 <= style < STYLES:
            raise ValueError(f"There are the pose styles 0 to {STYLES - 1}, not {style}.")
        self._network, self._reference, self._style, self._noise = network, reference, style, noise
        self._heard: Tensor | None = None
        """A window, and the frames after it that do not fill the next."""
        self._waiting = 0
        self._windows = 0
        self._has_begun = False

    def push(self, mels: Tensor) -> list[Tensor]:
        """Hear (n, 1, 80, 16) more frames; motion (m, 6) of those that are decided by now, in order."""
        motion: list[Tensor] = []
        if not self._has_begun and len(mels):
            self._has_begun, mels = True, mels[1:]
            motion.append(torch.zeros(1, POSE_SIZE))
        if not len(mels):
            return motion
        heard = mels if self._heard is None else torch.cat((self._heard, mels))
        self._waiting += len(mels)
        while self._waiting >= WINDOW_FRAMES:
            self._waiting -= WINDOW_FRAMES
            end = len(heard) - self._waiting
            motion.append(self._decode(heard[end - WINDOW_FRAMES : end]))
        self._heard = heard[-WINDOW_FRAMES - self._waiting :]
        return motion

    def finish(self) -> list[Tensor]:
        """The sound has ended: motion (m, 6) of what is left."""
        if not self._waiting or self._heard is None:
            return []
        return [self._decode(self._heard[-WINDOW_FRAMES:])[-self._waiting :]]

    def _decode(self, mels: Tensor) -> Tensor:
        embedding = self._network.embed(mels)
        in_front = embedding[:1].expand(WINDOW_FRAMES - len(embedding), -1)
        embedding = torch.cat((in_front, embedding))
        latent = self._noise(self._windows)
        self._windows += 1
        return self._network.decode(embedding, self._reference, self._style, latent)
