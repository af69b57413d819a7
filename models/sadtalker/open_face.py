"""The open face basis: a face model of our own, in the layout of the one that nobody may pass on.

``models.studio.face_basis`` builds it from CC0 shapes and says what its coefficients are. Its units and axes are
those of ``face_model``.
"""

from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np

from models.errors import CheckpointError
from models.sadtalker.face_model import FaceModel

ASSET = Path(__file__).parent.parent / "assets" / "face_basis.npz"


@cache
def open_face(path: Path = ASSET) -> FaceModel:
    """Read the basis.

    Raises:
        CheckpointError: missing or damaged.
    """
    try:
        with np.load(path) as data:
            arrays = {name: data[name] for name in data}
            model = FaceModel.from_arrays(arrays)
    except FileNotFoundError as error:
        raise CheckpointError(
            f"The face basis {path.name} is missing; python -m models.studio.face_basis builds it."
        ) from error
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise CheckpointError(
            f"The face basis {path.name} is damaged ({error}); python -m models.studio.face_basis builds it anew."
        ) from error
    # Its origin is the alignment's and not its vertices' centre, which lies low: the mouth has most of them.
    return replace(model, mean_shape=np.asarray(arrays["meanshape"], np.float32).reshape(-1, 3))
