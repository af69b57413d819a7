"""Gestures of a live portrait: over speech, and from motion templates, without M."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.avatar import Avatar, load_avatar
from models.engine import Gesturing
from models.errors import MediaError
from models.liveportrait.engine import LivePortraitEngine
from models.liveportrait.keypoints import Motion, angles_of, rotation_matrix
from models.liveportrait.template import MotionTemplate, save_template
from models.liveportrait.template_gesture import MAX_S, template_gesture
from models.motion.expression import limits
from models.runtime.runtime import choose
from tests.fakes.hearing import LoudnessEar
from tests.unit.liveportrait.networks import small_networks
from tests.unit.liveportrait.test_engine import JAW, LOUD, QUICK, SILENT, motion_of, request

CORNER = (0, 14, 1)


@pytest.fixture(scope="module")
def engine() -> LivePortraitEngine:
    return LivePortraitEngine(small_networks(), LoudnessEar(), QUICK, runtime=choose("eager", "cpu"))


@pytest.fixture(scope="module")
def avatar(avatar_folder: Path) -> Avatar:
    return load_avatar(avatar_folder)


def wave(seconds: float = 2.0, fps: float = 30.0) -> MotionTemplate:
    """A head that turns by 12 degrees and back, and a mouth that opens meanwhile; it begins turned already."""
    count = round(seconds * fps)
    share = np.sin(np.pi * np.arange(count) / (count - 1))
    angles = torch.zeros(count, 3)
    angles[:, 1] = torch.from_numpy(5 + 12 * share)
    exp = torch.full((count, 21, 3), 0.01)
    exp[:, 19, 1] += torch.from_numpy(0.03 * share)
    exp[:, 1, 1] += torch.from_numpy(-0.004 * share)
    return MotionTemplate(Motion(torch.full((count, 1), 1.2), rotation_matrix(angles), exp, torch.zeros(count, 3)), fps)


def test_a_smile_adds_to_speech_and_leaves_it_readable(engine: LivePortraitEngine, avatar: Avatar) -> None:
    assert isinstance(engine, Gesturing)
    assert engine.gestures == ("smile", "nod", "surprise")
    prepared, state = engine.prepare(avatar), engine.new_state()
    engine.motion(request(prepared, 0, LOUD, state), LoudnessEar().weights(LOUD[None])[0])
    assert engine.gesture(state, "smile") == pytest.approx(2.28, abs=0.1)
    for frame in range(1, 20):
        smiling = motion_of(engine, request(prepared, frame, LOUD, state))
    plain = motion_of(engine, request(prepared, 19, LOUD))
    assert smiling.exp[CORNER] < plain.exp[CORNER] - 0.01
    assert smiling.exp[JAW] == plain.exp[JAW] > 0.02
    low, _ = limits()
    assert smiling.exp[CORNER] >= low[14, 1]
    np.testing.assert_array_equal(smiling.rotation, plain.rotation)


def test_an_unknown_gesture_is_an_error(engine: LivePortraitEngine) -> None:
    with pytest.raises(KeyError):
        engine.gesture(engine.new_state(), "wink")


def test_a_template_is_played_without_m_and_its_lips_give_way_to_words(
    engine: LivePortraitEngine, avatar: Avatar, tmp_path: Path
) -> None:
    save_template(tmp_path / "wave.npz", wave())
    looks: list[object] = []
    hook = engine._pipeline.networks.motion.register_forward_hook(lambda *_: looks.append(1))
    prepared = engine.prepare(avatar)
    looks.clear()
    gesture = engine.gesture_of(tmp_path / "wave.npz")
    shown = []
    for mel in (SILENT, LOUD):
        state = engine.new_state()
        assert engine.gesture(state, gesture) == pytest.approx(2.0, abs=0.05)
        moved = []
        for frame in range(60):
            motion, plain = (motion_of(engine, request(prepared, frame, mel, one)) for one in (state, None))
            yaw = angles_of(motion.rotation)[0, 1] - angles_of(plain.rotation)[0, 1]
            moved.append((float(yaw), float((motion.exp - plain.exp)[JAW]), float((motion.exp - plain.exp)[0, 1, 1])))
        shown.append(np.array(moved))
    hook.remove()
    assert looks == []
    for yaw, _, brow in (moved.T for moved in shown):
        assert yaw.max() == pytest.approx(12, abs=0.7)
        assert abs(yaw[0]) < 0.1
        assert abs(yaw[-1]) < 0.1
        assert np.abs(np.diff(yaw)).max() < 2
        assert brow.min() == pytest.approx(-0.004, abs=0.001)
    silent, spoken = (moved[:, 1] for moved in shown)
    assert silent.max() > 0.02
    assert np.abs(spoken).max() < 1e-6


def test_templates_of_any_rate_are_cut_at_their_limit_and_stills_are_refused() -> None:
    assert template_gesture(wave(2.0, 15.0), "wave").seconds == pytest.approx(2.0, abs=0.1)
    assert template_gesture(wave(40.0, 10.0), "wave").seconds == pytest.approx(MAX_S, abs=0.2)
    curve = template_gesture(wave(), "wave").curve
    assert not curve[0].any()
    assert not curve[-1].any()
    with pytest.raises(MediaError, match="single frame"):
        template_gesture(wave().still(), "still")
