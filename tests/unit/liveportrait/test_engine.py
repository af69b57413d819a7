"""The live engine with small networks: from sound and from camera pictures to whole frames."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from models.audio.babble import babble
from models.avatar import Avatar, load_avatar
from models.engine import RenderRequest, Watching, frame_engine
from models.errors import CheckpointError, VisavisError
from models.liveportrait.avatar_source import avatar_source
from models.liveportrait.engine import LivePortraitEngine, PortraitState, PreparedPortrait, load_engine
from models.liveportrait.keypoints import Motion, angles_of
from models.liveportrait.landmark_model import LandmarkModel
from models.liveportrait.live_driver import LiveDriver
from models.liveportrait.live_settings import LiveSettings
from models.liveportrait.pipeline import Pipeline
from models.liveportrait.stand_in import stand_in
from models.liveportrait.weights import check
from models.registry import load_engine as load_by_name
from models.runtime.runtime import choose
from models.talker import Talker
from server.cli import main
from server.render import draw
from tests.fakes.hearing import LoudnessEar
from tests.fakes.landmarks import face_landmarks, landmark_model
from tests.fakes.portrait_weights import write_published
from tests.unit.liveportrait.networks import FACE_PX, SMALL, small_networks
from tests.unit.liveportrait.test_live_driver import head

# In half precision several threads round one way in a batch and another in a single call.
pytestmark = pytest.mark.usefixtures("one_thread")

LOUD, SILENT = np.full((80, 51), 0.5, np.float32), np.full((80, 51), -4.0, np.float32)
JAW = (0, 19, 1)
QUICK = LiveSettings(face_px=FACE_PX)


@pytest.fixture(scope="module")
def avatar(avatar_folder: Path) -> Avatar:
    return load_avatar(avatar_folder)


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> LivePortraitEngine:
    return LivePortraitEngine(small_networks(), LoudnessEar(), QUICK, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="module")
def prepared(engine: LivePortraitEngine, avatar: Avatar) -> PreparedPortrait:
    return engine.prepare(avatar)


def request(
    prepared: PreparedPortrait, frame: int = 0, mel: np.ndarray = SILENT, state: PortraitState | None = None
) -> RenderRequest:
    own = state or PortraitState(LiveDriver())
    return RenderRequest(prepared, own, frame, mel, np.zeros(640, np.float32), frame)


def pictures_of(engine: LivePortraitEngine, requests: Sequence[RenderRequest]) -> list[np.ndarray]:
    drawn = engine.render(requests)
    return [engine.picture(one.prepared, crop) for one, crop in zip(requests, drawn, strict=True)]


def motion_of(engine: LivePortraitEngine, one: RenderRequest) -> Motion:
    return engine.motion(one, engine._ear.weights(one.mel[None])[0])


def test_it_draws_whole_frames_that_speech_and_time_move(
    engine: LivePortraitEngine, prepared: PreparedPortrait
) -> None:
    assert frame_engine(engine) is engine
    requests = [request(prepared), request(prepared, 0, LOUD), request(prepared, 70), request(prepared)]
    pictures = pictures_of(engine, requests)
    assert {picture.shape for picture in pictures} == {(512, 512, 3)}
    np.testing.assert_array_equal(pictures[0], pictures[3])
    for other in pictures[1:3]:
        assert np.abs(pictures[0].astype(int) - other).mean() > 0.01
    assert engine.render([]) == []


def test_crops_are_laid_over_the_picture_as_the_pipeline_does(prepared: PreparedPortrait) -> None:
    drawn = np.random.default_rng(1).integers(0, 256, (2 * FACE_PX, 2 * FACE_PX, 3), np.uint8)
    expected = prepared.source.pasted(drawn)
    np.testing.assert_array_equal(prepared.place.pasted(torch.from_numpy(drawn)), expected)
    assert (expected[:8] == prepared.source.picture[:8]).all()
    assert (expected != prepared.source.picture).mean() > 0.3


def test_a_batch_draws_what_single_calls_draw(engine: LivePortraitEngine, prepared: PreparedPortrait) -> None:
    requests = [request(prepared, 3, LOUD), request(prepared, 90)]
    batch = pictures_of(engine, requests)
    for together, one in zip(batch, requests, strict=True):
        (alone,) = pictures_of(engine, [replace(one, state=engine.new_state())])
        # Half precision rounds another way in another batch.
        assert np.abs(together.astype(int) - alone).mean() < 0.1


def test_the_jaw_follows_the_sound_and_silence_closes_it(
    engine: LivePortraitEngine, prepared: PreparedPortrait
) -> None:
    at_rest, spoken = (motion_of(engine, request(prepared, 5, mel)) for mel in (SILENT, LOUD))
    assert spoken.exp[JAW] > at_rest.exp[JAW] + 0.02
    just_ended = LOUD.copy()
    just_ended[:, -6:] = -4.0
    assert abs(motion_of(engine, request(prepared, 5, just_ended)).exp[JAW]) < 1e-6


def test_head_from_the_camera_lips_from_the_sound(engine: LivePortraitEngine, prepared: PreparedPortrait) -> None:
    state = engine.new_state()
    for frame in range(60):
        state.camera.observe(head(yaw=0 if frame < 5 else 15, jaw=0 if frame < 5 else 0.03))
        state.camera.at(frame)
    assert engine.watched(state) == "following"
    silent = motion_of(engine, request(prepared, 60, SILENT, state))
    spoken = motion_of(engine, request(prepared, 60, LOUD, state))
    alone = motion_of(engine, request(prepared, 60, LOUD))
    for motion in (silent, spoken):
        assert abs(float(angles_of(motion.rotation)[0, 1]) - 15) < 0.7
    np.testing.assert_allclose(silent.exp[JAW], 0.03, atol=0.002)
    np.testing.assert_allclose(spoken.exp[JAW], alone.exp[JAW], atol=1e-6)


def test_a_camera_picture_without_a_face_moves_nothing(engine: LivePortraitEngine) -> None:
    assert isinstance(engine, Watching)
    state = engine.new_state()
    seen = engine.look(state, np.full((240, 320, 3), 90, np.uint8))
    assert seen is None
    engine.follow(state, seen)
    assert engine.watched(state) == "waiting"


def test_a_face_before_the_camera_is_followed(engine: LivePortraitEngine, prepared: PreparedPortrait) -> None:
    ada = load_avatar(Path(__file__).parents[3] / "models" / "assets" / "avatars" / "ada")
    state = engine.new_state()
    seen = engine.look(state, ada.frame_rgb(0))
    assert seen is not None
    assert seen.shape == (FACE_PX, FACE_PX, 3)
    engine.follow(state, seen)
    for frame in range(2):
        state.camera.at(frame)
    assert engine.watched(state) == "following"


@pytest.mark.parametrize(
    "change",
    [
        {"stitching": False},
        {"region": "pose"},
        {"region": "exp"},
        {"region": "lip"},
        {"region": "eyes"},
        {"multiplier": 0.5},
    ],
    ids=str,
)
def test_what_the_settings_say_is_drawn(avatar: Avatar, engine: LivePortraitEngine, change: dict[str, Any]) -> None:
    points = []
    for settings in (QUICK, replace(QUICK, **change)):
        one = LivePortraitEngine(small_networks(), LoudnessEar(), settings, runtime=choose("eager", "cpu"))
        asked = request(one.prepare(avatar), 40, LOUD)
        points.append((asked.prepared.source.face.x, one._keypoints(asked, LoudnessEar().weights(LOUD[None])[0])))
    (x, usual), (_, other) = points
    assert not np.allclose(usual, other, atol=1e-5)
    if "multiplier" in change:
        np.testing.assert_allclose(other - x, (usual - x) / 2, atol=1e-6)


@pytest.mark.parametrize("change", ["normalize_lip", "eye_retargeting", "lip_retargeting"])
def test_landmarks_of_the_avatar_let_eyes_and_lips_be_retargeted(avatar: Avatar, tmp_path: Path, change: str) -> None:
    model = LandmarkModel(landmark_model(tmp_path / "landmark.onnx", face_landmarks(eyes=0.3, lips=0.1)))
    shown = []
    for settings in (QUICK, replace(QUICK, **{change: True})):
        one = LivePortraitEngine(
            small_networks(), LoudnessEar(), settings, runtime=choose("eager", "cpu"), landmark_model=model
        )
        prepared = one.prepare(avatar)
        shown.append(
            [one._keypoints(request(prepared, 40, mel), one._ear.weights(mel[None])[0]) for mel in (SILENT, LOUD)]
        )
    source = prepared.source.face
    assert source.eyes is not None
    assert source.lips is not None
    np.testing.assert_allclose(source.eyes, 0.3, atol=1e-3)
    np.testing.assert_allclose(source.lips, 0.1, atol=1e-3)
    (silent, loud), (silent_then, loud_then) = shown
    assert not np.allclose(silent, silent_then, atol=1e-5)
    assert not np.allclose(loud, loud_then, atol=1e-5)
    if change == "normalize_lip":
        closed = small_networks().retargeting.lip_offset(source.x, torch.tensor([[float(source.lips), 0.0]]))
        np.testing.assert_allclose(loud_then - loud, closed.detach(), atol=1e-5)


def test_retargeting_lives_with_a_camera_and_gestures(avatar: Avatar, tmp_path: Path) -> None:
    model = LandmarkModel(landmark_model(tmp_path / "landmark.onnx", face_landmarks(eyes=0.3, lips=0.1)))
    settings = replace(QUICK, eye_retargeting=True, lip_retargeting=True, relative=False)
    one = LivePortraitEngine(small_networks(), LoudnessEar(), settings, landmark_model=model)
    prepared, state = one.prepare(avatar), one.new_state()
    one.gesture(state, "smile")
    for frame in range(30):
        state.camera.observe(head(yaw=5, jaw=0.02))
        (drawn,) = pictures_of(one, [request(prepared, frame, LOUD, state)])
    assert drawn.shape == avatar.frame_rgb(0).shape


def test_the_filter_follows_as_smoothly_as_the_settings_say() -> None:
    turned = []
    for settings in (LiveSettings(), LiveSettings(camera_cutoff_hz=0.3), LiveSettings(camera_beta=0.0)):
        one = LivePortraitEngine(small_networks(), LoudnessEar(), settings, runtime=choose("eager", "cpu"))
        camera = one.new_state().camera
        for frame in range(11):
            camera.observe(head(yaw=0 if frame < 10 else 3))
            camera.at(frame)
        turned.append(camera.at(10).angles_deg[1])
    assert turned[0] > 1.1 * turned[1] > 0
    assert turned[0] > 1.1 * turned[2] > 0


def test_absolute_motion_takes_the_face_before_the_camera_as_it_is(avatar: Avatar) -> None:
    one = LivePortraitEngine(small_networks(), LoudnessEar(), replace(QUICK, relative=False))
    prepared, state = one.prepare(avatar), one.new_state()
    driving = head(yaw=5, jaw=0.02)
    for frame in range(80):
        state.camera.observe(driving)
        motion = motion_of(one, request(prepared, frame, SILENT, state))
    source = prepared.source.face.head
    assert float(angles_of(source.rotation)[0, 1]) != pytest.approx(12, abs=1)
    held = angles_of(motion.rotation @ source.rotation)[0]
    np.testing.assert_allclose(held, angles_of(driving.rotation)[0], atol=0.2)
    np.testing.assert_allclose((source.exp + motion.exp)[JAW], driving.exp[JAW], atol=1e-3)
    assert float(motion.scale) == 1
    with pytest.raises(VisavisError, match=r"engine\.liveportrait\.relative"):
        one.neutral(state)


@pytest.mark.parametrize(
    ("face_px", "dtype", "mean"),
    [(128, torch.float32, 0.02), (128, torch.bfloat16, 2.0), (256, torch.float32, 0.02)],
)
def test_the_fast_networks_draw_what_the_pipeline_draws(
    avatar: Avatar, monkeypatch: pytest.MonkeyPatch, face_px: int, dtype: torch.dtype, mean: float
) -> None:
    monkeypatch.setattr("models.liveportrait.animator.drawing_dtype", lambda device: dtype)
    networks = stand_in(SMALL)
    fast = LivePortraitEngine(networks, LoudnessEar(), LiveSettings(face_px=face_px))
    plain = Pipeline(networks, fast.settings.published())
    source = avatar_source(plain, avatar, face_px)
    asked = request(fast.prepare(avatar), 70, LOUD)
    drawn = pictures_of(fast, [asked])[0].astype(np.float64)
    points = fast._keypoints(replace(asked, state=fast.new_state()), LoudnessEar().weights(LOUD[None])[0])
    expected = source.pasted(plain.draw(source, points))
    assert np.abs(drawn - expected).mean() < mean
    assert dtype is torch.bfloat16 or np.abs(drawn - expected).max() <= 2
    still = source.pasted(plain.draw(source, source.face.x))
    assert np.abs(drawn - still).mean() > 2 * mean, "it moves by more than the error"


def test_a_talker_shows_its_frames_whole_in_silence_too(engine: LivePortraitEngine, avatar: Avatar) -> None:
    sound = np.concatenate((0.3 * babble(0.4, 48_000, 1)[:9600], np.zeros(1920))).astype(np.float32)
    pictures = list(draw(engine, avatar, iter([sound])))
    assert len(pictures) == 6
    assert all(picture.shape == (768, 512) for picture in pictures)
    assert not any(np.array_equal(pictures[-1], idle) for idle in avatar.frames_i420)
    again = list(draw(engine, avatar, iter(np.array_split(sound, 5))))
    for ours, theirs in zip(pictures, again, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    talker = Talker(engine, avatar, engine.prepare(avatar))
    np.testing.assert_array_equal(talker.idle_picture(-1), avatar.frames_i420[0])


def test_missing_weights_name_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path))
    with pytest.raises(CheckpointError, match="visavis models pull liveportrait"):
        load_by_name("liveportrait")
    with pytest.raises(CheckpointError, match="visavis models pull liveportrait"):
        load_engine(tmp_path / "none.pth")


def test_retargeting_without_landmarks_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VISAVIS_MODELS", str(tmp_path / "models"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = write_published(tmp_path / "weights", small_networks())
    with pytest.raises(CheckpointError, match="visavis models pull liveportrait-landmarks"):
        load_engine(folder, live={"lip_retargeting": True})
    model = landmark_model(tmp_path / "landmark.onnx", face_landmarks(0.3, 0.1))
    assert main(["models", "pull", "liveportrait-landmarks", "--accept-licence", "--from", str(model)]) == 0
    pulled = load_engine(folder, "eager", live={"lip_retargeting": True, "face_px": FACE_PX})
    model.rename(folder / "landmark.onnx")
    beside = load_engine(folder, "eager", live={"normalize_lip": True, "face_px": FACE_PX})
    assert pulled._landmark_model is not None
    assert beside._landmark_model is not None
    assert load_engine(folder, "eager")._landmark_model is None


def test_pulled_files_are_read_whole_before_they_are_kept(tmp_path: Path) -> None:
    folder = write_published(tmp_path / "weights", small_networks())
    assert "stitching retargeting" in check(folder / "retargeting_models" / "stitching_retargeting_module.pth")
    with pytest.raises(CheckpointError, match="another architecture"):
        check(folder / "base_models" / "motion_extractor.pth")
    with pytest.raises(CheckpointError, match="none of LivePortrait's files"):
        check(tmp_path / "x.pth")
