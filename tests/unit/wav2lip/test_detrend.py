"""A generator that leaves a little of the mouths it draws on, and what is read of it before and after."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import MediaError
from models.face.compositor import Compositor
from models.quality.opening import OpeningGauge, Renders
from models.wav2lip.corpus import Corpus
from models.wav2lip.detrend import Talking, detrend, talking_faces
from models.wav2lip.from_code import planes
from models.wav2lip.network import Generator
from models.wav2lip.weights import GeneratorInfo
from tests.unit.wav2lip.avatars import filled_generator, soft_avatar
from tests.unit.wav2lip.corpora import small_corpus, write_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, samples=60, shards=2)
    return small_corpus(folder)


@pytest.fixture(scope="module")
def gauge(corpus: Corpus) -> OpeningGauge:
    """Of the corpus's avatar, which opens its mouth by 10 mm."""
    avatar = soft_avatar(frames=4)
    compositor = Compositor(avatar)
    pictures = [compositor.compose(int(f), corpus.targets[i]) for i, f in enumerate(corpus.frame)]
    return OpeningGauge(avatar, Renders(corpus.frame, pictures, 10.0 * corpus.code[:, 0]))


@pytest.fixture(scope="module")
def talking(corpus: Corpus, gauge: OpeningGauge) -> Talking:
    return talking_faces(corpus, soft_avatar(frames=4), [gauge], 32)


@pytest.fixture(scope="module")
def info() -> GeneratorInfo:
    return GeneratorInfo(width=0.25, size=288, lead_columns=4, colour="rgb", licence="CC0-1.0")


def test_what_has_a_gradient_is_nearly_what_the_gauge_measures(talking: Talking) -> None:
    differences = talking.cutout.drawn_part(planes(talking.faces) - planes(talking.rest))
    read, opening = talking.read(differences), talking.told()[1]
    assert float(torch.corrcoef(torch.stack((read, opening)))[0, 1]) > 0.995
    pairs = zip(talking.renders.pictures, talking.renders.frames.tolist(), strict=True)
    measured = [talking.gauges[0].measure(*pair) / talking.gauges[0].range_mm for pair in pairs]
    np.testing.assert_allclose(read, measured, atol=0.06)  # a picture is coded in 4:2:0


def test_readings_cease_to_follow_the_mouths_drawn_on(talking: Talking, info: GeneratorInfo) -> None:
    generator = filled_generator()  # leaves mouths as they are: more than first order undoes in one pass
    before = {name: tensor.clone() for name, tensor in generator.state_dict().items()}
    follows = [correlation for (correlation,) in detrend(generator, info, [talking], passes=4)]
    assert follows == sorted(follows, reverse=True)
    assert follows[0] > 0.9
    assert abs(follows[-1]) < 0.3
    changed = {name for name, tensor in generator.state_dict().items() if not torch.equal(tensor, before[name])}
    last = len(generator.flow_block) - 1
    assert changed == {
        f"{layer}.{kind}" for layer in ("output_block.1", f"flow_block.{last}") for kind in ("weight", "bias")
    }


def test_pauses_and_made_up_mouths_are_not_drawn_on(tmp_path: Path, gauge: OpeningGauge) -> None:
    write_corpus(tmp_path, samples=12, shards=1)
    path = tmp_path / "shard-00000.npz"
    shard = dict(np.load(path))
    shard["weights"][:4] = 0.0
    np.savez(path, **shard, row=np.where(np.arange(12) < 6, 0, -1))
    corpus = small_corpus(tmp_path)
    assert corpus.spoken().tolist() == [4, 5]
    chosen = talking_faces(corpus, soft_avatar(frames=4), [gauge], 12)
    assert len(chosen) == 2
    assert {face.tobytes() for face in chosen.faces} == {corpus.as_seen(4).tobytes(), corpus.as_seen(5).tobytes()}
    np.savez(path, **shard, row=np.full(12, -1))
    with pytest.raises(MediaError, match="no mouths of speech"):
        talking_faces(small_corpus(tmp_path), soft_avatar(frames=4), [gauge], 12)


def test_a_generator_that_draws_upon_nothing_is_refused(talking: Talking, info: GeneratorInfo) -> None:
    with pytest.raises(ValueError, match="size 96"):
        detrend(Generator(0.25, 96), info, [talking])
