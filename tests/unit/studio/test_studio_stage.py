import cv2
import numpy as np
import pytest

from models.studio.arkit import INDEX, MOUTH, weights
from models.studio.idle import LOOP_FRAMES, REST, idle_pose, talking_weights
from models.studio.stage import BOX_PX, Stage


def test_the_mouth_rests_through_the_whole_loop(stage: Stage) -> None:
    rest = REST[list(MOUTH)]
    for frame in range(LOOP_FRAMES):
        idle = idle_pose(frame)
        assert np.array_equal(idle.weights[list(MOUTH)], rest)
        assert stage.head.pose(idle.weights, idle.gaze).aperture < 1e-4


def test_the_loop_blinks_and_moves() -> None:
    poses = [idle_pose(frame) for frame in range(LOOP_FRAMES)]
    blink = np.array([pose.weights[INDEX["eyeBlinkLeft"]] for pose in poses])
    assert 3 <= np.count_nonzero(np.diff((blink > 0.9).astype(int)) == 1) <= 6
    assert np.ptp([pose.head_rotation[1] for pose in poses]) > 0.04
    assert np.ptp([pose.gaze[0] for pose in poses]) > 0.1


def test_the_picture_runs_over_the_seam_as_smoothly_as_beside_it(stage: Stage) -> None:
    frames = [stage.render_frame(frame).astype(int) for frame in (246, 247, 248, 249, 250, 251, 252)]
    change = [np.abs(b - a).mean() for a, b in zip(frames[:-1], frames[1:], strict=True)]
    seam = change.pop(3)
    assert 0 < seam <= 1.1 * max(change)


def test_boxes_are_even_inside_and_follow_smoothly(stage: Stage) -> None:
    boxes = stage.boxes
    assert boxes.shape == (LOOP_FRAMES, 4)
    assert (boxes % 2 == 0).all()
    assert boxes.min() >= 0
    assert boxes.max() <= 512
    assert (boxes[:, 2:] - boxes[:, :2] == BOX_PX).all()
    around = np.concatenate([boxes, boxes[:1]])
    assert np.abs(np.diff(around, axis=0)).max() <= 4


@pytest.mark.parametrize("frame", [0, 75, 150])
@pytest.mark.parametrize("who", ["stage", "leo_stage"])
def test_the_lower_half_of_the_box_holds_the_whole_open_mouth(
    request: pytest.FixtureRequest, who: str, frame: int
) -> None:
    stage: Stage = request.getfixturevalue(who)
    pose, idle = stage.pose(frame, weights(jawOpen=1.0, mouthLowerDown=0.6, mouthUpperUp=0.6))
    skin, start = stage.head.skin, stage.head.offset["skin"]
    moved = pose.vertices[start : start + len(skin.vertices)]
    front = skin.vertices[:, 2] > 0.6
    chin = front & (skin.vertices[:, 1] > -0.75) & (skin.inside < 0.1)
    chin &= skin.vertices[:, 1] - moved[:, 1] > 0.15
    shown = np.nonzero(chin | ((skin.lips > 0.5) & front))[0]
    rows = stage.renderer.project(moved[shown], idle.head_rotation, idle.breath)[:, 1] - stage.boxes[frame, 1]
    assert rows.min() >= BOX_PX // 2
    assert rows.max() < 266  # where the mask begins to fade


def test_a_mouth_of_zeros_is_the_idle_crop(stage: Stage) -> None:
    x0, y0, x1, y1 = stage.boxes[60]
    idle = stage.idle_crop(60)
    assert np.array_equal(stage.render_mouth(60, np.zeros(52, np.float32)), idle)
    assert np.array_equal(stage.render_frame(60)[y0:y1, x0:x1], idle)


def test_only_the_mouths_weights_count_and_the_upper_face_stays(stage: Stage) -> None:
    talking = stage.render_mouth(34, weights(jawOpen=0.3))
    assert np.array_equal(stage.render_mouth(34, weights(jawOpen=0.3, browInnerUp=1.0, eyeBlink=0.5)), talking)
    change = np.abs(talking.astype(int) - stage.idle_crop(34))
    assert change[:76].max() < 12
    assert change[BOX_PX // 2 :].max() > 40


def test_rounding_takes_the_smile_back() -> None:
    rounded = talking_weights(REST, weights(mouthPucker=1.0))
    assert rounded[INDEX["mouthSmileLeft"]] == 0
    assert talking_weights(REST, weights())[INDEX["mouthSmileLeft"]] == REST[INDEX["mouthSmileLeft"]]


def test_the_mask_is_feathered_and_covers_the_mouth() -> None:
    mask = Stage.blend_mask()
    assert mask.shape == (BOX_PX, BOX_PX)
    assert (mask[:140] == 0).all()
    assert not mask[[0, -1]].any()
    assert not mask[:, [0, -1]].any()
    assert (mask[161:256, 66:222] == 255).all()
    assert np.abs(np.diff(mask.astype(int), axis=0)).max() < 64
    assert np.abs(np.diff(mask.astype(int), axis=1)).max() < 64


@pytest.mark.parametrize("who", ["stage", "leo_stage"])
def test_flow_lays_the_resting_face_on_the_talking_one_and_back(request: pytest.FixtureRequest, who: str) -> None:
    stage: Stage = request.getfixturevalue(who)
    mouth = weights(jawOpen=0.6, mouthSmile=0.3)
    rest, talking = stage.idle_crop(20), stage.render_mouth(20, mouth)
    to_rest, from_rest = stage.flows(20, mouth)
    rows, columns = np.mgrid[:BOX_PX, :BOX_PX].astype(np.float32)
    # The chin: neither lips nor the inside of the mouth, which rest hides.
    chin = np.s_[198:226, 110:178]
    for shown, source, flow in ((talking, rest, to_rest), (rest, talking, from_rest)):
        assert not np.isnan(flow[chin]).any()
        assert np.abs(flow[chin][..., 1]).max() > 5
        moved = cv2.remap(source, columns + flow[..., 0], rows + flow[..., 1], cv2.INTER_CUBIC)
        off, before = (np.abs(picture[chin].astype(int) - shown[chin]).mean() for picture in (moved, source))
        assert off < 0.6 * before
    assert np.isnan(to_rest).any(axis=2)[165:230, 110:178].any()  # teeth or tongue show, and were hidden


def test_a_face_at_rest_does_not_flow(stage: Stage) -> None:
    for flow in stage.flows(7, np.zeros(52, np.float32)):
        np.testing.assert_allclose(flow, 0, atol=1e-3)
