"""``visavis face``: the open face model, fitted to the face of a photo."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from models.aside import written_aside
from models.errors import MediaError, VisavisError
from server.own_avatars import parse_box

if TYPE_CHECKING:
    from models.sadtalker.photo_fit import Finder

_ENDINGS = (".png", ".jpg", ".jpeg")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    fit = actions.add_parser("fit", help="fit the open face model to a photo")
    fit.add_argument("photo", type=Path, help="photo of one face")
    fit.add_argument(
        "--landmarks",
        type=Path,
        metavar="FILE",
        help="68 lines, x and y in the photo's pixels, in the order of 300-W (default: the eyes that are found, which "
        "tell where the face is, but not its shape)",
    )
    fit.add_argument(
        "--landmark-model",
        type=Path,
        metavar="ONNX",
        help="LivePortrait's landmark.onnx finds the corners of eyes and lips; pip install 'visavis[export]'",
    )
    fit.add_argument("--box", metavar="X0,Y0,X1,Y1", help="which face, forehead to chin, in pixels")
    fit.add_argument(
        "--noise", type=float, default=1.0, metavar="PX", help="how far landmarks may be off (%(default)s)"
    )
    fit.add_argument("--preview", type=Path, metavar="FILE", help="write a sheet (JPEG or PNG) that shows the fit")
    fit.add_argument("--json", type=Path, metavar="FILE", help="write all 257 coefficients to this file")
    fit.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Fit and print; errors are raised as VisavisError."""
    from models.sadtalker.open_face import open_face
    from models.sadtalker.photo_fit import fit_photo, read_landmarks, sheet

    if args.preview and args.preview.suffix.lower() not in _ENDINGS:
        raise VisavisError(f"The preview {args.preview.name} must end in {', '.join(_ENDINGS)}.")
    if not 0 < args.noise <= 50:
        raise VisavisError(f"--noise takes pixels, more than 0 and up to 50, not {args.noise:g}.")
    model = open_face()
    if args.landmarks and args.landmark_model:
        raise VisavisError("Landmarks are given or found; name --landmarks or --landmark-model, not both.")
    finder = _finder(args.landmark_model) if args.landmark_model else None
    landmarks = read_landmarks(args.landmarks) if args.landmarks else finder
    box = parse_box(args.box) if args.box else None
    fitted = fit_photo(model, args.photo, landmarks, box, args.noise)
    if args.preview:
        _write(args.preview, _encoded(args.preview, sheet(model, fitted)))
    if args.json:
        _write(args.json, json.dumps([round(float(value), 6) for value in fitted.fit.coefficients]).encode())
    x, y, z = np.rad2deg(fitted.fit.coefficients[224:227])
    shape = (
        f"{fitted.fit.error_px:.2f} px from its landmarks" if fitted.is_shaped else "shape and expression the mean's"
    )
    print(f"{args.photo.name}: turned by {x:.1f}, {y:.1f}, {z:.1f} degrees about x, y, z; {shape}")
    return 0


def _finder(path: Path) -> "Finder":
    from models.liveportrait.landmark_model import LandmarkModel
    from models.liveportrait.landmarks import to_68

    model = LandmarkModel(path)

    def find(picture: NDArray[np.uint8], near: NDArray[np.float64]) -> NDArray[np.float64]:
        return to_68(model.find(picture, near.astype(np.float32))).astype(np.float64)

    return find


def _encoded(path: Path, picture: NDArray[np.uint8]) -> bytes:
    done, content = cv2.imencode(path.suffix.lower(), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    assert done, "a picture of this size can always be written"
    return content.tobytes()


def _write(path: Path, content: bytes) -> None:
    try:
        with written_aside(path) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error.strerror}; check the folder and the space left.") from error
