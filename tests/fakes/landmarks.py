"""A model of landmarks that needs no training."""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def landmark_model(path: Path, landmarks: np.ndarray) -> Path:
    """A model of LivePortrait's kind that sees the same landmarks in every crop, (203, 2) of its side."""
    answer = numpy_helper.from_array(landmarks.astype(np.float32).reshape(1, -1), "answer")
    nodes = [helper.make_node("Identity", ["answer"], [f"o{i}"]) for i in range(3)]
    outputs = [helper.make_tensor_value_info(f"o{i}", TensorProto.FLOAT, None) for i in range(3)]
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])
    graph = helper.make_graph(nodes, "constant", [entry], outputs, [answer])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def face_landmarks(eyes: float, lips: float) -> np.ndarray:
    """203 landmarks (203, 2) in shares of a crop's side, with eyes and lips open by these ratios."""
    landmarks = np.random.default_rng(203).uniform(0.2, 0.8, (203, 2))
    for (upper, lower, left, right), center, width, ratio in (
        ((6, 18, 0, 12), (0.35, 0.4), 0.15, eyes),
        ((30, 42, 24, 36), (0.65, 0.4), 0.15, eyes),
        ((90, 102, 48, 66), (0.5, 0.7), 0.25, lips),
    ):
        half = np.array((width, width * ratio)) / 2
        landmarks[[left, right]] = np.array(center) + np.array(((-1, 0), (1, 0))) * half
        landmarks[[upper, lower]] = np.array(center) + np.array(((0, -1), (0, 1))) * half
    return landmarks.astype(np.float32)
