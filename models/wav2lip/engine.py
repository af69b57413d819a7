"""Wav2Lip live: what depends on the avatar alone is computed once, and only what is pasted is drawn."""

import copy
from collections.abc import Generator as Steps
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.avatar import Avatar
from models.engine import MelWindow, RenderRequest, finish
from models.wav2lip.fold import fold_norms, preferred_dtype
from models.wav2lip.network import Generator, laid_over
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.region import LEVELS, Cutout
from models.wav2lip.weights import ASSET, GeneratorInfo, load_generator
from models.wav2lip.windows import WINDOW_COLUMNS

_PREPARE_BATCH = 4


@dataclass(frozen=True)
class PreparedAvatar:
    """An avatar as the generator needs it: what the face encoder says about each idle frame."""

    cutout: Cutout
    """The part of the crop that the mask pastes."""
    features: list[Tensor]
    """One (frames, c, h, w) tensor a level; the outer levels as uint8 multiples of ``steps``."""
    steps: list[Tensor | None]
    """(frames, c, 1, 1): the value of one uint8 step, or None where features are stored as they are."""
    idle: Tensor
    """(frames, 3, h, w) uint8: the part of the idle crops over which the pictures are laid."""

    def __len__(self) -> int:
        return len(self.features[0])

    def idle_frame(self, index: int) -> Tensor:
        """(3, h, w) uint8 of idle frame ``index`` (modulo the loop)."""
        return self.idle[index % len(self)]

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""
        return sum(held.element_size() * held.nelement() for held in (*self.features, self.idle))


class Wav2LipEngine:
    """Draws mouths from mel windows. Holds weights only: calls may mix sessions and avatars freely.

    Threads are the caller's affair (``torch.set_num_threads``); the figures hold for one.
    """

    name = "wav2lip"

    def __init__(self, generator: Generator, info: GeneratorInfo, dtype: torch.dtype | None = None) -> None:
        self.info = info
        self.dtype = dtype or preferred_dtype()
        self.window = MelWindow(columns=WINDOW_COLUMNS, lead_columns=info.lead_columns)
        folded = fold_norms(copy.deepcopy(generator).eval()).requires_grad_(False)
        self._fold = generator.fold
        # The face encoder runs once an avatar, so it can afford full precision.
        self._face_encoder = folded.face_encoder_blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._audio_encoder = self._fast(folded.audio_encoder)
        self._decoder = [self._fast(block) for block in folded.face_decoder_blocks]
        self._output = self._fast(folded.output_block)

    def _fast(self, module: nn.Module) -> nn.Module:
        return module.to(self.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def prepare(self, avatar: Avatar) -> PreparedAvatar:
        """Encode every idle frame's face: some 5 ms a frame."""
        return finish(self.preparation(avatar))

    @torch.inference_mode()
    def preparation(self, avatar: Avatar) -> Steps[None, None, PreparedAvatar]:
        """``prepare`` in steps of a few frames."""
        size = self.info.size
        cutout = Cutout.of_mask(avatar.mask, size)
        features: list[Tensor] = []
        steps: list[Tensor | None] = []
        rows, columns = (slice(span.start, span.stop) for span in (cutout.drawn.rows, cutout.drawn.columns))
        idle = []
        for first in range(0, len(avatar), _PREPARE_BATCH):
            indices = range(first, min(first + _PREPARE_BATCH, len(avatar)))
            crops = np.stack([scaled_crop(avatar.crop_rgb(i), size) for i in indices])
            if self.info.colour == "bgr":
                crops = np.ascontiguousarray(crops[..., ::-1])
            idle.append(torch.from_numpy(crops[:, rows, columns].copy()).permute(0, 3, 1, 2))
            for level, feature in enumerate(self._encode(crops)[::-1]):
                kept = cutout.cut(feature, level)
                if first == 0:
                    features.append(self._store(len(avatar), kept, level))
                    steps.append(self._step_store(len(avatar), kept, level))
                _keep(kept, slice(first, first + len(kept)), features[level], steps[level])
            yield
        return PreparedAvatar(cutout, features, steps, torch.cat(idle))

    def new_state(self) -> None:
        """The generator remembers nothing from frame to frame."""
        return None

    @torch.inference_mode()
    def render(self, requests: Sequence[RenderRequest]) -> list[NDArray[np.uint8]]:
        """One RGB crop (size, size, 3) a request; black where the avatar's mask hides it."""
        pictures: list[NDArray[np.uint8] | None] = [None] * len(requests)
        for indices in _alike(requests):
            group = [requests[index] for index in indices]
            for index, picture in zip(indices, self._render_alike(group), strict=True):
                pictures[index] = picture
        return cast(list[NDArray[np.uint8]], pictures)

    def _encode(self, crops: NDArray[np.uint8]) -> list[Tensor]:
        whole = torch.from_numpy(crops).permute(0, 3, 1, 2).float() / 255
        masked = whole.clone()
        masked[:, :, self.info.size // 2 :] = 0
        x = torch.cat((masked, whole), dim=1)
        x = functional.pixel_unshuffle(x, self._fold).contiguous(memory_format=torch.channels_last)
        features = []
        for block in self._face_encoder:
            x = block(x)
            features.append(x)
        return features

    def _is_byte(self, level: int) -> bool:
        """The two outermost levels hold most of the bytes and the least of the say."""
        return level >= len(LEVELS) - 2

    def _store(self, frames: int, like: Tensor, level: int) -> Tensor:
        exact = torch.float16 if self.dtype == torch.float32 else self.dtype
        dtype = torch.uint8 if self._is_byte(level) else exact
        return torch.empty((frames, *like.shape[1:]), dtype=dtype, memory_format=torch.channels_last)

    def _step_store(self, frames: int, like: Tensor, level: int) -> Tensor | None:
        return torch.empty((frames, like.shape[1], 1, 1), dtype=self.dtype) if self._is_byte(level) else None

    def _render_alike(self, requests: Sequence[RenderRequest]) -> list[NDArray[np.uint8]]:
        cutout: Cutout = requests[0].prepared.cutout
        embedding = self._audio_encoder(self._mels(requests))
        features = (self._features(requests, level) for level in range(len(self._decoder)))
        drawn = cutout.decode(self._decoder, self._output, embedding, features)
        idle = torch.stack([request.prepared.idle_frame(request.avatar_frame) for request in requests])
        shown = laid_over(drawn.float(), idle.float().div_(255)).mul_(255).round_().to(torch.uint8)
        pixels = shown.permute(0, 2, 3, 1).numpy()
        if self.info.colour == "bgr":
            pixels = pixels[..., ::-1]
        pictures = np.zeros((len(requests), self.info.size, self.info.size, 3), dtype=np.uint8)
        rows, columns = cutout.drawn.rows, cutout.drawn.columns
        pictures[:, rows.start : rows.stop, columns.start : columns.stop] = pixels
        return list(pictures)

    def _mels(self, requests: Sequence[RenderRequest]) -> Tensor:
        mels = torch.from_numpy(np.stack([request.mel for request in requests]))[:, None]
        return mels.to(dtype=self.dtype, memory_format=torch.channels_last)

    def _features(self, requests: Sequence[RenderRequest], level: int) -> Tensor:
        chosen = []
        for request in requests:
            prepared: PreparedAvatar = request.prepared
            index = request.avatar_frame % len(prepared)
            feature = prepared.features[level][index : index + 1].to(self.dtype)
            steps = prepared.steps[level]
            chosen.append(feature if steps is None else feature.mul_(steps[index : index + 1]))
        return chosen[0] if len(chosen) == 1 else torch.cat(chosen)


def load_engine(weights: Path | None, dtype: torch.dtype | None = None) -> Wav2LipEngine:
    """The engine with a file of weights; None takes the shipped ones.

    Raises:
        CheckpointError: the file is missing, damaged or of another architecture.
    """
    generator, info = load_generator(weights or ASSET)
    return Wav2LipEngine(generator, info, dtype)


def _keep(kept: Tensor, frames: slice, features: Tensor, steps: Tensor | None) -> None:
    """Store features as they are, or as multiples of a step that lets 255 reach each channel's peak."""
    if steps is None:
        features[frames] = kept.to(features.dtype)
        return
    steps[frames] = (kept.amax(dim=(2, 3), keepdim=True) / 255).clamp_min(1e-8).to(steps.dtype)
    shares = kept / steps[frames].float()
    features[frames] = shares.round_().clamp_(0, 255).to(torch.uint8)


def _alike(requests: Sequence[RenderRequest]) -> list[list[int]]:
    """Indices of requests that draw the same part of the picture, and so can share a batch."""
    groups: dict[Any, list[int]] = {}
    for index, request in enumerate(requests):
        groups.setdefault(request.prepared.cutout, []).append(index)
    return list(groups.values())
