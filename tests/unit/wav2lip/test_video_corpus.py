"""Weights of a person's own, from a talking clip: Ada's CC0 frames, their mouths drawn open by our own sentence."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from models.errors import MediaError
from models.motion.ear import load_ear, load_encoder
from models.wav2lip import train
from models.wav2lip.corpus import Corpus
from models.wav2lip.video_corpus import read_speech, video_corpus
from models.wav2lip.weights import ASSET, load_generator
from server.paths import AVATARS, STATIC
from server.render import read_sound
from tests.unit.face.faces import ada, portrait, write_clip

FRAMES = 104


def loudness() -> np.ndarray:
    """Of each frame of the sample sentence, 0 to 1."""
    chunks = [chunk for _, chunk in zip(range(FRAMES), read_sound(STATIC / "sample.wav"), strict=False)]
    rms = np.array([np.sqrt(np.mean(chunk**2)) for chunk in chunks])
    return np.clip(rms / np.quantile(rms, 0.9), 0, 1)


def write_talk(path: Path, opening: np.ndarray, with_sound: bool = True) -> None:
    """A face whose mouth opens so far, 0 to 1, in MP4 with AAC: the sample sentence, or silence."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"crf": "12", "preset": "ultrafast"})
        video.width = video.height = 512
        audio = container.add_stream("aac", rate=48_000, layout="mono")
        sound = read_sound(STATIC / "sample.wav")
        for index, wide in enumerate(opening):
            head = portrait(index).copy()
            cv2.ellipse(head, (260, 326), (30, round(1 + 22 * wide)), 0, 0, 360, (50, 15, 15), -1)
            frame = av.VideoFrame.from_ndarray(head, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(video.encode(frame))
            heard = with_sound * next(sound)
            samples = av.AudioFrame.from_ndarray(heard[np.newaxis], format="fltp", layout="mono")
            samples.sample_rate, samples.pts, samples.time_base = 48_000, index * 1920, Fraction(1, 48_000)
            container.mux(audio.encode(samples))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A face whose mouth opens with the sound."""
    path = tmp_path_factory.mktemp("talk") / "talk.mp4"
    write_talk(path, loudness())
    return path


@pytest.fixture(scope="module")
def folder(clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator, _ = load_generator(ASSET)
    return video_corpus(clip, ada().mask, tmp_path_factory.mktemp("out"), load_ear(ASSET), generator.eval(), 60)


def dark(pictures: np.ndarray) -> np.ndarray:
    """Dark pixels where the mouth is, of each picture (n, 288, 288, 3)."""
    return (pictures[:, 150:215, 100:190].max(axis=-1) < 90).sum(axis=(1, 2))


def test_samples_are_faces_at_rest_and_the_same_with_mouths_that_talk(folder: Path) -> None:
    corpus = Corpus([(folder, None)])
    assert 0.55 * FRAMES < len(corpus) < 0.85 * FRAMES  # what fits worst is left out
    idle, targets = corpus.idle[corpus.frame], corpus.targets
    assert np.array_equal(idle[:, :130], targets[:, :130])
    assert np.abs(idle.astype(int) - targets)[:, :, :20].max() == 0  # beside the mask nothing is touched
    talking = loudness()[corpus.clip_frame] > 0.6
    assert talking.sum() > 10
    assert dark(targets)[talking].mean() > 800
    assert dark(corpus.idle).max() < 0.5 * dark(targets)[talking].mean()
    assert len(corpus.idle) < len(corpus) / 2  # several samples of one pose, to be drawn on each other


def test_codes_are_near_what_the_ear_hears(folder: Path, clip: Path) -> None:
    corpus = Corpus([(folder, None)])
    assert np.corrcoef(corpus.code[:, 0], loudness()[corpus.clip_frame])[0, 1] > 0.3
    generator, info = load_generator(ASSET)
    shape, encoder = load_encoder(ASSET)
    assert shape.lead_columns == info.lead_columns
    for name, tensor in generator.audio_encoder.state_dict().items():
        assert (encoder.state_dict()[name] == tensor).all()
    assert len(corpus.runs())
    sound = read_speech(clip, 60)
    assert abs(len(sound) / 16_000 - FRAMES / 25) < 0.1
    assert len(read_speech(clip, 1)) < 3 * 16_000


def test_training_begins_with_the_shipped_weights_and_keeps_the_ear(clip: Path, folder: Path) -> None:
    out, before = folder.parent, folder.stat().st_mtime_ns
    options = ["--avatar", str(AVATARS / "ada"), "--out", str(out), "--video-s", "60", "--batch", "2", "--steps", "1"]
    train.main(["--video", str(clip), *options])
    assert folder.stat().st_mtime_ns == before  # the corpus is not made twice
    generator, _ = load_generator(out / "wav2lip.safetensors")
    shipped, _ = load_generator(ASSET)
    state = generator.state_dict()
    for name, tensor in shipped.state_dict().items():
        if tensor.is_floating_point() and ("running" not in name or name.startswith("audio_encoder.")):
            tolerance = 1e-6 if name.startswith("audio_encoder.") else 0.1
            assert np.allclose(state[name].numpy(), tensor.numpy(), atol=tolerance), name
    assert sorted(path.name for path in out.glob("*")) == sorted(
        [folder.name, "last.pt", "log", "sheet-000001.png", "wav2lip.safetensors"]
    )


def test_a_clip_without_sound_or_too_short_is_refused(clip: Path, tmp_path: Path) -> None:
    ear, generator = load_ear(ASSET), load_generator(ASSET)[0]
    mute = write_clip(tmp_path / "mute.mp4", [portrait()] * 5)
    with pytest.raises(MediaError, match=r"mute\.mp4 needs picture and sound"):
        video_corpus(mute, ada().mask, tmp_path / "out", ear, generator, 60)
    silent = tmp_path / "silent.mp4"
    write_talk(silent, np.zeros(FRAMES), with_sound=False)
    with pytest.raises(MediaError, match=r"Nobody is heard to speak in silent\.mp4"):
        video_corpus(silent, ada().mask, tmp_path / "out", ear, generator, 60)
    with pytest.raises(MediaError, match=r"talk\.mp4 shows the face in 25 frames only"):
        video_corpus(clip, ada().mask, tmp_path / "out", ear, generator, 1)
    assert not (tmp_path / "out").exists()
