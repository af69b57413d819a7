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

from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import N_MELS
from models.avatar import Avatar
from models.engine import MelWindow, RenderRequest, finish
from models.runtime.fold import fold_norms, prepack
from models.runtime.names import DeviceName, RuntimeName
from models.runtime.precision import preferred_dtype
from models.runtime.runtime import Runtime, choose
from models.runtime.scripted import Call
from models.wav2lip.network import Generator, prefiltered
from models.wav2lip.packing import Packing, Rows
from models.wav2lip.painter import Painter
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.published import load_weights
from models.wav2lip.region import Cutout
from models.wav2lip.weights import ASSET, GeneratorInfo

_PREPARE_BATCH = 4


@dataclass(frozen=True)
class PreparedAvatar:
    """An avatar as the generator needs it."""

    cutout: Cutout
    """The part of the crop that the mask pastes."""
    paint: Call
    """``Painter`` for this part."""
    halves: NDArray[np.float16]
    """(frames, a): what the face encoder says about each idle frame, see ``Rows``."""
    coarse: NDArray[np.uint8]
    """(frames, b), likewise."""

    def __len__(self) -> int:
        return len(self.halves)

    @property
    def bytes(self) -> int:
        """Memory held, in bytes."""
        return self.halves.nbytes + self.coarse.nbytes


class Wav2LipEngine:
    """Draws mouths from mel windows. Holds weights only: calls may mix sessions and avatars freely.

    Threads are the caller's affair (``torch.set_num_threads``); the figures hold for one.
    """

    name = "wav2lip"

    def __init__(
        self,
        generator: Generator,
        info: GeneratorInfo,
        dtype: torch.dtype | None = None,
        runtime: Runtime | None = None,
    ) -> None:
        self.info = info
        self.runtime = runtime or choose("scripted", "cpu")
        self.dtype = dtype or preferred_dtype(self.runtime.device)
        self.window = MelWindow(columns=WINDOW_COLUMNS, lead_columns=info.lead_columns)
        folded = fold_norms(copy.deepcopy(generator).eval()).requires_grad_(False).to(self.runtime.device)
        self._fold = generator.fold
        # The face encoder runs once an avatar, so it can afford full precision.
        self._face_encoder = folded.face_encoder_blocks.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._ear = self._fast(folded.audio_encoder)
        self._blocks = nn.ModuleList(self._fast(block) for block in folded.face_decoder_blocks)
        self._output = self._fast(folded.output_block)
        self._flow_block = self._fast(folded.flow_block) if folded.flow_block is not None else None
        self._painters: dict[Cutout, Call] = {}

    def _fast(self, module: nn.Module) -> nn.Module:
        module = module.to(self.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return prepack(module) if self.runtime.can_prepack(self.dtype) else module

    def prepare(self, avatar: Avatar) -> PreparedAvatar:
        """Encode every idle frame's face: some 5 ms a frame."""
        return finish(self.preparation(avatar))

    @torch.inference_mode()
    def preparation(self, avatar: Avatar) -> Steps[None, None, PreparedAvatar]:
        """``prepare`` in steps of a few frames."""
        size = self.info.size
        cutout = Cutout.of_mask(avatar.mask, size)
        prepared: PreparedAvatar | None = None
        for first in range(0, len(avatar), _PREPARE_BATCH):
            indices = range(first, min(first + _PREPARE_BATCH, len(avatar)))
            crops = np.stack([scaled_crop(avatar.crop_rgb(i), size, self.info.scaling) for i in indices])
            if self.info.colour == "bgr":
                crops = np.ascontiguousarray(crops[..., ::-1])
            pictures = torch.from_numpy(crops).permute(0, 3, 1, 2)
            encoded = self._encode(pictures.to(self.runtime.device))[::-1]
            features = [cutout.cut(feature, level).cpu() for level, feature in enumerate(encoded)]
            drawn_on = pictures if self._flow_block is None else _prefiltered(pictures)
            reference = cutout.reference_part(drawn_on)
            packing = Packing.of(features, reference)
            packed = packing.pack(features, reference)
            if prepared is None:
                paint = self._painter(cutout, packing, packed)
                halves, coarse = (
                    np.empty((len(avatar), part.shape[1]), part.numpy().dtype)
                    for part in (packed.halves, packed.coarse)
                )
                prepared = PreparedAvatar(cutout, paint, halves, coarse)
            prepared.halves[first : indices.stop] = packed.halves.numpy()
            prepared.coarse[first : indices.stop] = packed.coarse.numpy()
            yield
        assert prepared is not None, "an avatar has frames"
        return prepared

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

    def _encode(self, pictures: Tensor) -> list[Tensor]:
        """Face features of (n, 3, size, size) uint8 crops, outermost first."""
        whole = pictures.float() / 255
        masked = whole.clone()
        masked[:, :, self.info.size // 2 :] = 0
        x = torch.cat((masked, whole), dim=1)
        x = functional.pixel_unshuffle(x, self._fold).contiguous(memory_format=torch.channels_last)
        features = []
        for block in self._face_encoder:
            x = block(x)
            features.append(x)
        return features

    def _painter(self, cutout: Cutout, packing: Packing, example: Rows) -> Call:
        """What draws a part of the picture; avatars with the same mask share it."""
        if cutout not in self._painters:
            painter = Painter(self._ear, self._blocks, self._output, self._flow_block, cutout, packing)
            mels = torch.zeros((len(example.halves), N_MELS, WINDOW_COLUMNS))
            self._painters[cutout] = self.runtime.call(painter, mels, example.halves, example.coarse)
        return self._painters[cutout]

    def _render_alike(self, requests: Sequence[RenderRequest]) -> list[NDArray[np.uint8]]:
        prepared: PreparedAvatar = requests[0].prepared
        frames = [(request.prepared, request.avatar_frame % len(request.prepared)) for request in requests]
        inputs = (
            np.stack([request.mel for request in requests]),
            np.stack([avatar.halves[index] for avatar, index in frames]),
            np.stack([avatar.coarse[index] for avatar, index in frames]),
        )
        pixels = prepared.paint(*map(self.runtime.send, inputs)).cpu().numpy()
        if self.info.colour == "bgr":
            pixels = pixels[..., ::-1]
        pictures = np.zeros((len(requests), self.info.size, self.info.size, 3), dtype=np.uint8)
        drawn = prepared.cutout.drawn
        pictures[:, drawn.rows.start : drawn.rows.stop, drawn.columns.start : drawn.columns.stop] = pixels
        return list(pictures)


def load_engine(
    weights: Path | None,
    dtype: torch.dtype | None = None,
    runtime: RuntimeName = "auto",
    device: DeviceName = "auto",
) -> Wav2LipEngine:
    """The engine with a file of weights, our own or published; None takes the shipped ones.

    Raises:
        CheckpointError: the file is missing, damaged or of another architecture.
    """
    generator, info = load_weights(weights or ASSET)
    return Wav2LipEngine(generator, info, dtype, choose(runtime, device))


def _prefiltered(pictures: Tensor) -> Tensor:
    """``network.prefiltered`` of uint8 pictures, as such."""
    return (255 * prefiltered(pictures.float() / 255)).round_().byte()


def _alike(requests: Sequence[RenderRequest]) -> list[list[int]]:
    """Indices of requests that draw the same part of the picture, and so can share a batch."""
    groups: dict[Any, list[int]] = {}
    for index, request in enumerate(requests):
        groups.setdefault(request.prepared.cutout, []).append(index)
    return list(groups.values())
