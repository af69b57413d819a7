"""The end of a training: what is left of mouths drawn on no longer follows them, as gauges read it.

    python -m models.wav2lip.detrend --corpus DIR --avatar DIR --out wav2lip.safetensors [--weights before.safetensors]

Brought to rest, a talking face keeps a hundredth of its opening. That is less than one picture is off by chance, and a
training's batch cannot tell it, nor can its running averages (``trace.Trace``). The mean over some hundred pictures of
an avatar can, if it is asked for one number: what a gauge of the mouth's opening reads. How the generator's last two
layers, colour's and flow's, should move for that number to follow the mouths drawn on less is a gradient; they go the
shortest way on which every avatar's readings stop following, and come to nothing on average. How far is told by how
much it changes what these layers make, so what they make of speech hardly changes. The faces are those of training
corpora, the gauges' renders others.
"""

import argparse
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from models.avatar import Avatar, load_avatar
from models.errors import MediaError
from models.face.compositor import Compositor
from models.quality.controls import hushed
from models.quality.opening import FIT_RENDERS, OpeningGauge, Renders, speech_renders
from models.quality.truth import Truth
from models.runtime.precision import preferred_dtype
from models.wav2lip import objective, trace
from models.wav2lip.corpus import Corpus
from models.wav2lip.engine import Wav2LipEngine
from models.wav2lip.from_code import draw, face_features, planes
from models.wav2lip.network import Generator
from models.wav2lip.region import Cutout
from models.wav2lip.weights import ASSET, GeneratorInfo, load_generator, save_generator

_BATCH = 16
_PASSES = 2
"""The second takes back what is not linear in the first."""
_GAUGES = 3
"""Of one avatar: each reads with the chance of its own renders."""
_FIRST_SEED = 11
"""Of the gauges' renders. ``visavis bench quality`` is run with lower ones."""
_COLOUR_STEP, _FLOW_STEP = 0.3, 0.03
"""What changes a picture alike: colours and opacities before the sigmoid, and flow, of ``network.REACH_PX``."""
_EVERY = 37
"""Of the places in a picture, how many tell what comes into a layer: all would tell the same."""
_ALIKE, _AGREED = 1e-4, 1e-3
"""Of the diagonals, lest the way be long where what comes into a layer is alike, or where avatars ask for the same."""

Reader = Callable[[Tensor], Tensor]
"""Differences of drawn parts, (n, 3, h, w) in [0, 1], to what a gauge reads of each: (n,), shares of the range."""


@dataclass(frozen=True)
class Talking:
    """An avatar's faces that talk, to be brought to rest, and how what is left of their mouths is read."""

    avatar: Avatar
    renders: Renders
    gauges: Sequence[OpeningGauge]
    faces: NDArray[np.uint8]
    """(n, size, size, 3) RGB: of the renders, as the network gets them."""
    rest: NDArray[np.uint8]
    """Likewise: what they should come to."""
    cutout: Cutout
    read: Reader
    """What the gauges read, nearly, but with a gradient."""

    def __len__(self) -> int:
        return len(self.faces)

    def batches(self) -> Iterator[slice]:
        """Slices of the samples."""
        return (slice(first, first + _BATCH) for first in range(0, len(self), _BATCH))

    def told(self) -> Tensor:
        """What readings may follow, (3, n): that there is a mouth; its opening, in deviations; that squared."""
        opening = self._measured(self.renders.pictures)
        off, variance = opening - opening.mean(), opening.var()[None]
        return torch.stack([trace.told(each, variance) for each in off[:, None]], dim=1)

    def left(self, engine: Wav2LipEngine) -> Tensor:
        """What is read, (n,), where the engine draws silence on the faces: as served, rounded and coded."""
        return self._measured(hushed(engine, self.avatar, self.renders))

    def _measured(self, pictures: Iterable[NDArray[np.uint8]]) -> Tensor:
        pairs = zip(pictures, self.renders.frames.tolist(), strict=True)
        return torch.tensor(
            [
                np.mean([gauge.measure(picture, frame) / gauge.range_mm for gauge in self.gauges])
                for picture, frame in pairs
            ],
            dtype=torch.float32,
        )


def talking_faces(corpus: Corpus, avatar: Avatar, gauges: Sequence[OpeningGauge], count: int, seed: int = 1) -> Talking:
    """Some of the mouths of speech in a corpus of one avatar.

    Raises:
        MediaError: it holds none.
    """
    spoken = np.random.default_rng(seed).permutation(corpus.spoken())[:count]
    if len(spoken) < 2:
        raise MediaError("The corpus holds no mouths of speech to bring to rest; draw one with more samples.")
    frames, compositor = corpus.frame[spoken], Compositor(avatar)
    pictures = [compositor.compose(int(f), corpus.targets[s]) for f, s in zip(frames, spoken, strict=True)]
    faces = np.stack([corpus.as_seen(int(sample)) for sample in spoken])
    cutout = Cutout.of_mask(corpus.mask, corpus.size)
    renders = Renders(frames, pictures, np.full(len(spoken), np.nan))  # how far each is open is not asked
    return Talking(avatar, renders, gauges, faces, corpus.idle[frames], cutout, _reader(gauges, corpus.mask, cutout))


def _reader(gauges: Sequence[OpeningGauge], mask: NDArray[np.uint8], cutout: Cutout) -> Reader:
    rows, columns = gauges[0].region.rows, gauges[0].region.columns
    scale, drawn = cutout.size / mask.shape[0], cutout.drawn
    seen = [slice(round(part.start * scale), round(part.stop * scale)) for part in (rows, columns)]
    around = (drawn.columns.start, cutout.size - drawn.columns.stop, drawn.rows.start, cutout.size - drawn.rows.stop)
    weights = torch.from_numpy(np.mean([gauge.grid_weights / gauge.range_mm for gauge in gauges], axis=0)).float()
    paste = objective.paste_weights(mask, cutout)

    def read(difference: Tensor) -> Tensor:
        whole = functional.pad(255 * paste * difference, around)[:, :, seen[0], seen[1]]
        coarse = functional.interpolate(whole, weights.shape[:2], mode="bilinear", antialias=True)
        return torch.einsum("nchw,hwc->n", coarse, weights)

    return read


def detrend(
    generator: Generator, info: GeneratorInfo, avatars: Sequence[Talking], passes: int = _PASSES
) -> list[list[float]]:
    """Move the generator's last layers, in place, until no avatar's readings follow the mouths drawn on.

    Returns:
        Before each pass, and after the last, each avatar's correlation of readings and openings.
    """
    if generator.flow_block is None:
        raise ValueError("A generator of size 96 draws whole faces: there is nothing that it draws upon.")
    layers = cast(list[nn.Conv2d], [generator.output_block[1], generator.flow_block[-1]])
    metrics = _metrics(generator, layers, avatars)
    told = [avatar.told() for avatar in avatars]
    history: list[list[float]] = []
    for number in range(passes + 1):
        engine = Wav2LipEngine(generator, info)
        left = [avatar.left(engine) for avatar in tqdm(avatars, desc=f"Measure {number}", unit="avatar")]
        pairs = list(zip(told, left, strict=True))
        history.append([float(torch.corrcoef(torch.stack((each[1], read)))[0, 1]) for each, read in pairs])
        if number < passes:
            work = tqdm(zip(avatars, told, strict=True), total=len(avatars), desc=f"Move {number}", unit="avatar")
            gradients = [gradient for avatar, each in work for gradient in _gradients(generator, layers, avatar, each)]
            _step(layers, metrics, gradients, torch.cat([each @ read / len(read) for each, read in pairs]))
    return history


def _gradients(generator: Generator, layers: Sequence[nn.Conv2d], avatar: Talking, told: Tensor) -> list[list[Tensor]]:
    """Of how readings follow each thing told, (out, in + 1) a layer."""
    parameters = [p for layer in layers for p in (layer.weight, cast(nn.Parameter, layer.bias))]
    sums = [[torch.zeros_like(p) for p in parameters] for _ in told]
    for batch in avatar.batches():
        read = _reading(generator, avatar, batch)
        for along, each in zip(told[:, batch], sums, strict=True):
            gradient = torch.autograd.grad(along @ read / len(avatar), parameters, retain_graph=True)
            for total, part in zip(each, gradient, strict=True):
                total += part
    return [[_joined(*each[:2]), _joined(*each[2:])] for each in sums]


def _joined(weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat((weight.flatten(1), bias[:, None]), dim=1)


def _reading(generator: Generator, avatar: Talking, batch: slice) -> Tensor:
    """What is read, (n,), of what silence leaves of the batch's mouths."""
    whole = planes(avatar.faces[batch])
    with torch.no_grad():
        features = face_features(generator, avatar.cutout, whole)
    silence = torch.zeros(len(whole), 1)
    with torch.autocast("cpu", torch.bfloat16, enabled=preferred_dtype() is torch.bfloat16):
        drawn = draw(generator, avatar.cutout, silence, features, whole).picture
    return avatar.read(drawn - avatar.cutout.drawn_part(planes(avatar.rest[batch])))


@torch.no_grad()
def _metrics(generator: Generator, layers: Sequence[nn.Conv2d], avatars: Sequence[Talking]) -> list[Tensor]:
    """For each layer (in + 1, in + 1), the inverse of how far a change of its weights changes what it makes."""
    moments = [torch.zeros(2 * (layer.weight[0].numel() + 1,), dtype=torch.float64) for layer in layers]

    def note(index: int, layer: nn.Conv2d, entering: Tensor) -> None:
        rows = functional.unfold(entering.float(), layer.kernel_size, padding=layer.padding)  # type: ignore[arg-type]
        rows = rows.transpose(1, 2).flatten(0, 1)[::_EVERY].double()
        rows = torch.cat((rows, torch.ones(len(rows), 1)), dim=1)
        moments[index] += rows.T @ rows / len(rows)

    hooks = [
        layer.register_forward_pre_hook(lambda layer, inputs, index=index: note(index, layer, inputs[0]))
        for index, layer in enumerate(layers)
    ]
    for avatar in avatars:
        _reading(generator, avatar, next(avatar.batches()))
    for hook in hooks:
        hook.remove()
    metrics = []
    for step, moment in zip((_COLOUR_STEP, _FLOW_STEP), moments, strict=True):
        moment /= len(avatars)
        ridged = moment + _ALIKE * moment.diagonal().mean() * torch.eye(len(moment))
        metrics.append((step**2 * torch.linalg.inv(ridged)).float())
    return metrics


@torch.no_grad()
def _step(
    layers: Sequence[nn.Conv2d], metrics: Sequence[Tensor], gradients: Sequence[Sequence[Tensor]], follows: Tensor
) -> None:
    """The shortest step, to first order, after which nothing follows."""
    ways = [[part @ metric for part, metric in zip(each, metrics, strict=True)] for each in gradients]
    gram = torch.tensor(
        [[sum(float((a * b).sum()) for a, b in zip(one, other, strict=True)) for other in ways] for one in gradients]
    )
    shares = torch.linalg.solve(gram + _AGREED * gram.diagonal().mean() * torch.eye(len(gram)), follows)
    for index, layer in enumerate(layers):
        change = torch.stack([share * way[index] for share, way in zip(shares, ways, strict=True)]).sum(dim=0)
        layer.weight -= change[:, :-1].view_as(layer.weight)
        cast(nn.Parameter, layer.bias).sub_(change[:, -1])
        for parameter in layer.parameters():
            parameter.copy_(parameter.bfloat16())  # as they are stored, and so served


def _subject(folder: Path, avatar: Avatar, count: int) -> Talking:
    corpus, truth = Corpus([(folder, avatar)]), Truth(avatar)
    seeds = range(_FIRST_SEED, _FIRST_SEED + _GAUGES)
    gauges = [OpeningGauge(avatar, speech_renders(truth, len(avatar), FIT_RENDERS, seed)) for seed in seeds]
    return talking_faces(corpus, avatar, gauges, count)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m models.wav2lip.detrend",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--corpus", type=Path, required=True, action="append", help="of an avatar; may be given again")
    parser.add_argument("--avatar", type=Path, required=True, action="append", help="its folder, once for each corpus")
    parser.add_argument("--weights", type=Path, default=ASSET, help="a generator of ours; the shipped one")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=1000, help="talking faces of each avatar")
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    if len(arguments.corpus) != len(arguments.avatar):
        parser.error("give one --avatar for every --corpus")
    torch.set_num_threads(arguments.threads)
    generator, info = load_generator(arguments.weights)
    generator = generator.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    pairs = zip(arguments.corpus, arguments.avatar, strict=True)
    subjects = [_subject(folder, load_avatar(path), arguments.count) for folder, path in pairs]
    for number, correlations in enumerate(detrend(generator, info, subjects)):
        print(f"after {number} passes: " + " ".join(f"{value:+.3f}" for value in correlations), flush=True)
    save_generator(arguments.out, generator.state_dict(), info)


if __name__ == "__main__":
    main()
