import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.engine import RenderRequest
from models.errors import CheckpointError, MediaError
from models.motion.ear import PREFIX, EarShape
from models.studio.arkit import ARKIT_NAMES
from models.wav2lip import merge, objective, train, train_syncnet
from models.wav2lip.checkpoint import load_state, save_state
from models.wav2lip.corpus import Corpus, Inputs
from models.wav2lip.engine import load_engine
from models.wav2lip.syncnet import SyncNet
from models.wav2lip.train import Recipe, Trainer
from models.wav2lip.weights import load_generator
from tests.unit.wav2lip.avatars import soft_avatar
from tests.unit.wav2lip.corpora import SINK_PX, small_corpus, write_corpus

pytestmark = pytest.mark.usefixtures("one_thread")

CODED = 0.5
"""Of 255: how much of a pixel's luma is lost on average by coding in YUV."""
OTHERS = {"inputs": Inputs(talking=0.3, hushed=0.4), "weights": objective.Weights(trace=6000.0)}
TERMS = {"total", "l1", "edge", "coarse", "kept", "flow", "opacity", "grain", "trace"}

ROOT = Path(__file__).parents[3]


def recipe(steps: int, **changes: object) -> Recipe:
    settings = {
        "batch": 4,
        "width": 0.125,
        "inputs": Inputs(),
        "warmup_steps": 5,
        "checkpoint_every": 4,
        "held_out": 8,
    }
    return Recipe(steps=steps, **(settings | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("corpus")
    write_corpus(path)
    return path


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    path = tmp_path_factory.mktemp("spoken")
    write_corpus(path, samples=40, clips=True)
    return small_corpus(path)


def test_the_loss_falls_and_the_code_reaches_the_picture(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = Trainer(small_corpus(folder), recipe(1000, rate=1e-2))
    # One shut and one open mouth on one idle frame, over and over: no luck of the draw decides.
    same = np.flatnonzero(trainer.corpus.frame == 0)
    jaw = trainer.corpus.code[same, 0]
    pair = same[[jaw.argmin(), jaw.argmax()]]
    monkeypatch.setattr(trainer, "_chosen", lambda rng: pair)
    first = terms = trainer.advance()
    while terms["total"] >= 0.2 * first["total"] and trainer.step < 400:
        terms = trainer.advance()
    assert set(terms) == TERMS
    assert terms["total"] < 0.2 * first["total"]
    with torch.no_grad():  # by the batch's own statistics: the running ones lag behind so fast a training
        shut, wide = trainer.draw(trainer.corpus.batch(pair)).picture
    assert (shut - wide).abs().max() > 0.1
    trainer.sheet(tmp_path / "sheet.png", count=3)
    sheet = cv2.imread(str(tmp_path / "sheet.png"))
    assert sheet.shape == (3 * 288, 3 * 288, 3)


KILLED = """
import sys
from pathlib import Path
import torch
from models.wav2lip.train import run
from tests.unit.wav2lip.corpora import small_corpus
from tests.unit.wav2lip.test_train import OTHERS, recipe
torch.set_num_threads(1)
run(small_corpus(Path(sys.argv[1])), recipe(1000, **OTHERS), Path(sys.argv[2]))
"""


def test_a_killed_run_resumes_to_the_same_weights(folder: Path, tmp_path: Path) -> None:
    last = tmp_path / "out" / train.STATE
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(folder), str(tmp_path / "out")], cwd=ROOT)
    deadline = time.monotonic() + 60
    while not last.is_file() and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    step = int(load_state(last)["step"])
    assert step % 4 == 0
    # The rate falls towards the last step, so both go on by the killed run's recipe, to the same step.
    resumed, straight = (Trainer(small_corpus(folder), recipe(1000, **OTHERS)) for _ in range(2))
    resumed.restore(load_state(last))
    assert resumed.step == step
    for trainer in (resumed, straight):
        while trainer.step < step + 3:
            trainer.advance()
    for name, tensor in straight.average.items():
        assert torch.equal(tensor, resumed.average[name]), name


def test_run_stops_at_its_last_step_and_begins_there_again(folder: Path, tmp_path: Path) -> None:
    trainer = train.run(small_corpus(folder), recipe(3), tmp_path)
    assert (trainer.step, int(load_state(tmp_path / train.STATE)["step"])) == (3, 3)
    assert (tmp_path / "sheet-000003.png").is_file()
    assert list((tmp_path / "log").iterdir())
    assert train.run(small_corpus(folder), recipe(4), tmp_path).step == 4


@pytest.mark.parametrize("frozen", [True, False])
def test_frozen_norms_keep_their_statistics_while_weights_learn(folder: Path, frozen: bool) -> None:
    trainer = Trainer(small_corpus(folder), recipe(3, freeze_norms=frozen))
    before = {name: tensor.clone() for name, tensor in trainer.generator.state_dict().items()}
    trainer.advance()
    # The ear is none of the face's training.
    after = {n: t for n, t in trainer.generator.state_dict().items() if not n.startswith("audio_encoder.")}
    kept = {name: torch.equal(tensor, before[name]) for name, tensor in after.items()}
    assert {same for name, same in kept.items() if "running_" in name} == {frozen}
    assert not kept["face_encoder_blocks.0.0.conv_block.0.weight"]


def test_faces_are_encoded_in_full_precision_as_the_engine_does(folder: Path) -> None:
    trainer = Trainer(small_corpus(folder), recipe(1, bfloat16=True))
    kinds: dict[str, torch.dtype] = {}
    for name, block in (("face", trainer.generator.face_encoder_blocks[-1]), ("drawn", trainer.generator.output_block)):
        block.register_forward_hook(lambda _block, _inputs, output, name=name: kinds.update({name: output.dtype}))
    trainer.advance()
    assert kinds == {"face": torch.float32, "drawn": torch.bfloat16}


def test_frozen_norms_want_weights_to_begin_with(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        train.main(["--corpus", str(folder), "--out", str(tmp_path), "--steps", "1", "--freeze-norms"])
    assert "--freeze-norms needs --start" in capsys.readouterr().err


def test_critic_and_sync_terms_teach_too(spoken: Corpus) -> None:
    weights = objective.Weights(sync=0.03, critic=0.05)
    with pytest.raises(ValueError, match="expert"):
        Trainer(spoken, recipe(5, weights=weights))
    with_terms = Trainer(spoken, recipe(5, batch=10, weights=weights), SyncNet(0.125))
    without = Trainer(spoken, recipe(5, batch=10, weights=objective.Weights(sync=1e-12)), SyncNet(0.125))
    assert with_terms.critic is not None
    before = [p.detach().clone() for p in with_terms.critic.parameters()]
    terms, plain = with_terms.advance(), without.advance()
    assert set(terms) == TERMS | {"sync", "critic", "taken"}
    assert terms["l1"] == plain["l1"]
    assert any(not torch.equal(b, p) for b, p in zip(before, with_terms.critic.parameters(), strict=True))
    # AdamW's steps have the gradient's sign: other signs mean that the terms reached the weights.
    pairs = zip(with_terms.generator.parameters(), without.generator.parameters(), strict=True)
    assert any(not torch.equal(a, b) for a, b in pairs)
    with_terms.restore(with_terms.state())
    assert np.isfinite(with_terms.advance()["total"])


def test_the_expert_learns_which_sound_belongs(spoken: Corpus, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expert = train_syncnet.Recipe(steps=12, batch=8, width=0.125, checkpoint_every=10)
    trainer = train_syncnet.ExpertTrainer(spoken, expert)
    first = trainer.batch(np.random.default_rng(0))
    # One batch over and over: whether it is learned does not hang on the luck of the draw.
    monkeypatch.setattr(trainer, "batch", lambda rng: first)
    found = [trainer.advance() for _ in range(12)]
    assert found[-1] < 0.3 * found[0]
    save_state(tmp_path / train_syncnet.STATE, trainer.state())
    assert train_syncnet.run(spoken, expert, tmp_path).step == 12


def write_ear(path: Path, shape: EarShape) -> None:
    tensors = {PREFIX + n: t for n, t in shape.build().state_dict().items() if t.is_floating_point()}
    save_file(tensors, path, metadata=shape.metadata)


def test_ear_and_face_merge_into_an_engine(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    write_ear(tmp_path / "ear.safetensors", EarShape(0.125, channels=64, lead_columns=6))
    train.run(small_corpus(folder), recipe(2), tmp_path / "out", ear=tmp_path / "ear.safetensors")
    engine = load_engine(tmp_path / "out" / "wav2lip.safetensors")
    assert engine.window.lead_columns == 6
    prepared = engine.prepare(soft_avatar(frames=4))
    request = RenderRequest(prepared, None, 1, np.zeros((80, 16), np.float32), np.zeros(640, np.float32))
    (crop,) = engine.render([request])
    assert crop.std() > 1
    write_ear(tmp_path / "ear.safetensors", EarShape(0.125, channels=128))
    with pytest.raises(CheckpointError, match="width"):
        train.export(Trainer(small_corpus(folder), recipe(2)), tmp_path / "ear.safetensors", tmp_path / "x")


def test_the_mean_of_two_states_is_merged(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    ear = tmp_path / "ear.safetensors"
    write_ear(ear, EarShape(0.125, channels=64, lead_columns=6))
    for name, start in (("one", None), ("two", tmp_path / "one" / "wav2lip.safetensors")):
        train.run(small_corpus(folder), recipe(2), tmp_path / name, ear=ear, start=start)
    states = [part for name in ("one", "two") for part in ("--state", str(tmp_path / name / "last.pt"))]
    monkeypatch.setattr("sys.argv", ["merge", "--ear", str(ear), *states, "--out", str(tmp_path / "mean.safetensors")])
    merge.main()
    paths = [tmp_path / "one" / "wav2lip.safetensors", tmp_path / "two" / "wav2lip.safetensors"]
    generators = [load_generator(path)[0] for path in (*paths, tmp_path / "mean.safetensors")]
    one, two, mean = (each.state_dict()["face_decoder_blocks.0.0.conv_block.0.weight"].float() for each in generators)
    assert (one != two).any()
    torch.testing.assert_close(mean, (one + two) / 2, rtol=0.01, atol=1e-3)
    other = {name: tensor.flatten()[:1] for name, tensor in load_state(tmp_path / "one" / "last.pt")["average"].items()}
    with pytest.raises(CheckpointError, match="no mean"):
        merge.mean([load_state(tmp_path / "two" / "last.pt")["average"], other])


def test_what_is_no_corpus_is_refused(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no shards"):
        small_corpus(tmp_path)
    (tmp_path / "shard-00000.npz").write_bytes(b"damaged")
    with pytest.raises(MediaError, match="damaged"):
        small_corpus(tmp_path)
    with pytest.raises(MediaError, match="idle loop"):
        Corpus([(folder, soft_avatar(frames=2))])
    with pytest.raises(MediaError, match="give the avatar"):
        Corpus([(folder, None)])


def test_some_inputs_say_something_else_in_the_same_pose(folder: Path) -> None:
    corpus = small_corpus(folder)
    indices = np.arange(30)
    plain, mixed = corpus.batch(indices), corpus.batch(indices, Inputs(talking=0.5), np.random.default_rng(1))
    np.testing.assert_array_equal(mixed.target, plain.target)
    differs = (mixed.idle != plain.idle).any(axis=(1, 2, 3))
    assert 5 < differs.sum() < 25
    for index in np.flatnonzero(differs):
        assert corpus.frame[shown_by(corpus, mixed.idle[index])] == corpus.frame[index]


def shown_by(corpus: Corpus, picture: np.ndarray) -> int:
    """The sample whose mouth a face shows that is drawn on: pasted on the face at rest, colours at half resolution."""
    weight = cv2.resize(corpus.mask, (288, 288), interpolation=cv2.INTER_AREA)[..., np.newaxis] / 255
    rest = corpus.idle[corpus.frame].astype(np.float64)
    pasted = np.round(rest + weight * (corpus.targets - rest)).astype(np.uint8)
    off = [np.abs(luma(face) - luma(picture)).mean() for face in pasted]
    assert min(off) <= CODED
    return int(np.argmin(off))


def luma(picture: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2YUV)[..., 0].astype(int)


def test_some_talking_inputs_are_brought_to_rest(folder: Path) -> None:
    corpus = small_corpus(folder)
    indices = np.arange(30)
    batch = corpus.batch(indices, Inputs(hushed=1.0), np.random.default_rng(1))
    np.testing.assert_array_equal(batch.target, corpus.idle[corpus.frame[indices]])
    assert not batch.code.any()
    was_at_rest = (batch.idle == batch.target).all(axis=(1, 2, 3))
    assert 1 <= was_at_rest.sum() <= 12
    np.testing.assert_array_equal(batch.worn.any(axis=1), ~was_at_rest)
    for index in np.flatnonzero(~was_at_rest):
        assert corpus.frame[shown_by(corpus, batch.idle[index])] == corpus.frame[index]
    with pytest.raises(ValueError, match="rng"):
        corpus.batch(indices, Inputs(hushed=1.0))


def test_what_leaves_traces_of_its_own_is_a_kind_of_its_own(tmp_path: Path) -> None:
    write_corpus(tmp_path, samples=12, shards=1)
    shard = dict(np.load(tmp_path / "shard-00000.npz"))
    shard["frame"] = np.repeat([0, 1], 6).astype(np.int16)
    speech, made_up = np.zeros(6, np.int32), np.full(6, -1, np.int32)
    np.savez(tmp_path / "shard-00000.npz", **shard, row=np.concatenate([speech, made_up]))
    corpus = small_corpus(tmp_path)
    assert corpus.kinds == 5
    assert not corpus.batch(np.arange(12)).kind.any()
    for inputs, upon_speech, upon_made_up in ((Inputs(talking=1.0), 1, 3), (Inputs(hushed=1.0), 2, 4)):
        batch = corpus.batch(np.arange(12), inputs, np.random.default_rng(1))
        upon = np.repeat([upon_speech, upon_made_up], 6)
        np.testing.assert_array_equal(batch.kind, np.where(batch.worn.any(axis=1), upon, 0))


def test_pauses_are_nothing_to_bring_to_rest(tmp_path: Path) -> None:
    write_corpus(tmp_path, samples=30, shards=1)
    shard = dict(np.load(tmp_path / "shard-00000.npz"))
    shard["weights"][shard["frame"] == 0] = 0.0
    shard["weights"][np.flatnonzero(shard["frame"] == 1)[1:]] = 0.0
    np.savez(tmp_path / "shard-00000.npz", **shard)
    corpus = small_corpus(tmp_path)
    paused, spoken_once, spoken = (np.flatnonzero(corpus.frame == frame) for frame in (0, 1, 2))
    for inputs in (Inputs(talking=1.0), Inputs(hushed=1.0)):
        batch = corpus.batch(np.arange(30), inputs, np.random.default_rng(1))
        assert not batch.worn[paused].any()
        np.testing.assert_array_equal(batch.idle[paused], corpus.idle[corpus.frame[paused]])
        once = batch.worn[spoken_once]
        assert once[1:].any()
        assert {tuple(code) for code in once if code.any()} == {tuple(corpus.code[spoken_once[0]])}
        assert batch.worn[spoken].any()
    assert not corpus.batch(np.arange(30), Inputs(talking=1.0), np.random.default_rng(1)).worn[spoken_once[0]].any()


def test_the_flow_is_from_what_is_drawn_to_what_it_is_drawn_on(tmp_path: Path) -> None:
    write_corpus(tmp_path, samples=12, shards=1, flows=True)
    corpus, indices = small_corpus(tmp_path), np.arange(12)
    with np.load(tmp_path / "shard-00000.npz") as data:
        jaw = data["weights"][:, ARKIT_NAMES.index("jawOpen")]

    def opening(picture: np.ndarray) -> float:
        """Of the sample, or the face at rest, that looks like this."""
        if (picture == corpus.idle).all(axis=(1, 2, 3)).any():
            return 0.0
        drawn = np.flatnonzero((corpus.targets == picture).all(axis=(1, 2, 3)))
        return float(jaw[drawn[0] if len(drawn) else shown_by(corpus, picture)])

    for inputs in (Inputs(), Inputs(talking=1.0), Inputs(hushed=1.0)):
        batch = corpus.batch(indices, inputs, np.random.default_rng(3))
        for idle, target, flow, worn in zip(batch.idle, batch.target, batch.flow, batch.worn, strict=True):
            assert worn[0] == pytest.approx(opening(idle), abs=1 / 30)
            sunk = SINK_PX * (opening(idle) - opening(target))
            # Each of two flows is stored to an eighth of a pixel, and mouths look alike up to a thirtieth of a jaw.
            np.testing.assert_allclose(flow[100, 100], [0, sunk], atol=0.25 + SINK_PX / 30)
    terms = Trainer(corpus, recipe(1, inputs=Inputs(hushed=1.0))).advance()
    assert terms["flow"] == pytest.approx(SINK_PX * jaw.mean(), rel=0.5)  # an untrained network moves nothing yet


def test_avatars_share_a_network_and_each_keeps_samples_to_judge_by(tmp_path: Path) -> None:
    write_corpus(tmp_path / "a", samples=10, shards=1, clips=True)
    write_corpus(tmp_path / "b", samples=12, shards=2, clips=True)
    first, second = soft_avatar(frames=4), soft_avatar(frames=5, seed=3)
    both = Corpus([(tmp_path / "a", first), (tmp_path / "b", second)])
    one, other = (Corpus([(tmp_path / name, avatar)]) for name, avatar in (("a", first), ("b", second)))
    assert len(both) == len(one) + len(other)
    for corpus, indices in ((one, np.arange(10)), (other, np.arange(24))):
        batch, alone = both.batch(indices + (corpus is other) * 10), corpus.batch(indices)
        np.testing.assert_array_equal(batch.idle, alone.idle)
        np.testing.assert_array_equal(batch.code, alone.code)
    np.testing.assert_array_equal(both.mel(10 + 14), other.mel(14))
    assert both.held_out(4).tolist() == [8, 9, 32, 33]
    first_kind, last_kind = both.batch(np.array([9, 10])).kind
    assert first_kind != last_kind
    assert not np.isin(Trainer(both, recipe(1, held_out=4)).learned, both.held_out(4)).any()
    with pytest.raises(MediaError, match="another part"):
        Corpus([(tmp_path / "a", first), (tmp_path / "b", soft_avatar(frames=5, box=200))])


def test_a_corpus_of_the_cast_brings_its_own_faces_and_mask(folder: Path, tmp_path: Path) -> None:
    write_corpus(tmp_path / "cast", samples=10, own_faces=True)
    cast, avatar = Corpus([(tmp_path / "cast", None)]), soft_avatar(frames=4)
    np.testing.assert_array_equal(cast.mask, avatar.mask)
    for shard in range(2):
        with np.load(tmp_path / "cast" / f"shard-{shard:05d}.npz") as data:
            batch = cast.batch(np.arange(10) + 10 * shard)
            np.testing.assert_array_equal(batch.idle, data["idle"][data["frame"]])
            np.testing.assert_array_equal(batch.target, data["target"])
    assert cast.held_out(4).tolist() == [8, 9, 18, 19]
    assert cast.held_out(1).tolist() == [9]
    both = Corpus([(folder, avatar), (tmp_path / "cast", None)])
    np.testing.assert_array_equal(both.batch(96 + np.arange(20)).idle, cast.batch(np.arange(20)).idle)
    with pytest.raises(MediaError, match="'cast' shows another part"):
        Corpus([(tmp_path / "cast", soft_avatar(frames=4, box=200)), (tmp_path / "cast", None)])


def test_no_input_says_already_what_is_to_be_drawn(tmp_path: Path) -> None:
    write_corpus(tmp_path, samples=6, shards=1)
    shard = dict(np.load(tmp_path / "shard-00000.npz"))
    shard["frame"] = np.array([0, 0, 1, 1, 1, 2], np.int16)
    np.savez(tmp_path / "shard-00000.npz", **shard)
    corpus = small_corpus(tmp_path)
    for seed in range(5):
        batch = corpus.batch(np.arange(6), Inputs(talking=1.0), np.random.default_rng(seed))
        assert (batch.idle != batch.target).any(axis=(1, 2, 3)).all()
        assert shown_by(corpus, batch.idle[0]) == 1
        np.testing.assert_array_equal(batch.idle[5], corpus.idle[2])  # alone in its pose: at rest


def test_a_damaged_state_says_so(tmp_path: Path) -> None:
    save_state(tmp_path / "s.pt", {"step": 1})
    (tmp_path / "s.pt").write_bytes((tmp_path / "s.pt").read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        load_state(tmp_path / "s.pt")


def test_code_takes_the_embeddings_place() -> None:
    embedding = objective.embedding_of(torch.full((2, 3), 0.5), 8)
    assert embedding.shape == (2, 8, 1, 1)
    assert (embedding[:, :3] == 0.5).all()
    assert (embedding[:, 3:] == 0).all()
    with pytest.raises(ValueError, match="fit"):
        objective.embedding_of(torch.zeros(1, 9), 8)


def test_mouths_that_the_code_does_not_tell_are_left_out(tmp_path: Path) -> None:
    write_corpus(tmp_path, samples=6, shards=1)
    shard = dict(np.load(tmp_path / "shard-00000.npz"))
    shard["weights"][2, ARKIT_NAMES.index("mouthDimpleLeft")] = 0.5
    shard["weights"][4, ARKIT_NAMES.index("mouthSmileLeft")] = 0.4  # one-sided
    np.savez(tmp_path / "shard-00000.npz", **shard)
    corpus = small_corpus(tmp_path)
    kept = [0, 1, 3, 5]
    np.testing.assert_array_equal(corpus.targets, shard["target"][kept])
    np.testing.assert_allclose(corpus.code[:, 0], shard["weights"][kept, ARKIT_NAMES.index("jawOpen")])
