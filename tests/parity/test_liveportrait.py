"""The LivePortrait networks against the published ones, and the pipeline at a reduced size.

The goldens kept with the tests are those of the parts that take moments; ``python -m tests.parity`` on the whole
kit takes minutes, for W and G at their full size.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.errors import MediaError
from models.liveportrait.fold import fold
from models.liveportrait.pipeline import Pipeline
from models.liveportrait.settings import Settings
from models.liveportrait.smoothing import ForwardFilter, smooth
from models.liveportrait.source_cache import SourceCache
from tests.parity.__main__ import kit_of, run
from tests.unit.liveportrait.networks import FACE_PX, faces, points, small_networks

GOLDENS = Path(__file__).parents[1] / "golden" / "liveportrait"
SHARED = Path(__file__).parents[3] / "shared" / "parity" / "liveportrait"
SLOW = ("W", "G", "step")


def copied(folder: Path, *stems: str, source: Path = GOLDENS) -> Path:
    for name in ("seed.json", "manifest.json", *(f"{stem}.npz" for stem in stems)):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def test_the_parts_agree_with_the_published_ones() -> None:
    report = run(GOLDENS)
    assert report.failures == 0, "\n".join(line for line in report.lines if line.startswith("FAIL"))
    assert report.checks > 140


def test_what_the_kit_holds_is_kept_here_or_slow() -> None:
    if not SHARED.is_dir():
        pytest.skip(f"The whole kit is not kept here; put it at {SHARED}.")
    kept = {path.stem for path in GOLDENS.glob("*.npz")}
    assert kept | set(SLOW) == {path.stem for path in SHARED.glob("*.npz")}


def test_a_changed_number_or_a_missing_array_is_noticed(tmp_path: Path) -> None:
    assert kit_of(copied(tmp_path)) == "liveportrait"
    arrays = dict(np.load(GOLDENS / "S.npz"))
    del arrays["eye_close"]
    arrays["stitching"][0, 0] += 1e-4
    arrays["new"] = np.zeros(3)
    np.savez(tmp_path / "S.npz", **arrays)
    failed = {line.split()[1] for line in run(tmp_path).lines if line.startswith("FAIL")}
    assert failed == {"S/eye_close", "S/stitching", "S/new"}


def test_another_seed_gives_other_numbers(tmp_path: Path) -> None:
    copied(tmp_path, "S")
    (tmp_path / "seed.json").write_text(json.dumps({"seed": 7}))
    failed = {line.split()[1] for line in run(tmp_path).lines if line.startswith("FAIL")}
    assert failed == {"S/stitch_raw", "S/stitching", "S/eye_delta", "S/lip_delta"}


def test_the_whole_way_with_every_flag_at_a_reduced_size() -> None:
    """From pictures to pasted pictures; the flags' numbers are compared in the goldens."""
    photo = faces(1, 2 * FACE_PX)[0]
    landmarks = points(center=FACE_PX)
    clip, clip_points = faces(3), np.stack([points(seed) for seed in (2, 3, 4)])
    networks = small_networks()
    seen: dict[str, np.ndarray] = {}
    default = Settings()
    cases = {
        "default": default,
        "plain": replace(default, stitching=False, driving_option="pose-friendly"),
        "absolute": replace(default, relative_motion=False),
        "lips shut": replace(default, normalize_lip=True),
        "eyes and lips": replace(default, eye_retargeting=True, lip_retargeting=True),
        "pose": replace(default, animation_region="pose"),
        "lip": replace(default, animation_region="lip"),
        "half": replace(default, driving_multiplier=0.5),
    }
    for name, settings in cases.items():
        pipeline = Pipeline(networks, settings)
        source = pipeline.source(photo, landmarks)
        template = pipeline.template(clip, 25, clip_points)
        driver = pipeline.driver(source, template)
        seen[name] = torch.cat([driver.step(frame) for frame in template.frames()]).numpy()
        assert seen[name].shape == (3, 21, 3)
    for name, x in seen.items():
        assert all(np.abs(x - other).max() > 1e-5 for n, other in seen.items() if n != name), name
    *_, last = pipeline.animate(source, template)
    assert last.shape == photo.shape
    assert last.dtype == np.uint8
    assert np.abs(last.astype(int) - photo).max() > 20
    # Outside of the crop nothing is touched.
    assert source.placed_mask is not None
    np.testing.assert_array_equal(last[source.placed_mask == 0], photo[source.placed_mask == 0])


def test_folded_networks_animate_alike_and_a_cached_source_needs_neither_f_nor_m(tmp_path: Path) -> None:
    plain, photo = small_networks(), faces(1)[0]
    cache = SourceCache(tmp_path, plain)
    template = Pipeline(plain).template(faces(2), 25)
    drawn = []
    for networks in (plain, fold(plain)):
        pipeline = Pipeline(networks, cache=cache)
        drawn.append(list(pipeline.animate(pipeline.source_of_crop(photo), template))[-1].astype(int))
    assert np.abs(drawn[0] - drawn[1]).max() <= 1
    assert drawn[0].std() > 5
    calls: list[str] = []
    handles = [m.register_forward_hook(lambda *_: calls.append("F or M")) for m in (plain.appearance, plain.motion)]
    again = Pipeline(plain, cache=cache)
    for _ in range(10):
        again.driver(again.source_of_crop(photo), template).step(template.frame(1))
    for handle in handles:
        handle.remove()
    assert not calls


def test_a_source_video_follows_the_clip_and_a_still_holds_throughout() -> None:
    pipeline = Pipeline(small_networks(), Settings(source_video_eye_retargeting=True, normalize_lip=True))
    sources = [pipeline.source_of_crop(face, points(seed)) for seed, face in enumerate(faces(4))]
    template = pipeline.template(faces(3), 25)
    drawn = list(pipeline.animate_video(sources, template))
    assert [picture.shape for picture in drawn] == [(2 * FACE_PX, 2 * FACE_PX, 3)] * 3
    assert len(pipeline.video_driver(sources, template.still())) == 4


def test_retargeting_without_landmarks_is_refused_in_words() -> None:
    for what in ("eye", "lip"):
        pipeline = Pipeline(small_networks(), Settings(**{f"{what}_retargeting": True}))
        source, template = pipeline.source_of_crop(faces(1)[0]), pipeline.template(faces(2), 25)
        with pytest.raises(MediaError, match=f"{what.capitalize()} retargeting needs landmarks"):
            pipeline.driver(source, template).step(template.frame(0))


def test_the_forward_filter_ends_where_the_smoother_does_and_never_looks_ahead() -> None:
    rng = np.random.default_rng(0)
    sequence = rng.normal(size=(20, 21, 3)).cumsum(axis=0) * 1e-3
    live = ForwardFilter(1e-5)
    means = np.stack([live.step(values) for values in sequence])
    np.testing.assert_allclose(means[-1], smooth(sequence, 1e-5)[-1], atol=1e-7)
    again = ForwardFilter(1e-5)
    np.testing.assert_array_equal(np.stack([again.step(values) for values in sequence[:7]]), means[:7])
    noise = sequence + rng.normal(size=sequence.shape) * 3e-3
    steps = [np.abs(np.diff(x, axis=0)).mean() for x in (noise, smooth(noise, 1e-5))]
    assert steps[1] < 0.8 * steps[0]
