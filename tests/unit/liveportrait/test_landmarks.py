"""Landmarks: ratios, crops of any layout, and the ONNX model's way from picture to crop and back."""

from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from models.errors import CheckpointError, MediaError
from models.liveportrait.crop import NETWORK_PX, Square, cut, move_points, paste, paste_mask, place_mask, source_square
from models.liveportrait.landmark_model import LandmarkModel
from models.liveportrait.landmarks import axis_points, eye_ratios, lip_ratios
from tests.unit.liveportrait.networks import faces, points


def turned(landmarks: np.ndarray, degrees: float, center: float = 256) -> np.ndarray:
    matrix = np.vstack((cv2.getRotationMatrix2D((center, center), -degrees, 1.3), (0, 0, 1)))
    return move_points(landmarks, matrix.astype(np.float32))


def model(path: Path, count: int = 203, outputs: int = 3) -> Path:
    """A model whose answer depends on the picture: every point is (mean red, mean green) of the crop."""
    kinds = [helper.make_tensor_value_info(f"o{i}", TensorProto.FLOAT, None) for i in range(outputs)]
    shape = onnx.numpy_helper.from_array(np.array([1, count], np.int64), "tiles")
    chosen = onnx.numpy_helper.from_array(np.array([0, 1], np.int64), "chosen")
    nodes = [
        helper.make_node("ReduceMean", ["input"], ["means"], axes=[2, 3], keepdims=0),
        helper.make_node("Gather", ["means", "chosen"], ["pair"], axis=1),
        *(helper.make_node("Tile", ["pair", "tiles"], [f"o{i}"]) for i in range(outputs)),
    ]
    entry = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, 224, 224])
    graph = helper.make_graph(nodes, "means", [entry], kinds, [shape, chosen])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    return path


def test_points_come_back_through_the_turned_crop(tmp_path: Path) -> None:
    landmarks = turned(points(center=256, size=30), 25)
    picture = np.full((512, 512, 3), (51, 153, 0), np.uint8)  # 0.2 and 0.6 of the side
    found = LandmarkModel(model(tmp_path / "landmark.onnx")).find(picture, landmarks)
    square = Square.about(landmarks, 1.5, 0.0, -0.1)
    c, s = np.cos(square.angle_rad), np.sin(square.angle_rad)
    expected = square.center + square.size_px * np.array((0.2 - 0.5, 0.6 - 0.5)) @ np.array(((c, s), (-s, c)))
    assert found.shape == (203, 2)
    np.testing.assert_allclose(found, np.tile(expected, (203, 1)), atol=1e-2)


def test_a_model_that_is_missing_damaged_or_another_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"fetch landmark\.onnx"):
        LandmarkModel(tmp_path / "none.onnx")
    (tmp_path / "damaged.onnx").write_bytes(b"no model")
    with pytest.raises(CheckpointError, match="damaged"):
        LandmarkModel(tmp_path / "damaged.onnx")
    with pytest.raises(CheckpointError, match="is not the landmark model"):
        LandmarkModel(model(tmp_path / "two.onnx", outputs=2))
    with pytest.raises(CheckpointError, match="gives 106 points"):
        LandmarkModel(model(tmp_path / "few.onnx", count=106)).find(faces(1)[0], points())


def test_a_leaning_face_stands_upright_in_its_crop() -> None:
    landmarks = points(center=256, size=30)
    for degrees in (-40, -5, 0, 30, 80):
        leaning = turned(landmarks, degrees)
        square = source_square(leaning)
        upper, lower = axis_points(move_points(leaning, square.matrix()))
        assert abs(lower[0] - upper[0]) < 1e-2
        assert lower[1] > upper[1]
        unturned = np.degrees(source_square(landmarks).angle_rad)
        assert np.isclose(np.degrees(square.angle_rad) - unturned, degrees, atol=1e-2)


def test_ratios_do_not_depend_on_pose_and_tell_open_from_shut() -> None:
    landmarks = points(center=256, size=30)
    both = np.stack((landmarks, turned(landmarks, 33)))
    for ratios in (eye_ratios(both), lip_ratios(both)):
        np.testing.assert_allclose(ratios[0], ratios[1], rtol=1e-4)
    shut = landmarks.copy()
    shut[90], shut[6] = shut[102], shut[18]
    assert lip_ratios(shut[None])[0, 0] == 0
    assert eye_ratios(shut[None])[0, 0] == 0
    assert eye_ratios(shut[None])[0, 1] > 0


def test_an_unknown_layout_is_refused() -> None:
    with pytest.raises(MediaError, match="7 landmarks are of no known layout; give 203"):
        axis_points(np.zeros((7, 2), np.float32))


def test_a_crop_pasted_back_where_it_came_from_changes_little() -> None:
    coarse = cv2.GaussianBlur(faces(1, 512)[0], (0, 0), 8)
    crop = cut(coarse, source_square(turned(points(center=256, size=20), 15)))
    assert crop.network_input().shape == (NETWORK_PX, NETWORK_PX, 3)
    mask = place_mask(paste_mask(), crop.to_picture, (512, 512))
    again = paste(crop.picture, coarse, mask, crop.to_picture)
    changed = np.abs(again.astype(int) - coarse)
    assert changed[mask == 1].max() <= 1
    # At its very edge the crop is blended with what lies outside of it, which is black, at a sixteenth.
    assert changed.max() <= 5
    black = paste(np.zeros_like(crop.picture), coarse, mask, crop.to_picture)
    assert (black[mask[..., 0] == 1] == 0).all()
    np.testing.assert_array_equal(black[mask == 0], coarse[mask == 0])


def test_the_paste_mask_is_the_published_one() -> None:
    """floor(255 clip(1 - d / 16, 0, 1)), d the distance of a pixel from the square 16 ... 496."""
    mask = paste_mask()
    assert mask.shape == (512, 512, 3)
    for y, x in ((16, 16), (496, 300), (8, 256), (511, 256), (3, 5), (0, 0), (500, 505)):
        dy, dx = (max(16 - v, v - 496, 0) for v in (y, x))
        assert mask[y, x, 1] == int(255 * min(max(1 - (dx * dx + dy * dy) ** 0.5 / 16, 0), 1))
