from pathlib import Path

import numpy as np
import pytest

from models.errors import MediaError
from models.studio.arkit import ARKIT_NAMES, INDEX, MOUTH, weights
from models.studio.corpus import draw_corpus, draw_shard
from models.studio.mouths import load_curves, made_up_mouth
from models.studio.shards import SHARD_SAMPLES, CorpusPlan, shard_path
from models.studio.stage import Stage


@pytest.fixture
def curves(tmp_path: Path) -> Path:
    path = tmp_path / "curves.npz"
    rows = [weights(jawOpen=step / 10, mouthFunnel=0.3) for step in range(6)]
    np.savez(path, curves=np.stack(rows))
    return path


def test_a_shard_is_the_same_for_a_seed_and_pairs_with_its_idle_crop(
    stage: Stage, curves: Path, tmp_path: Path
) -> None:
    plans = [CorpusPlan("ada", curves, tmp_path / name, 4, 7, 0.5) for name in ("a", "b")]
    for plan in plans:
        plan.out.mkdir()
        draw_shard(stage, load_curves(curves), plan, 0)
    first, second = (shard_path(plan, 0) for plan in plans)
    assert first.read_bytes() == second.read_bytes()
    with np.load(first) as data:
        assert data["target"].shape == (4, 288, 288, 3)
        assert data["weights"].shape == (4, 52)
        for target, frame, row, mouth in zip(*(data[k] for k in ("target", "frame", "row", "weights")), strict=True):
            if row >= 0:
                assert np.array_equal(mouth, load_curves(curves)[row])
            drawn = stage.render_mouth(int(frame), mouth)
            assert np.array_equal(drawn, target)


def test_a_killed_run_goes_on_with_what_is_missing(stage: Stage, curves: Path, tmp_path: Path) -> None:
    plan = CorpusPlan("ada", curves, tmp_path / "out", SHARD_SAMPLES + 2, 3)
    plan.out.mkdir()
    (plan.out / "idle.npz").write_bytes(b"inputs of the first run")
    shard_path(plan, 0).write_bytes(b"finished before the kill")
    (plan.out / ".shard-00001.part.npz").write_bytes(b"half a sh")
    draw_corpus(plan, stage=stage)
    assert shard_path(plan, 0).read_bytes() == b"finished before the kill"
    assert (plan.out / "idle.npz").read_bytes() == b"inputs of the first run"
    with np.load(shard_path(plan, 1)) as data:
        assert len(data["target"]) == 2
    assert not list(plan.out.glob(".*"))


def test_curves_in_another_order_are_sorted_by_name(tmp_path: Path) -> None:
    names = list(reversed(ARKIT_NAMES))
    np.savez(tmp_path / "c.npz", curves=np.eye(52, dtype=np.float32), names=np.array(names))
    curves = load_curves(tmp_path / "c.npz")
    assert curves[names.index("jawOpen"), INDEX["jawOpen"]] == 1


def test_a_file_without_curves_is_refused_by_name(tmp_path: Path) -> None:
    np.savez(tmp_path / "wrong.npz", other=np.zeros(3))
    with pytest.raises(MediaError, match=r"wrong\.npz"):
        load_curves(tmp_path / "wrong.npz")
    np.savez(tmp_path / "short.npz", curves=np.zeros((5, 51), np.float32))
    with pytest.raises(MediaError, match=r"short\.npz"):
        load_curves(tmp_path / "short.npz")


def test_made_up_mouths_vary_and_touch_nothing_but_the_mouth() -> None:
    rng = np.random.default_rng(0)
    mouths = np.stack([made_up_mouth(rng) for _ in range(300)])
    others = [index for index in range(52) if index not in MOUTH]
    assert not mouths[:, others].any()
    assert np.abs(mouths).max() <= 1.3
    used = np.count_nonzero((mouths > 0).any(0))
    assert used > 15
    assert (mouths[:, INDEX["mouthClose"]] <= mouths[:, INDEX["jawOpen"]] + 1e-6).all()
