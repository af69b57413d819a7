"""Pictures, sound, poses and sequences beside what the goldens hold."""

import random
import tracemalloc

import cv2
import numpy as np
import pytest
import torch
from scipy import ndimage, signal
from scipy.io import savemat

from models.errors import CheckpointError
from models.sadtalker import coefficients, face_model, resize, speech
from models.sadtalker.alignment import Alignment
from models.sadtalker.animation import Animator
from models.sadtalker.expression import ExpressionNetwork
from models.sadtalker.geometry import Camera
from models.sadtalker.keypoints import KeypointDetector
from models.sadtalker.mapping import MappingNetwork
from models.sadtalker.pose import PoseNetwork, gaussian_noise
from models.sadtalker.renderer import Renderer
from models.sadtalker.talk import Talk, speak

WIDTH = 0.125
RNG = np.random.default_rng(1)


@pytest.mark.parametrize(("height", "width"), [(700, 900), (100, 180), (256, 256), (513, 1)])
def test_pictures_scale_as_an_image_library_does(height: int, width: int) -> None:
    picture = RNG.integers(0, 256, (height, width, 3), dtype=np.uint8)
    factors = np.array([height / 256, width / 256, 1])
    smooth = ndimage.gaussian_filter(picture / 255.0, np.maximum(0, (factors - 1) / 2), mode="mirror")
    expected = ndimage.zoom(smooth, 1 / factors, order=1, mode="mirror", grid_mode=True)
    assert np.abs(resize.scaled_picture(picture, 256, 256).transpose(1, 2, 0) - expected).max() < 1e-5


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 12, 13, 14, 40])
def test_poses_are_smoothed_by_savitzky_and_golay(frames: int) -> None:
    poses = RNG.normal(size=(frames, 6)).astype(np.float32)
    window = 13 if frames >= 13 else (frames - 1) // 2 * 2 + 1
    expected = signal.savgol_filter(poses, window, 2, axis=0) if window > 2 else poses
    assert np.abs(speech.smoothed(poses) - expected).max() < 1e-5


@pytest.mark.parametrize("frames", [1, 20, 21, 22, 23, 500])
def test_blinks_end_with_the_sound(frames: int) -> None:
    for seed in range(20):
        blinks = speech.random_blinks(frames, random.Random(seed))
        assert blinks.shape == (frames,)
        assert set(blinks.tolist()) <= {np.float32(x).item() for x in (0, 0.5, 0.9, 1)}
        assert blinks[-1] == 0
    assert (blinks.max() == 1) == (frames >= 22)


def test_a_sound_of_any_length_has_a_pose_and_an_expression_for_every_frame() -> None:
    torch.manual_seed(1)
    talk = Talk(ExpressionNetwork(WIDTH).eval(), PoseNetwork(WIDTH).eval())
    source = RNG.normal(size=73).astype(np.float32)
    for frames in (1, 2, 33, 70):
        sound = RNG.normal(size=frames * 640 + 639).astype(np.float32) * 0.1
        mels = speech.mel_windows(sound)
        spoken = speak(talk, mels, source, speech.steady_blinks(frames), style=45, noise=gaussian_noise(3))
        assert spoken.shape == (frames, 70)
        again = speak(talk, mels, source, speech.steady_blinks(frames), style=45, noise=gaussian_noise(3))
        assert np.array_equal(spoken, again)
    other = speak(talk, mels, source, speech.steady_blinks(frames), style=45, noise=gaussian_noise(4))
    assert np.array_equal(other[:, :64], spoken[:, :64])
    assert not np.allclose(other[:, 64:], spoken[:, 64:])
    with pytest.raises(ValueError, match="0 to 45, not 46"):
        speak(talk, mels, source, speech.steady_blinks(frames), style=46, noise=gaussian_noise(3))
    with pytest.raises(ValueError, match="at least 640"):
        speech.mel_windows(np.zeros(639, np.float32))


def test_frames_drawn_together_are_those_drawn_alone() -> None:
    torch.manual_seed(1)
    detector, renderer = KeypointDetector(WIDTH).eval(), Renderer(WIDTH).eval()
    animator = Animator(detector, MappingNetwork(70, WIDTH).eval(), renderer)
    picture, windows = torch.rand(3, 128, 128), torch.randn(2, 70, 27)
    source = animator.source(picture, windows[0])
    together = animator.frames(source, windows)
    assert together.shape == (2, 3, 128, 128)
    alone = torch.cat([animator.frames(source, window[None]) for window in windows])
    assert (together - alone).abs().max() < 1e-4
    turned = animator.frames(source, windows, Camera(yaw_deg=torch.tensor([40.0, -40.0])))
    assert (turned - together).abs().max() > 1e-3


@pytest.mark.parametrize("stops", [(5,), (0, 20, -10), (0, 0, 10), (7, 7)])
def test_a_camera_path_has_an_angle_for_every_frame(stops: tuple[float, ...]) -> None:
    for frames in (1, 2, 73):
        path = coefficients.camera_path(stops, frames)
        assert path.shape == (frames,)
        assert path[0] == stops[0]
        assert np.isfinite(path).all()


def test_still_and_full_modes_keep_the_pictures_own() -> None:
    spoken, source = RNG.normal(size=(5, 70)).astype(np.float32), RNG.normal(size=73).astype(np.float32)
    before = spoken.copy()
    both = coefficients.driven(spoken, source, full=True, still=True, expression_scale=2)
    assert np.array_equal(spoken, before)
    assert np.array_equal(both[:, :64], 2 * spoken[:, :64])
    assert (both[:, 64:] == source[64:]).all()


def test_an_aligned_picture_shows_the_face_in_its_middle_and_black_beyond() -> None:
    landmarks = np.zeros((68, 2))
    landmarks[[36, 39]], landmarks[[42, 45]] = (40, 160), (72, 160)
    landmarks[30], landmarks[48], landmarks[54] = (56, 140), (43, 124), (69, 124)
    picture = np.full((300, 200, 3), 200, np.uint8)
    cv2.circle(picture, (56, 300 - 140), 4, (255, 0, 0), -1)
    fit = Alignment.of(landmarks, 200, 300)
    aligned = fit.picture(picture)
    nose = fit.landmarks(landmarks)[30]
    assert np.abs(nose - 112).max() < 30
    red = np.argwhere((aligned[..., 0] > 200) & (aligned[..., 1] < 100)).mean(axis=0)
    assert np.abs(red - (224 - nose[1], nose[0])).max() < 2
    assert (aligned[:, 0] == 0).all()


def test_a_frame_takes_the_crops_proportions() -> None:
    drawn = np.zeros((3, 256, 256), np.float32)
    assert resize.fitted(drawn, 256, 300, 200).shape == (384, 256, 3)
    assert resize.fitted(drawn + 2, 256, 100, 100).max() == 255


def test_a_face_model_is_read_from_its_file(tmp_path) -> None:  # type: ignore[no-untyped-def]
    vertices = 12
    arrays = {
        "meanshape": RNG.normal(size=(1, 3 * vertices)),
        "meantex": RNG.uniform(0, 255, (1, 3 * vertices)),
        "idBase": RNG.normal(size=(3 * vertices, 80)),
        "exBase": RNG.normal(size=(3 * vertices, 64)),
        "texBase": RNG.normal(size=(3 * vertices, 80)),
        "tri": RNG.integers(1, vertices + 1, (9, 3)),
        "point_buf": RNG.integers(1, 11, (vertices, 8)),
        "keypoints": RNG.integers(1, vertices + 1, (1, 68)),
    }
    savemat(tmp_path / "model.mat", arrays)
    model = face_model.read_face_model(tmp_path / "model.mat")
    assert np.abs(model.mean_shape.mean(axis=0)).max() < 1e-6
    assert model.triangles.min() >= 0
    assert model.keypoints.shape == (68,)
    face = coefficients.FaceCoefficients.split(np.zeros((1, 257), np.float32))
    assert model.normals(model.shape(face)).shape == (1, vertices, 3)
    assert face.stored(np.ones((1, 3), np.float32)).shape == (1, 73)
    del arrays["tri"]
    savemat(tmp_path / "model.mat", arrays)
    with pytest.raises(CheckpointError, match="tri"):
        face_model.read_face_model(tmp_path / "model.mat")


def test_hearing_a_long_sound_takes_no_more_memory_than_a_short_one() -> None:
    torch.manual_seed(1)
    talk = Talk(ExpressionNetwork(WIDTH).eval(), PoseNetwork(WIDTH).eval())

    def most_bytes(seconds: int) -> int:
        frames = 25 * seconds
        sound = (np.full(640, 0.1, np.float32) for _ in range(frames))
        tracemalloc.start()
        try:
            blocks, blinks = speech.mel_blocks(sound, frames), np.zeros(frames, np.float32)
            speak(talk, blocks, np.zeros(73, np.float32), blinks, style=0, noise=gaussian_noise(1))
            return tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()

    most_bytes(24)  # whatever is imported by the way is not what is measured
    short, long = most_bytes(4), most_bytes(24)
    mels = 20 * 25 * 80 * 16 * 4  # what the difference would take, were it held
    assert long - short < mels / 3
