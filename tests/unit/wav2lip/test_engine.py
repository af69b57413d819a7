from pathlib import Path

import numpy as np
import pytest
import torch

from models.avatar import Avatar
from models.engine import Engine, RenderRequest
from models.errors import CheckpointError
from models.wav2lip.engine import Wav2LipEngine, load_engine
from models.wav2lip.network import Generator
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.weights import GeneratorInfo, load_generator, save_generator
from tests.unit.wav2lip.avatars import filled_generator, soft_avatar

INFO = GeneratorInfo(width=0.25, size=288, lead_columns=8, colour="rgb", licence="CC0-1.0")


@pytest.fixture(scope="module")
def generator() -> Generator:
    return filled_generator()


@pytest.fixture(scope="module")
def avatar() -> Avatar:
    return soft_avatar()


def mels(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-4, 4, (count, 80, 16)).astype(np.float32)


def requests(prepared: object, frames: list[int], seed: int = 0) -> list[RenderRequest]:
    sound = np.zeros(640, np.float32)
    return [
        RenderRequest(prepared, None, frame, mel, sound)
        for frame, mel in zip(frames, mels(len(frames), seed), strict=True)
    ]


@torch.inference_mode()
def drawn_whole(generator: Generator, crop: np.ndarray, mel: np.ndarray) -> np.ndarray:
    """The plain network on one frame, in eight-bit steps."""
    reference = torch.from_numpy(crop.astype(np.float32) / 255).permute(2, 0, 1)[None]
    masked = reference.clone()
    masked[:, :, reference.shape[2] // 2 :] = 0
    picture = generator(torch.from_numpy(mel)[None, None], torch.cat((masked, reference), dim=1))
    return (picture[0].permute(1, 2, 0) * 255).numpy()


def differences(engine: Engine, generator: Generator, avatar: Avatar) -> np.ndarray:
    """Pasted pixels against the plain float32 network, (n, h, w, 3) in eight-bit steps."""
    prepared = engine.prepare(avatar)
    asked = requests(prepared, [0, 3, 5, 3])
    rows = prepared.cutout.drawn.rows, prepared.cutout.drawn.columns
    part = tuple(slice(span.start, span.stop) for span in rows)
    found = []
    for request, picture in zip(asked, engine.render(asked), strict=True):
        crop = scaled_crop(avatar.crop_rgb(request.avatar_frame), 288)
        expected = drawn_whole(generator, crop, request.mel)
        assert picture.shape == (288, 288, 3)
        assert picture.dtype == np.uint8
        found.append(np.abs(picture.astype(float) - expected)[part])
    return np.stack(found)


def test_the_part_drawn_equals_the_plain_network(generator: Generator, avatar: Avatar) -> None:
    off = differences(Wav2LipEngine(generator, INFO, torch.float32), generator, avatar)
    assert off.max() < 1.5
    assert off.mean() < 0.3  # rounding alone gives 0.25


def test_bfloat16_stays_near(generator: Generator, avatar: Avatar) -> None:
    off = differences(Wav2LipEngine(generator, INFO, torch.bfloat16), generator, avatar)
    assert off.mean() < 1.5
    assert np.percentile(off, 99) < 8


def test_the_mask_lies_within_the_part_drawn(generator: Generator, avatar: Avatar) -> None:
    engine = Wav2LipEngine(generator, INFO, torch.float32)
    prepared = engine.prepare(avatar)
    (picture,) = engine.render(requests(prepared, [1]))
    seen = picture.any(axis=2)
    rows, columns = np.nonzero(avatar.mask)
    scale = 288 / len(avatar.mask)
    assert seen[int(rows.min() * scale) : int(rows.max() * scale), 144].all()
    assert seen[210, int(columns.min() * scale) : int(columns.max() * scale)].all()
    assert not seen[: int(rows.min() * scale) - 4].any()


def test_a_batch_is_its_frames_whatever_the_order_and_the_avatar(generator: Generator, avatar: Avatar) -> None:
    engine = Wav2LipEngine(generator, INFO, torch.float32)
    other = soft_avatar(frames=3, box=200, seed=4)
    mixed = requests(engine.prepare(avatar), [0, 4, 9]) + requests(engine.prepare(other), [1], seed=8)
    mixed = [mixed[i] for i in (0, 3, 1, 2)]
    together = engine.render(mixed)
    for request, picture in zip(mixed, together, strict=True):
        (alone,) = engine.render([request])
        assert np.abs(picture.astype(int) - alone).max() <= 1
    assert np.abs(together[0].astype(int) - together[1]).max() > 10


def test_sound_changes_the_mouth(generator: Generator, avatar: Avatar) -> None:
    engine = Wav2LipEngine(generator, INFO)
    prepared = engine.prepare(avatar)
    first, second = engine.render(requests(prepared, [2, 2]))
    assert np.abs(first.astype(int) - second).mean() > 0.5


def test_an_avatar_of_ten_seconds_stays_under_80_mb(generator: Generator, avatar: Avatar) -> None:
    prepared = Wav2LipEngine(generator, INFO).prepare(avatar)
    assert prepared.bytes / len(prepared) * 250 < 80e6


def test_colour_order_follows_the_weights(generator: Generator, avatar: Avatar) -> None:
    bgr = GeneratorInfo(width=0.25, size=288, lead_columns=8, colour="bgr", licence="CC0-1.0")
    blue = Avatar(**{**vars(avatar), "frames_i420": _swapped(avatar)})
    plain, turned = (Wav2LipEngine(generator, info, torch.float32) for info in (INFO, bgr))
    (first,) = plain.render(requests(plain.prepare(avatar), [2]))
    (second,) = turned.render(requests(turned.prepare(blue), [2]))
    assert np.abs(first.astype(int) - second[..., ::-1]).mean() < 2.0  # colour conversion rounds


def _swapped(avatar: Avatar) -> np.ndarray:
    import cv2

    loop = [
        cv2.cvtColor(np.ascontiguousarray(avatar.frame_rgb(i)[..., ::-1]), cv2.COLOR_RGB2YUV_I420)
        for i in range(len(avatar))
    ]
    return np.stack(loop)


def test_weights_come_back_with_their_metadata(generator: Generator, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_generator(path, generator.state_dict(), INFO, dtype=torch.float32)
    loaded, info = load_generator(path)
    assert info == INFO
    for name, tensor in generator.state_dict().items():
        if tensor.is_floating_point():
            torch.testing.assert_close(loaded.state_dict()[name], tensor, rtol=0, atol=0)
    engine = load_engine(path)
    assert engine.window.lead_columns == 8
    assert engine.window.lookahead_ms == pytest.approx(112.5)


def test_unusable_weights_name_the_cause(generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no Wav2Lip weights"):
        load_generator(tmp_path / "none.safetensors")
    damaged = tmp_path / "damaged.safetensors"
    save_generator(damaged, generator.state_dict(), INFO)
    damaged.write_bytes(damaged.read_bytes()[:5000])
    with pytest.raises(CheckpointError, match="damaged"):
        load_generator(damaged)
    other = tmp_path / "other.safetensors"
    wrong = GeneratorInfo(width=0.5, size=288, lead_columns=8, colour="rgb", licence="CC0-1.0")
    save_generator(other, generator.state_dict(), wrong)
    with pytest.raises(CheckpointError, match="architecture"):
        load_generator(other)
    bare = tmp_path / "bare.safetensors"
    from safetensors.torch import save_file

    save_file({"x": torch.zeros(1)}, bare)
    with pytest.raises(CheckpointError, match="do not say"):
        load_generator(bare)
