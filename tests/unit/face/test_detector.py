import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from models.face.detector import FaceDetector, face_of_box, overlap
from models.face.pictures import Limits, read_clip, read_photo
from models.face.placement import blend_mask, even_boxes, place
from models.wav2lip.region import Cutout
from tests.unit.face.faces import ada, portrait

MEDIA = Path(__file__).parents[4] / "shared" / "media"
MOUTH_AND_CHIN = {
    "portrait_cartoon.jpg": ((428, 615), 745),
    "portrait_painting.png": ((258, 303), 354),
    "portrait_photolike.png": ((438, 551), 652),
    "driving_clip.mp4": ((237, 364), 418),
}
"""Middle of the lips and the chin's row, as read off the (first) picture."""


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return FaceDetector()


@pytest.mark.parametrize("index", [0, 60, 130])
def test_crop_lies_where_the_studio_puts_it(detector: FaceDetector, index: int) -> None:
    centre, side = place(detector.find(portrait(index))[0])
    x0, y0, x1, y1 = ada().boxes[index]
    assert np.abs(centre - ((x0 + x1) / 2, (y0 + y1) / 2)).max() < 10
    assert abs(side / (x1 - x0) - 1) < 0.06


@pytest.mark.media
@pytest.mark.parametrize("name", MOUTH_AND_CHIN)
def test_mouth_and_chin_lie_in_the_drawn_half(detector: FaceDetector, name: str) -> None:
    path = MEDIA / name
    if not path.is_file():
        pytest.skip(f"{path} is not here: development media are laid beside the checkout")
    picture = read_photo(path, Limits()) or next(read_clip(path, Limits()))
    faces = detector.find(picture.rgb)
    assert len(faces) == 1
    centre, side = place(faces[0])
    mouth, chin = MOUTH_AND_CHIN[name]
    across, down = (np.array(mouth) - centre) / side + 0.5
    assert 0.42 < across < 0.58
    assert 0.55 < down < 0.72
    assert down + 0.05 < (chin - centre[1]) / side + 0.5 < 0.9


def test_turned_head_is_found(detector: FaceDetector) -> None:
    upright = place(detector.find(portrait())[0])
    turn = cv2.getRotationMatrix2D((256, 256), 25, 1.0)
    tilted = cv2.warpAffine(portrait(), turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    centre, side = place(detector.find(tilted)[0])
    assert np.abs(centre - turn @ np.array([*upright[0], 1.0])).max() < 20
    assert abs(side / upright[1] - 1) < 0.15


def test_no_face_in_noise_nor_in_a_bystanders_size(detector: FaceDetector) -> None:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (24, 24, 3), dtype=np.uint8)
    assert detector.find(cv2.resize(coarse, (600, 600), interpolation=cv2.INTER_CUBIC)) == []
    scene = np.full((512, 700, 3), 128, np.uint8)
    scene[:, :512] = portrait()
    scene[300:450, 540:690] = cv2.resize(portrait(60), (150, 150), interpolation=cv2.INTER_AREA)
    assert len(detector.find(scene)) == 1


def test_next_frame_is_found_near(detector: FaceDetector) -> None:
    face = detector.find(portrait())[0]
    moved = np.roll(portrait(4), (6, -9), axis=(0, 1))
    near = detector.find_near(moved, face)
    assert near is not None
    assert np.abs(place(near)[0] - place(face)[0] - (-9, 6)).max() < 8
    assert detector.find_near(np.zeros_like(moved), face) is None


def test_mask_shows_the_mouth_and_shares_a_batch_with_the_shipped_avatars() -> None:
    mask = blend_mask()
    assert mask.shape == (288, 288)
    assert mask[200, 144] == 255
    assert not mask[: 288 // 2 - 10].any()
    assert Cutout.of_mask(mask, 288) == Cutout.of_mask(ada().mask, 288)


def test_boxes_are_even_and_inside() -> None:
    boxes = even_boxes(np.array([[50.3, 49.0], [0.0, 400.0]]), 80, 320, 240)
    assert json.loads(json.dumps(boxes.tolist())) == [[10, 8, 90, 88], [0, 160, 80, 240]]


def test_overlap_and_a_box_without_a_face() -> None:
    assert overlap((0, 0, 10, 10), (0, 5, 10, 15)) == pytest.approx(1 / 3)
    assert overlap((0, 0, 10, 10), (10, 0, 20, 10)) == 0
    face = face_of_box((100, 100, 200, 200))
    assert face.eyes[:, 1].tolist() == [140, 140]
    assert face.eyes[:, 0].mean() == 150
