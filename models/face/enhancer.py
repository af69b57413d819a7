"""Face restoration: a network of others that redraws a face sharper, run on the faces of a film.

Any ONNX file serves that takes one RGB face (1, 3, 512, 512) in [-1, 1] and gives one alike, as exports of GFPGAN
(X. Wang, Y. Li, H. Zhang and Y. Shan, "Towards Real-World Blind Face Restoration with Generative Facial Prior", CVPR
2021) and of networks after it do. Such networks were trained on faces that lie as FFHQ's do (T. Karras, S. Laine and
T. Aila, "A Style-Based Generator Architecture for Generative Adversarial Networks", CVPR 2019).
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from models.errors import CheckpointError, VisavisError

Rgb = NDArray[np.uint8]
Points = NDArray[np.float64]
FACE_PX = 512
TEMPLATE_FIVE: Points = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.02], [201.26, 371.41], [313.09, 371.15]]
)
"""(5, 2): where eye centres, nose tip and mouth corners lie in an aligned face, x right, y down, pixels."""
_FEATHER_PX = 64
"""Over the outer so many pixels of an aligned face, less and less of what is new is shown."""
_SHAPE = (1, 3, FACE_PX, FACE_PX)


def similarity(points: Points, target: Points) -> NDArray[np.float64]:
    """(2, 3): the rotation, scale and shift that bring points (n, 2) nearest to ``target``, by least squares.

    S. Umeyama, "Least-Squares Estimation of Transformation Parameters Between Two Point Patterns", IEEE Transactions
    on Pattern Analysis and Machine Intelligence 13, 1991; in the plane a complex factor and a complex shift.
    """
    z, w = (p[:, 0] + 1j * p[:, 1] for p in (points, target))
    about = z - z.mean()
    spread = float((np.abs(about) ** 2).sum())
    factor = np.vdot(about, w - w.mean()) / spread if spread else 1.0 + 0j
    shift = w.mean() - factor * z.mean()
    return np.array([[factor.real, -factor.imag, shift.real], [factor.imag, factor.real, shift.imag]])


class FaceEnhancer:
    """A restoration network, ready to run. One thread at a time."""

    def __init__(self, path: Path, *, on_gpu: bool = False) -> None:
        """Read the network; on a CPU it may use as many threads as PyTorch does now.

        Args:
            path: ONNX file.
            on_gpu: run it on a GPU, where onnxruntime can.

        Raises:
            CheckpointError: it is missing, damaged, or not of the interface this module's text describes.
            VisavisError: onnxruntime is not installed.
        """
        try:
            import onnxruntime as ort
        except ModuleNotFoundError as error:
            raise VisavisError("onnxruntime is not installed: pip install 'visavis[export]' brings it.") from error
        require_file(path)
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        wanted = ("CUDAExecutionProvider", "CPUExecutionProvider") if on_gpu else ("CPUExecutionProvider",)
        providers = [name for name in wanted if name in ort.get_available_providers()]
        try:
            self._session = ort.InferenceSession(str(path), options, providers=providers)
        except Exception as error:  # onnxruntime's errors have no common root but this
            raise CheckpointError(f"The enhancer {path.name} is damaged or no ONNX file; fetch it again.") from error
        self._name = path.name
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        if len(inputs) != 1 or len(outputs) != 1 or not all(map(_is_face, (*inputs, *outputs))):
            raise self._other(f"takes {_described(inputs)} and gives {_described(outputs)}")
        self._input = str(inputs[0].name)
        self._mask = _mask()

    def enhance(self, picture: Rgb, five: Points) -> Rgb:
        """The picture with its face restored, of the same size.

        The face is aligned by ``five``. What the network changes about it, not the face itself, is taken back and
        added, so that resampling alone changes nothing.

        Args:
            picture: RGB (h, w, 3).
            five: (5, 2) eye centres, nose tip and mouth corners in its pixels.

        Raises:
            CheckpointError: the network fails, or gives something else than a face.
        """
        to_face = similarity(five, TEMPLATE_FIVE)
        scale = float(np.hypot(*to_face[:, 0]))
        face = _warped(picture.astype(np.float32), to_face, (FACE_PX, FACE_PX), scale, cv2.BORDER_REFLECT_101)
        seen = np.clip(face, 0, 255) / np.float32(127.5) - 1
        change = (self._restored(seen) - seen) * np.float32(127.5) * self._mask
        height, width = picture.shape[:2]
        back = np.asarray(cv2.invertAffineTransform(to_face), np.float64)
        placed = _warped(change, back, (width, height), 1 / scale if scale else 0.0, cv2.BORDER_CONSTANT)
        return np.asarray(np.rint(np.clip(picture + placed, 0, 255)), np.uint8)

    def _restored(self, face: NDArray[np.float32]) -> NDArray[np.float32]:
        """(512, 512, 3) in [-1, 1] -> the same."""
        planes = np.ascontiguousarray(face.transpose(2, 0, 1)[None], np.float32)
        try:
            restored = np.asarray(self._session.run(None, {self._input: planes})[0])
        except Exception as error:  # as above
            raise self._other("fails on a face") from error
        if restored.shape != _SHAPE:
            raise self._other(f"gives {restored.shape} for a face")
        if not np.isfinite(restored).all():
            raise self._other("gives numbers that are not finite")
        return np.asarray(np.clip(restored[0].transpose(1, 2, 0), -1, 1), np.float32)

    def _other(self, found: str) -> CheckpointError:
        return CheckpointError(
            f"{self._name} is not an enhancer that can be used: it {found}. An enhancer takes one float32 picture "
            f"{_SHAPE} and gives one, as ONNX exports of GFPGAN do; choose such a file."
        )


def require_file(path: Path) -> None:
    """Raise where there is no such network.

    Raises:
        CheckpointError: it is missing.
    """
    if not path.is_file():
        raise CheckpointError(f"There is no enhancer {path.name}; name an ONNX file of a face restoration network.")


def _is_face(argument: Any) -> bool:
    """Whether an input or output of onnxruntime may be a face; sizes that it leaves open may be anything."""
    shape = argument.shape or [None] * len(_SHAPE)
    fits = len(shape) == len(_SHAPE) and all(
        not isinstance(found, int) or found == size for found, size in zip(shape, _SHAPE, strict=True)
    )
    return bool(argument.type == "tensor(float)" and fits)


def _described(arguments: list[Any]) -> str:
    return " and ".join(f"{a.name}: {a.type} ({', '.join(map(str, a.shape or ()))})" for a in arguments) or "nothing"


def _mask() -> NDArray[np.float32]:
    """(512, 512, 1): 0 at the edges, 1 from ``_FEATHER_PX`` on, without corners in between."""
    inward = np.minimum(np.arange(FACE_PX), np.arange(FACE_PX)[::-1]) / _FEATHER_PX
    ramp = np.clip(inward, 0, 1)
    smooth = ramp * ramp * (3 - 2 * ramp)
    return (smooth[:, None] * smooth)[..., None].astype(np.float32)


def _warped(
    picture: NDArray[np.float32], matrix: NDArray[np.float64], size: tuple[int, int], scale: float, border: int
) -> NDArray[np.float32]:
    """Moved to a picture of (width, height); smoothed before where that shrinks it, against aliasing."""
    if 0 < scale < 1:
        picture = np.asarray(cv2.GaussianBlur(picture, (0, 0), max((1 / scale - 1) / 2, 1e-3)), np.float32)
    # Linear: what overshoots in a face would be halos about what a network changes.
    moved = cv2.warpAffine(picture, matrix, size, flags=cv2.INTER_LINEAR, borderMode=border)
    return np.asarray(moved, np.float32)
