import struct
import zlib
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from models.errors import MediaError
from models.face.pictures import Limits, read_clip, read_photo
from tests.unit.face.faces import portrait, write_clip, write_photo


def huge_png(path: Path, width: int, height: int) -> Path:
    """A PNG that says it is this large and holds next to nothing: decoding it would fail."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 99)))
    return path


def turned_on_its_side(path: Path) -> None:
    """Write a quarter turn into an MP4's track header (ISO/IEC 14496-12, 8.3.2), as phones do."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 40
    data[at : at + 36] = struct.pack(">9i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def test_200_megapixels_are_refused_before_they_are_decoded(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"huge\.png has 20000 x 10000 pixels, 200 million; scale it down to 50"):
        read_photo(huge_png(tmp_path / "huge.png", 20_000, 10_000), Limits())


def test_exif_orientation_is_honoured_and_large_photos_are_scaled(tmp_path: Path) -> None:
    large = np.kron(portrait(), np.ones((5, 5, 1), np.uint8))[:, :2000]
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    path = write_photo(tmp_path / "phone.jpg", np.ascontiguousarray(np.rot90(large)), exif=exif, quality=90)
    picture = read_photo(path, Limits())
    assert picture is not None
    assert max(picture.rgb.shape) <= 1920
    assert picture.scale * picture.rgb.shape[0] == pytest.approx(2560, abs=3)
    small = np.asarray(Image.fromarray(picture.rgb).resize((100, 128)), int)
    expected = np.asarray(Image.fromarray(large).resize((100, 128)), int)
    assert np.abs(small - expected).mean() < 4


def test_transparent_parts_become_plain(tmp_path: Path) -> None:
    rgba = np.dstack([portrait(), np.full((512, 512), 255, np.uint8)])
    rgba[:100, :, 3] = 0
    rgba[:100, :, :3] = (255, 0, 255)
    picture = read_photo(write_photo(tmp_path / "cut.png", rgba), Limits())
    assert picture is not None
    assert np.ptp(picture.rgb[:100].reshape(-1, 3), axis=0).max() == 0
    assert picture.rgb[0, 0].min() > 200
    assert np.array_equal(picture.rgb[100:], portrait()[100:])


def test_damaged_and_absent_files(tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "cut.jpg", portrait())
    photo.write_bytes(photo.read_bytes()[:9000])
    with pytest.raises(MediaError, match=r"cut\.jpg is a damaged picture; save it again"):
        read_photo(photo, Limits())
    with pytest.raises(MediaError, match=r"There is no file none\.jpg"):
        read_photo(tmp_path / "none.jpg", Limits())
    text = tmp_path / "notes.txt"
    text.write_text("words")
    assert read_photo(text, Limits()) is None
    with pytest.raises(MediaError, match=r"notes\.txt is neither a picture nor a video"):
        next(read_clip(text, Limits()))


def test_playlists_are_not_opened(tmp_path: Path) -> None:
    write_clip(tmp_path / "inner.mp4", [portrait()] * 3)
    playlist = tmp_path / "list.m3u8"
    playlist.write_text("#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\ninner.mp4\n#EXT-X-ENDLIST\n")
    with pytest.raises(MediaError, match="neither a picture nor a video"):
        next(read_clip(playlist, Limits()))


def test_clips_without_picture_or_frames(tmp_path: Path) -> None:
    sound = tmp_path / "sound.mp4"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with pytest.raises(MediaError, match=r"sound\.mp4 holds no picture"):
        next(read_clip(sound, Limits()))
    whole = write_clip(tmp_path / "whole.mkv", [portrait()] * 4)
    empty = tmp_path / "empty.avi"
    with av.open(str(empty), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        container.start_encoding()
    with pytest.raises(MediaError, match=r"empty\.avi is a clip without frames"):
        next(read_clip(empty, Limits()))
    with pytest.raises(MediaError, match=r"whole\.mkv has 512 x 512 pixels"):
        next(read_clip(whole, Limits(megapixels=0.2)))


@pytest.mark.parametrize(("rate", "count"), [(25, 20), (50, 40), (30, 24), (10, 8)])
def test_clips_come_at_25_frames_a_second(tmp_path: Path, rate: int, count: int) -> None:
    frames = [np.full((64, 64, 3), 6 * index, np.uint8) for index in range(count)]
    shown = [int(p.rgb[32, 32, 0]) for p in read_clip(write_clip(tmp_path / "c.mp4", frames, rate), Limits())]
    assert abs(len(shown) - 20) <= 2
    due = [6 * (index * rate // 25) for index in range(len(shown))]
    assert np.abs(np.subtract(shown, due)).max() <= 6 + 2
    assert len(list(read_clip(tmp_path / "c.mp4", Limits(clip_s=0.4)))) == 10


def test_a_phones_clip_is_upright(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "phone.mp4", [np.ascontiguousarray(np.rot90(portrait()))] * 2)
    turned_on_its_side(path)
    picture = next(read_clip(path, Limits()))
    assert np.abs(picture.rgb.astype(int) - portrait()).mean() < 4
