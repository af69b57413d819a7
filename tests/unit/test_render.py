"""The command line's offline route, with real files."""

import errno
import tempfile
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from models.face import idle
from server import cli
from tests.unit.face.faces import portrait, write_clip, write_photo


def write_wav(path: Path, seconds: float, rate_hz: int = 16_000, channels: int = 2) -> Path:
    wave = (9000 * np.sin(np.arange(int(seconds * rate_hz)) * 0.1)).astype(np.int16)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=rate_hz, layout="stereo" if channels == 2 else "mono")
        frame = av.AudioFrame.from_ndarray(
            np.repeat(wave, channels)[np.newaxis], format="s16", layout="stereo" if channels == 2 else "mono"
        )
        frame.sample_rate = rate_hz
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_renders_a_film_as_long_as_the_sound(
    tmp_path: Path, avatar_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.named_avatar.AVATARS", avatar_folder.parent)
    speech, film = write_wav(tmp_path / "in.wav", 2.03), tmp_path / "out.mp4"
    assert cli.main(["render", "--engine", "probe", "--avatar", "disc", "--quiet", str(speech), str(film)]) == 0
    with av.open(str(film)) as container:
        assert sum(1 for _ in container.decode(video=0)) == 51
    with av.open(str(film)) as container:
        sound_s = sum(frame.samples for frame in container.decode(audio=0)) / 48_000
    assert abs(sound_s - 2.03) < 0.05
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.wav", "out.mp4"]


@pytest.mark.parametrize("content", [b"", b"not a sound", None])
def test_an_unreadable_file_is_a_sentence_and_exit_2(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    speech = tmp_path / "in.wav"
    if content is not None:
        speech.write_bytes(content)
    assert cli.main(["render", "--engine", "probe", str(speech), str(tmp_path / "out.mp4")]) == 2
    assert "in.wav" in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()


def test_an_unknown_avatar_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    speech = write_wav(tmp_path / "in.wav", 0.5)
    assert cli.main(["render", "--avatar", "nobody", str(speech), str(tmp_path / "out.mp4")]) == 2
    assert "nobody" in capsys.readouterr().err


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where temporary folders are made."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


def film_of(arguments: list[str], film: Path) -> list[np.ndarray]:
    assert cli.main(["render", "--engine", "probe", "--quiet", *arguments, str(film)]) == 0
    with av.open(str(film)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


def test_a_clip_speaks_in_the_order_of_its_frames_there_and_back(tmp_path: Path, temporary: Path) -> None:
    count = 14
    clip = write_clip(tmp_path / "me.mp4", counted(count))
    frames = film_of([str(clip), str(write_wav(tmp_path / "in.wav", 1.2))], tmp_path / "out.mp4")
    assert max(frames[0].shape) <= 512
    assert [number_in(frame) for frame in frames] == [
        *range(count), *range(count - 2, 0, -1), *range(30 - 2 * (count - 1))
    ]  # fmt: skip
    assert not list(temporary.iterdir())


def test_a_photo_speaks(tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    photo = write_photo(tmp_path / "me.png", portrait())
    frames = film_of([str(photo), str(write_wav(tmp_path / "in.wav", 0.4))], tmp_path / "out.mp4")
    assert len(frames) == 10
    mouths = [frame[300:330, 240:270] for frame in (portrait(), frames[5])]
    assert mouths[0].std() > 2 * mouths[1].std()  # the probe has painted over it
    assert not list(temporary.iterdir())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["none.png"], "There is no file none.png; check the path"),
        (["in.wav"], "in.wav is neither a picture nor a video that can be read"),
        (["plain.png"], "No face was found in plain.png"),
        (["--avatar", "ada", "plain.png"], "plain.png or with --avatar ada, not with both"),
        (["--box", "1,2,3,4"], "give that file before the speech"),
        (["--box", "1,2,3", "plain.png"], "A box is x0,y0,x1,y1 in whole pixels"),
    ],
)
def test_a_face_that_cannot_speak_is_a_sentence(
    tmp_path: Path,
    temporary: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write_photo(tmp_path / "plain.png", np.full((300, 300, 3), 120, np.uint8))
    write_wav(tmp_path / "in.wav", 0.4)
    assert cli.main(["render", "--engine", "probe", *arguments, "in.wav", "out.mp4"]) == 2
    assert sentence in capsys.readouterr().err
    assert not (tmp_path / "out.mp4").exists()
    assert not list(temporary.iterdir())


def test_a_full_disk_is_a_sentence(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("models.avatar_writer.load_avatar", full)
    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    photo, speech = write_photo(tmp_path / "me.png", portrait()), write_wav(tmp_path / "in.wav", 0.4)
    assert cli.main(["render", "--engine", "probe", str(photo), str(speech), str(tmp_path / "out.mp4")]) == 2
    assert "me.png cannot be made ready" in capsys.readouterr().err
    assert not list(temporary.iterdir())


def counted(count: int) -> Iterator[np.ndarray]:
    """Portraits; how far a white bar over the head reaches numbers them."""
    for index in range(count):
        picture = portrait(index).copy()
        picture[60:76, 100:400] = 0
        picture[60:76, 100 : 106 + 12 * index] = 255
        yield picture


def number_in(frame: np.ndarray) -> int:
    """The number of a frame that ``counted`` gave."""
    scale = frame.shape[1] / 512
    strip = frame[round(64 * scale) : round(72 * scale), round(100 * scale) : round(400 * scale), 1].mean(axis=0)
    return round((np.count_nonzero(strip > 128) / scale - 6) / 12)
