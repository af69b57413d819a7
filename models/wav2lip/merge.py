"""Put a trained ear and a trained face together: one generator file.

    python -m models.wav2lip.merge --ear ear.safetensors --state train/last.pt --out wav2lip.safetensors

The ear is an audio encoder whose embedding is exactly [mouth code, zeros]; the decoder was trained with the
true code in the embedding's place, so the two fit without further training. Of several states of one face, of which
one began with another's weights, the mean is taken, which keeps much of what either is better at (Wortsman et al.,
"Model soups", ICML 2022).
"""

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from models.errors import CheckpointError
from models.motion.ear import PREFIX, EarShape, read_ear
from models.wav2lip.checkpoint import load_state
from models.wav2lip.network import Generator
from models.wav2lip.weights import GeneratorInfo, save_generator


def info_of(width: float, size: int, ear: EarShape, licence: str = "Apache-2.0") -> GeneratorInfo:
    """What to say of a face of this width and size with an ear of this shape."""
    return GeneratorInfo(
        width=width,
        size=size,
        lead_columns=ear.lead_columns,
        colour="rgb",
        licence=licence,
        ear_width=ear.width,
        ear_residuals=ear.residuals,
    )


def merged(face: dict[str, Tensor], ear: dict[str, Tensor], info: GeneratorInfo) -> Generator:
    """A generator with the face's encoder and decoder and the ear's audio encoder.

    Raises:
        CheckpointError: they are not of this width and size.
    """
    generator = info.build()
    state = {name: tensor for name, tensor in face.items() if not name.startswith(PREFIX)}
    state |= {PREFIX + name: tensor for name, tensor in ear.items()}
    counters = {n: t for n, t in generator.state_dict().items() if not t.is_floating_point()}
    try:
        generator.load_state_dict(counters | state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"Ear (width {info.ear_width or info.width}) and face (width {info.width}, size {info.size}) do not fit; "
            "train the ear for this width of the face."
        ) from error
    return generator


def mean(faces: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of several faces' tensors; of those that only count, the last.

    Raises:
        CheckpointError: they are not of one shape.
    """
    shapes = [{name: tensor.shape for name, tensor in face.items()} for face in faces]
    if any(shape != shapes[0] for shape in shapes):
        raise CheckpointError("The states are of different networks, so they have no mean; give those of one width.")
    return {
        name: torch.stack([face[name] for face in faces]).mean(dim=0) if last.is_floating_point() else last
        for name, last in faces[-1].items()
    }


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m models.wav2lip.merge", description=__doc__)
    parser.add_argument("--ear", type=Path, required=True)
    parser.add_argument(
        "--state",
        type=Path,
        required=True,
        action="append",
        help="last.pt of the face's training; may be given several times",
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--licence", default="Apache-2.0")
    arguments = parser.parse_args()
    states = [load_state(path) for path in arguments.state]
    state = states[-1]
    shape, ear = read_ear(arguments.ear)
    info = info_of(float(state["width"]), int(state["size"]), shape, arguments.licence)
    save_generator(
        arguments.out, merged(mean([each["average"] for each in states]), ear, info).state_dict(), info, torch.bfloat16
    )
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB, step {state['step']}, {info}")


if __name__ == "__main__":
    main()
