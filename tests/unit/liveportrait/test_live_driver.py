from dataclasses import replace

import numpy as np
import torch

from models.liveportrait.keypoints import Head, rotation_matrix
from models.liveportrait.live_driver import (
    ANGLE_STEP_DEG,
    EXP_STEP,
    HOLD_FRAMES,
    LiveDriver,
    LivePose,
)


def head(yaw: float = 0.0, jaw: float = 0.0, scale: float = 1.3) -> Head:
    exp = torch.full((1, 21, 3), 0.01)
    exp[0, 19, 1] += jaw
    angles = torch.tensor([[4.0, 7.0 + yaw, 0.0]], dtype=torch.float32)
    return Head(torch.tensor([[float(scale)]]), rotation_matrix(angles), exp, torch.zeros(1, 3), torch.zeros(1, 21, 3))


def follow(driver: LiveDriver, frames: range, seen: Head | None) -> list[LivePose]:
    poses = []
    for frame in frames:
        driver.observe(seen)
        poses.append(driver.at(frame))
    return poses


def test_the_first_face_is_neutral_and_the_next_are_followed() -> None:
    driver = LiveDriver()
    assert driver.watched == "waiting"
    assert driver.at(1000).share == 0
    at_rest = follow(driver, range(1001, 1030), head())[-1]
    assert (driver.watched, at_rest.share, at_rest.scale) == ("following", 1.0, 1.0)
    assert not at_rest.angles_deg.any()
    turned = follow(driver, range(1030, 1080), head(yaw=12, jaw=0.03, scale=1.43))[-1]
    np.testing.assert_allclose(turned.angles_deg[1], 12, atol=0.5)
    np.testing.assert_allclose(turned.exp[19, 1], 0.03, atol=0.002)
    np.testing.assert_allclose(turned.scale, 1.1, atol=0.01)


def test_a_new_neutral_face_is_at_rest() -> None:
    driver = LiveDriver()
    follow(driver, range(10), head())
    assert follow(driver, range(10, 60), head(yaw=10))[-1].angles_deg[1] > 9
    driver.neutral()
    assert abs(follow(driver, range(60, 150), head(yaw=10))[-1].angles_deg[1]) < 0.3


def test_a_wild_look_makes_no_jump() -> None:
    driver = LiveDriver()
    rng = np.random.default_rng(1)
    poses = []
    for frame in range(200):
        wild = rng.random() < 0.3
        driver.observe(head(yaw=70 * rng.choice((-1, 1)), jaw=0.5, scale=9) if wild else head())
        poses.append(driver.at(frame))
    angles, exp = np.stack([p.angles_deg for p in poses]), np.stack([p.exp for p in poses])
    assert np.abs(np.diff(angles, axis=0)).max() <= ANGLE_STEP_DEG + 1e-9
    assert np.abs(np.diff(exp, axis=0)).max() <= EXP_STEP + 1e-9
    assert np.abs(np.diff([p.share for p in poses])).max() <= 0.0801


def test_without_a_face_it_holds_then_eases_to_idle_then_comes_back() -> None:
    driver = LiveDriver()
    follow(driver, range(50), head())
    follow(driver, range(50, 100), head(yaw=10))
    held = follow(driver, range(100, 100 + HOLD_FRAMES), None)
    assert driver.watched == "holding"
    assert all(pose.share == 1 for pose in held)
    assert abs(held[-1].angles_deg[1] - 10) < 0.6
    easing = [pose.share for pose in follow(driver, range(100 + HOLD_FRAMES, 100 + HOLD_FRAMES + 15), None)]
    assert 0.3 < easing[-1] < 0.45, "one time constant"
    assert (np.diff(easing) < 0).all()
    follow(driver, range(130, 200), None)
    assert driver.watched == "idle"
    assert driver.at(201).share < 0.01
    back = follow(driver, range(202, 230), head(yaw=-10))
    assert (driver.watched, back[-1].share) == ("following", 1.0)
    assert back[0].share <= 0.0801 + 0.01


def test_numbers_that_are_no_face_count_as_none() -> None:
    driver = LiveDriver()
    driver.observe(replace(head(), exp=torch.full((1, 21, 3), torch.nan)))
    driver.observe(head(scale=-1.0))
    assert driver.at(0).share == 0
    assert driver.at(1).share == 0
    assert driver.watched == "waiting"


def test_a_frame_asked_for_again_is_the_same_and_dropped_frames_catch_up() -> None:
    one, other = LiveDriver(), LiveDriver()
    for driver in (one, other):
        follow(driver, range(5), head())
    one.observe(head(yaw=20))
    pose = one.at(9)
    np.testing.assert_array_equal(one.at(9).angles_deg, pose.angles_deg)
    np.testing.assert_array_equal(one.at(7).angles_deg, pose.angles_deg)
    assert abs(pose.angles_deg[1]) <= 5 * ANGLE_STEP_DEG
    other.observe(head(yaw=20))
    assert pose.angles_deg[1] > other.at(5).angles_deg[1] > 0
