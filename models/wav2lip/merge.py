"""Put a trained ear and a trained face together: one generator file.

    python -m models.wav2lip.merge --ear ear.safetensors --state train/last.pt --out wav2lip.safetensors

The ear is an audio encoder whose embedding is exactly [mouth code, zeros]; the decoder was trained with the
true code in the embedding's place, so the two fit without further training.
"""

import argparse
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from models.errors import CheckpointError
from models.wav2lip.checkpoint import load_state
from models.wav2lip.network import CORE_SIZE, Generator
from models.wav2lip.weights import GeneratorInfo, save_generator

PREFIX = "audio_encoder."


def read_ear(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """An ear's tensors, keys without the prefix ``audio_encoder.``, and its metadata; of a generator, its ear's.

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(PREFIX)]  # noqa: SIM118
            tensors = {name.removeprefix(PREFIX): file.get_tensor(name).float() for name in names}
            metadata = dict(file.metadata() or {})
            if float(metadata.get("ear_width", 0)):
                metadata["width"] = metadata["ear_width"]
            return tensors, metadata
    except (SafetensorError, OSError) as error:
        raise CheckpointError(f"The ear {path} is missing or damaged; train it again.") from error


def info_of(width: float, size: int, ear: dict[str, str], licence: str = "Apache-2.0") -> GeneratorInfo:
    """What to say of a face of this width and size with an ear of this metadata."""
    return GeneratorInfo(
        width=width,
        size=size,
        lead_columns=int(ear.get("lead_columns", 8)),
        colour="rgb",
        licence=licence,
        ear_width=float(ear.get("width", 0.0)),
        ear_residuals=int(ear.get("ear_residuals", 1)),
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


def load_ear(path: Path, face_width: float) -> tuple[nn.Module, int]:
    """An ear in eval mode, for a face of this width, and the mel columns that its window leads by.

    Raises:
        CheckpointError: missing, damaged, or for a face of another width.
    """
    tensors, metadata = read_ear(path)
    info = info_of(face_width, CORE_SIZE, metadata)
    encoder = info.build().audio_encoder
    counters = {n: t for n, t in encoder.state_dict().items() if not t.is_floating_point()}
    try:
        encoder.load_state_dict(counters | tensors, strict=True)
    except RuntimeError as error:
        raise CheckpointError(f"The ear {path.name} is not for a face of width {face_width}.") from error
    return encoder, info.lead_columns


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m models.wav2lip.merge", description=__doc__)
    parser.add_argument("--ear", type=Path, required=True)
    parser.add_argument("--state", type=Path, required=True, help="last.pt of the decoder's training")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--licence", default="Apache-2.0")
    arguments = parser.parse_args()
    state = load_state(arguments.state)
    ear, metadata = read_ear(arguments.ear)
    info = info_of(float(state["width"]), int(state["size"]), metadata, arguments.licence)
    save_generator(arguments.out, merged(state["average"], ear, info).state_dict(), info, torch.bfloat16)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.1f} MB, step {state['step']}, {info}")


if __name__ == "__main__":
    main()
