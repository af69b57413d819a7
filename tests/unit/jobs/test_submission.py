"""What may be sent as sound."""

from pathlib import Path

import av
import pytest

from server.errors import RequestError
from server.jobs.submission import check_sound
from tests.unit.jobs.speech import write_speech


@pytest.mark.parametrize(
    ("container", "codec", "rate_hz"),
    [
        ("mp3", "libmp3lame", 44_100),
        ("ogg", "libopus", 48_000),
        ("flac", "flac", 16_000),
        ("mp4", "aac", 44_100),
        ("webm", "libopus", 48_000),
        ("adts", "aac", 22_050),
        ("aiff", "pcm_s16be", 8_000),
    ],
)
def test_the_usual_formats_are_taken(tmp_path: Path, container: str, codec: str, rate_hz: int) -> None:
    speech = write_speech(tmp_path / "speech.wav", 1.0)
    sent = tmp_path / "sound"
    resampler = None
    with av.open(str(speech)) as source, av.open(str(sent), "w", format=container) as target:
        stream = target.add_stream(codec, rate=rate_hz, layout="mono")
        layout = stream.codec_context.format.name if stream.codec_context.format else "s16"
        resampler = av.AudioResampler(format=layout, layout="mono", rate=rate_hz)
        for frame in source.decode(audio=0):
            for part in resampler.resample(frame):
                target.mux(stream.encode(part))
        for part in resampler.resample(None):
            target.mux(stream.encode(part))
        target.mux(stream.encode(None))
    assert 25 <= check_sound(sent, 60) <= 28


@pytest.mark.parametrize("text", ["#EXTM3U\n#EXTINF:1,\nspeech.wav\n", "ffconcat version 1.0\nfile speech.wav\n"])
def test_a_playlist_is_not_followed(tmp_path: Path, text: str) -> None:
    write_speech(tmp_path / "speech.wav", 1.0)
    (tmp_path / "sound").write_text(text)
    with pytest.raises(RequestError, match="cannot be decoded"):
        check_sound(tmp_path / "sound", 60)
