"""The published model of 203 facial landmarks (``landmark.onnx``), which refines points it is given."""

from pathlib import Path

import numpy as np

from models.errors import CheckpointError, VisavisError
from models.liveportrait.crop import Square, cut, move_points
from models.liveportrait.landmarks import COUNT, Points
from models.liveportrait.pixels import Picture

_SIDE_PX = 224
_SCALE, _SHIFT_Y = 1.5, -0.1
_OF_HEAD, _DOWN = 0.65, 0.06
"""Where that square lies in one about the whole head: side, and how much lower; from what both are to landmarks."""
_INPUT, _OUTPUT = "input", 2


class LandmarkModel:
    """Finds 203 landmarks near points already known: a detector's, or the last frame's."""

    def __init__(self, path: Path) -> None:
        """Read the model.

        Raises:
            CheckpointError: it is missing, damaged, or another model.
            VisavisError: onnxruntime is not installed.
        """
        try:
            import onnxruntime as ort
        except ModuleNotFoundError as error:
            raise VisavisError("onnxruntime is not installed: pip install 'visavis[export]' brings it.") from error
        if not path.is_file():
            raise CheckpointError(f"There is no landmark model at {path}; fetch landmark.onnx of KwaiVGI/LivePortrait.")
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's errors have no common root but this
            raise CheckpointError(f"The landmark model {path} is damaged; fetch it again.") from error
        outputs = self._session.get_outputs()
        if [i.name for i in self._session.get_inputs()] != [_INPUT] or len(outputs) <= _OUTPUT:
            raise CheckpointError(f"{path} is not the landmark model; fetch landmark.onnx of KwaiVGI/LivePortrait.")
        self._output = outputs[_OUTPUT].name

    def find(self, picture: Picture, near: Points) -> Points:
        """Landmarks (203, 2) in a picture's pixels.

        Args:
            picture: RGB (h, w, 3).
            near: points of the same face, of any layout ``landmarks.axis_points`` knows.

        Raises:
            CheckpointError: the model gives other than 203 points.
        """
        return self._look(picture, Square.about(near, _SCALE, 0.0, _SHIFT_Y))

    def find_in(self, picture: Picture, head: Square) -> Points:
        """As ``find``, with nothing known but a square from hair to shoulders: a first look tells where to look.

        Raises:
            CheckpointError: the model gives other than 203 points.
        """
        down = np.array((0, _DOWN * head.size_px), np.float32)
        first = self._look(picture, Square(head.center + down, _OF_HEAD * head.size_px, head.angle_rad))
        return self.find(picture, first)

    def _look(self, picture: Picture, square: Square) -> Points:
        crop = cut(picture, square, side_px=_SIDE_PX)
        planes = crop.picture.astype(np.float32).transpose(2, 0, 1)[None] / np.float32(255)
        found = np.asarray(self._session.run([self._output], {_INPUT: planes})[0], np.float32)
        if found.size != 2 * COUNT:
            raise CheckpointError(f"The landmark model gives {found.size // 2} points, not {COUNT}; fetch it again.")
        return move_points(found.reshape(COUNT, 2) * _SIDE_PX, crop.to_picture)


def check(path: Path) -> str:
    """What a file holds, read whole and tried on a picture.

    Raises:
        CheckpointError: it is damaged, or another model.
        VisavisError: onnxruntime is not installed.
    """
    grey = np.full((_SIDE_PX, _SIDE_PX, 3), 128, np.uint8)
    LandmarkModel(path)._look(grey, Square(np.full(2, _SIDE_PX / 2, np.float32), _SIDE_PX, 0.0))
    return f"LivePortrait's landmark model, {COUNT} points"
