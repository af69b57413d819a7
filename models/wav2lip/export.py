"""The generator as an ONNX file, for phones and other runtimes; every file is checked against PyTorch.

Inputs ``mel`` (n, 1, 80, 16) and ``face`` (n, 6, size, size), output ``picture`` (n, 3, size, size), as
``Generator.forward``'s, float32, any n. The file's metadata says what else its user must know.
"""

import copy
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.aside import written_aside
from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import N_MELS, mel_spectrogram
from models.avatar import Avatar
from models.errors import CheckpointError, VisavisError
from models.runtime.fold import fold_norms
from models.wav2lip.network import Generator
from models.wav2lip.pixels import face_input, scaled_crop
from models.wav2lip.weights import GeneratorInfo

OPSET = 17
FLOAT_BOUND = 0.1
"""Most that any value of a float32 file's picture may be off, of 255."""
INT8_MEAN_BOUND, INT8_HIGH_BOUND = 0.5, 10.0
"""Most that an int8 file's picture may be off on average, and at the 99.9th percentile, of 255."""

_CALIBRATION_SAMPLES, _CHECK_SAMPLES = 32, 12
# What stays float32. The ear is a tenth of the work and the mouth's shape hangs on it; outer levels make the pixels,
# and their rounding is seen: with only the outermost in float32 the shipped weights' error is 2.5 times as large. Flow
# moves edges: in int8, with the level it is made from, the error is 3.5 times as large.
_KEPT_FLOAT = (
    "/audio_encoder/",
    *(f"/face_encoder_blocks.{level}/" for level in (0, 1, 2, 3)),
    *(f"/face_decoder_blocks.{level}/" for level in (3, 4, 5, 6)),
    "/flow_block/",
    "/output_block/",
    "/Conv",  # of network.prefiltered: what stays the reference's own must stay so to the pixel
)

Sample = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class PictureError:
    """How far pictures are from PyTorch's in float32, in steps of 255."""

    mean: float
    high: float
    """99.9th percentile."""
    most: float

    def __str__(self) -> str:
        return f"mean {self.mean:.3g}, 99.9th percentile {self.high:.3g}, largest {self.most:.3g} of 255"


def samples(info: GeneratorInfo, avatar: Avatar, sound: NDArray[np.float32]) -> Iterator[Sample]:
    """Inputs without end: frames of an avatar's loop with windows of a sound (n,) at 16 kHz.

    Raises:
        VisavisError: the sound is shorter than a window.
    """
    mel = mel_spectrogram(sound)
    starts = mel.shape[1] - WINDOW_COLUMNS
    if starts < 1:
        raise VisavisError("The speech is shorter than 0.2 s; give a few seconds of it.")
    rng = np.random.default_rng(0)
    while True:
        crop = scaled_crop(avatar.crop_rgb(int(rng.integers(len(avatar)))), info.size, info.scaling)
        crop = crop[..., ::-1] if info.colour == "bgr" else crop
        start = int(rng.integers(starts))
        yield {"mel": mel[None, None, :, start : start + WINDOW_COLUMNS], "face": face_input(crop, crop)[None]}


def export(
    generator: Generator,
    info: GeneratorInfo,
    target: Path,
    inputs: Iterator[Sample],
    say: Callable[[str], None],
    int8: bool = False,
    force: bool = False,
) -> PictureError:
    """Write a generator as ONNX, in float32 or with its convolutions in int8.

    Args:
        generator: float32, in eval mode.
        info: goes into the file's metadata.
        target: the file to write; nothing is left there where the check fails.
        inputs: what it will be fed; int8 is calibrated with the first, and all is checked with later ones.
        say: told the error.
        int8: quantise.
        force: write an int8 file whose error is over the bounds too.

    Returns:
        The error of the file written.

    Raises:
        VisavisError: onnx or onnxruntime is not installed.
        CheckpointError: the error is over the bounds.
    """
    _require()
    known = [next(inputs) for _ in range(_CALIBRATION_SAMPLES if int8 else 0)]
    unseen = [next(inputs) for _ in range(_CHECK_SAMPLES)]
    with tempfile.TemporaryDirectory(prefix="visavis-export-") as folder:
        made = Path(folder) / "float32.onnx"
        _trace(generator, info, made)
        error = difference(generator, made, unseen)
        say(f"float32 against PyTorch: {error}")
        if not error.most <= FLOAT_BOUND:
            raise CheckpointError(f"The ONNX file draws other pictures than PyTorch ({error}), so it was not written.")
        if int8:
            made = _quantised(made, Path(folder) / "int8.onnx", known)
            error = difference(generator, made, unseen)
            say(f"int8 against PyTorch: {error}")
            _refuse_coarse(error, force)
        _finish(made, target, asdict(info) | {"precision": "int8" if int8 else "float32", "error_of_255": str(error)})
    return error


def difference(generator: Generator, path: Path, inputs: Sequence[Sample]) -> PictureError:
    """An ONNX file's pictures against a generator's, on these inputs."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    off = []
    for sample in inputs:
        with torch.inference_mode():
            expected = generator(torch.from_numpy(sample["mel"]), torch.from_numpy(sample["face"])).numpy()
        off.append(255 * np.abs(session.run(["picture"], sample)[0] - expected))
    return PictureError(*(float(value) for value in (np.mean(off), np.percentile(off, 99.9), np.max(off))))


def _require() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
    except ModuleNotFoundError as error:
        raise VisavisError(f"Exporting needs {error.name}: pip install 'visavis[export]' brings it.") from error


def _trace(generator: Generator, info: GeneratorInfo, path: Path) -> None:
    folded = fold_norms(copy.deepcopy(generator).eval())
    example = (torch.zeros(2, 1, N_MELS, WINDOW_COLUMNS), torch.zeros(2, 6, info.size, info.size))
    names = ["mel", "face", "picture"]
    with warnings.catch_warnings(action="ignore"), torch.inference_mode():
        # The tracing exporter: the newer one needs one more package, and writes the same graph.
        torch.onnx.export(
            folded,
            example,
            path,
            input_names=names[:2],
            output_names=names[2:],
            dynamic_axes={name: {0: "n"} for name in names},
            opset_version=OPSET,
            dynamo=False,
        )


def _quantised(source: Path, target: Path, known: Sequence[Sample]) -> Path:
    """Static quantisation: weights in int8 a channel, activations in uint8 a tensor, as spread as in ``known``."""
    import onnx
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self._left = iter(known)

        def get_next(self) -> Any:
            return next(self._left, None)

    simplified = source.with_stem("simplified")
    quant_pre_process(source, simplified, skip_symbolic_shape=True)
    nodes = [node.name for node in onnx.load(simplified).graph.node]
    quantize_static(
        simplified,
        target,
        Reader(),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        op_types_to_quantize=["Conv", "ConvTranspose"],
        nodes_to_exclude=[name for name in nodes if name.startswith(_KEPT_FLOAT)],
    )
    return target


def _refuse_coarse(error: PictureError, force: bool) -> None:
    if error.mean <= INT8_MEAN_BOUND and error.high <= INT8_HIGH_BOUND or force:
        return
    raise CheckpointError(
        f"In int8 the picture is off by {error}; the bounds are {INT8_MEAN_BOUND} and, at the 99.9th percentile, "
        f"{INT8_HIGH_BOUND:.0f}. Export without --int8, calibrate with --speech FILE, or add --force to take it so."
    )


def _finish(made: Path, target: Path, metadata: dict[str, Any]) -> None:
    """Put the metadata in and the file in its place, at once."""
    import onnx

    model = onnx.load(made)
    onnx.helper.set_model_props(model, {key: str(value) for key, value in metadata.items()})
    onnx.checker.check_model(model)
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_aside(target) as aside:
        onnx.save(model, aside)
