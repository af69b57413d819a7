"""The command line's offline route, with real files."""

from pathlib import Path

import av
import numpy as np
import pytest

from server import cli, render


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
    monkeypatch.setattr(render, "AVATARS", avatar_folder.parent)
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
