"""What the networks are trained on, each term as the paper reckons it."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from models.wav2lip.discriminator import QualityDiscriminator
from models.wav2lip.syncnet import SyncNet


@dataclass(frozen=True)
class LossWeights:
    """Shares of the total; L1 takes what sync and perceptual leave of 1."""

    sync: float = 0.03
    perceptual: float = 0.07


def cosine_bce(audio: Tensor, face: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of the embeddings' cosine, (n, c) each, with ``labels`` (n, 1): 1 = in sync."""
    cosine = functional.cosine_similarity(audio, face)
    return functional.binary_cross_entropy(cosine[:, None], labels)


def lower_halves(clips: Tensor) -> Tensor:
    """Clips (b, 3, t, h, w) -> their lower halves (b, 3 t, h / 2, w), frame by frame on the channels."""
    lower = clips[:, :, :, clips.shape[3] // 2 :]
    return lower.transpose(1, 2).flatten(1, 2)


def sync_loss(expert: SyncNet, mel: Tensor, clips: Tensor) -> Tensor:
    """How far the expert is from finding drawn clips (b, 3, 5, 96, 96) in sync with mel (b, 1, 80, 16)."""
    audio, face = expert(mel, lower_halves(clips))
    return cosine_bce(audio, face, torch.ones(len(mel), 1, dtype=audio.dtype, device=audio.device))


def perceptual_loss(discriminator: QualityDiscriminator, clips: Tensor) -> Tensor:
    """How far the discriminator is from taking drawn clips (b, 3, t, 96, 96) for real ones."""
    return taken_for(discriminator(clips), 1.0)


def discriminator_losses(discriminator: QualityDiscriminator, real: Tensor, drawn: Tensor) -> tuple[Tensor, Tensor]:
    """The discriminator's own two losses, on real and on drawn clips; detach the drawn ones before."""
    return taken_for(discriminator(real), 1.0), taken_for(discriminator(drawn), 0.0)


def taken_for(probability: Tensor, truth: float) -> Tensor:
    """Binary cross entropy of probabilities of being real with one truth for all: 1 real, 0 drawn."""
    return functional.binary_cross_entropy(probability, torch.full_like(probability, truth))


def total_loss(sync: Tensor, perceptual: Tensor, l1: Tensor, weights: LossWeights) -> Tensor:
    """The generator's loss: sync and perceptual at their weights, L1 at the rest."""
    rest = 1.0 - weights.sync - weights.perceptual
    return weights.sync * sync + weights.perceptual * perceptual + rest * l1
