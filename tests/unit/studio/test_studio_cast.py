"""The cast: who they are, how they are put together, and the corpus that shows them."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from models.studio import renderer
from models.studio.arkit import weights
from models.studio.cast import CAST_SIZE, HELD_OUT_FROM, member
from models.studio.cast_corpus import SHARD_SCENES, scene_members
from models.studio.cast_sheet import sheet
from models.studio.corpus import draw_corpus
from models.studio.hair_styles import HAIR_STYLES
from models.studio.head import Head
from models.studio.identity import Identity
from models.studio.proportions import shaped
from models.studio.scene import POSE_LIMIT_DEG, Scene, coded
from models.studio.shards import CAST, CorpusPlan, shard_path
from models.studio.stage import BOX_PX, Stage

WIDE = weights(jawOpen=1.0, mouthLowerDown=0.5, mouthUpperUp=0.5)


def age(identity: Identity) -> str:
    if identity.child:
        return "child"
    return "young" if identity.old < 0.2 else "middle" if identity.old < 0.6 else "old"


def skin_range(identity: Identity) -> int:
    return int(np.searchsorted([0.2, 0.39, 0.556], np.mean(identity.look.skin)))


def test_those_who_are_learned_from_are_balanced_over_age_sex_and_skin() -> None:
    learned = [member(number) for number in range(HELD_OUT_FROM)]
    assert len({(identity.ancestry, identity.look) for identity in map(member, range(CAST_SIZE))}) == CAST_SIZE >= 60
    groups = Counter((age(identity), identity.male > 0.5, skin_range(identity)) for identity in learned)
    assert {key: count for key, count in groups.items() if key[0] == "young"} == {
        ("young", male, skin): 3 for male in (False, True) for skin in range(4)
    }
    assert len(groups) == 4 * 2 * 4
    assert len({identity.look.hair_style for identity in learned}) >= 9
    assert 3 <= sum(identity.look.toon for identity in learned) <= 8
    for identity in map(member, range(CAST_SIZE)):
        look = identity.look
        assert look.hair_style in HAIR_STYLES
        colours = np.array([look.skin, look.lip, look.hair, look.brow, look.iris, look.cloth, *look.background])
        assert colours.min() > 0
        assert colours.max() < 1


def test_a_number_is_always_the_same_head() -> None:
    for number in (0, 40, 79):
        assert member.__wrapped__(number) == member(number)
    with pytest.raises(ValueError, match="0 to 79"):
        member(CAST_SIZE)


@pytest.mark.parametrize("number", [0, 16, 72])
def test_a_childs_narrow_jaw_has_all_its_teeth(number: int) -> None:
    head = Head(member(number))
    assert np.isfinite(head.vertices).all()
    teeth = head.vertices[head.span("teeth")]
    assert np.abs(teeth[:, 0]).max() < np.abs(head.vertices[head.span("skin"), 0]).max()


def test_everybody_can_be_put_together_with_eyes_in_the_head() -> None:
    for number in range(CAST_SIZE):
        vertices, eyes = shaped(member(number))
        assert np.isfinite(vertices).all()
        assert (eyes[:, 3] > 0.1).all()
        assert eyes[0, 0] > 0.15 > -0.15 > eyes[1, 0]
        assert np.abs(eyes[0, 0] + eyes[1, 0]) < 0.02


@contextmanager
def unbaked() -> Iterator[None]:
    """Without baked light: for what is where."""
    with pytest.MonkeyPatch.context() as patch:
        for bake in ("bake_occlusion", "bake_visibility"):
            patch.setattr(renderer, bake, lambda vertices, *_: np.ones(len(vertices), np.float32))
        yield


@pytest.fixture(scope="module")
def scene() -> Scene:
    with unbaked():
        return Scene(member(35), np.random.default_rng(3))


def test_shots_vary_within_their_limits(scene: Scene) -> None:
    rng = np.random.default_rng(0)
    shots = [scene.shot(rng) for _ in range(400)]
    turns = np.rad2deg([shot.rotation for shot in shots])
    assert (np.abs(turns).max(0) <= POSE_LIMIT_DEG).all()
    assert (turns.max(0) > 12).all()
    assert (turns.min(0) < -12).all()
    assert np.ptp([shot.scale for shot in shots]) > 0.15
    assert np.ptp([shot.light.key_gain for shot in shots]) > 0.5
    assert len({shot.light.key for shot in shots}) == 1  # its shadows are baked


def test_what_speech_moves_lies_under_the_avatars_mask(scene: Scene) -> None:
    rng, mask = np.random.default_rng(1), Stage.blend_mask()
    brightness = []
    for _ in range(8):
        shot = scene.shot(rng)
        rest, wide = scene.draw(shot), scene.draw(shot, WIDE)
        assert rest.shape == (BOX_PX, BOX_PX, 3)
        moved = np.abs(rest.astype(int) - wide).max(2) > 20
        assert moved[mask == 0].sum() < 0.1 * moved.sum()
        assert moved[-16:].sum() == 0
        assert moved.sum() > 1500
        brightness.append(rest[60:200, 90:200].mean())
    assert min(brightness) > 30
    assert max(brightness) < 225
    assert np.ptp(brightness) > 10


def test_a_mouth_of_zeros_is_the_face_at_rest(scene: Scene) -> None:
    shot = scene.shot(np.random.default_rng(2))
    rest = scene.draw(shot)
    np.testing.assert_array_equal(scene.draw(shot, np.zeros(52, np.float32)), rest)
    through_codec = np.abs(coded(rest, 80).astype(int) - rest)
    assert 0.1 < through_codec.mean() < 6


def plan(folder: Path, count: int, seed: int = 4, held_out: bool = False) -> CorpusPlan:
    curves = folder / "curves.npz"
    np.savez(curves, curves=np.stack([weights(jawOpen=step / 10, mouthFunnel=0.3) for step in range(6)]))
    return CorpusPlan(CAST, curves, folder / "out", count, seed, 0.5, held_out)


def test_all_take_turns_and_nobody_is_in_both_parts(tmp_path: Path) -> None:
    learned = [n for shard in range(16) for n in scene_members(plan(tmp_path, 1), shard)]
    assert sorted(learned) == sorted([*range(HELD_OUT_FROM)] * (16 * SHARD_SCENES // HELD_OUT_FROM))
    assert learned[:64] != sorted(learned[:64])
    judged = [n for shard in range(4) for n in scene_members(plan(tmp_path, 1, held_out=True), shard)]
    assert sorted(judged) == [*range(HELD_OUT_FROM, CAST_SIZE)]


def test_a_seed_makes_it_again_in_another_process(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    here, there = plan(tmp_path / "a", 6), plan(tmp_path / "b", 6)
    draw_corpus(here)
    draw_corpus(there, workers=2)
    assert shard_path(here, 0).read_bytes() == shard_path(there, 0).read_bytes()
    assert (here.out / "mask.png").read_bytes() == (there.out / "mask.png").read_bytes()
    with np.load(shard_path(here, 0)) as data:
        assert data["target"].shape == (6, BOX_PX, BOX_PX, 3)
        assert data["idle"].shape == (2, BOX_PX, BOX_PX, 3)
        assert data["frame"].tolist() == [0, 0, 0, 0, 1, 1]
        assert data["member"].tolist() == scene_members(here, 0)[:1] * 2
        assert data["weights"].shape == (6, 52)
        away = np.abs(data["target"].astype(int) - data["idle"][data["frame"]]).mean((1, 2, 3))
        across = np.abs(data["target"][0].astype(int) - data["idle"][1]).mean()
    assert away.max() < 0.5 * across, "pairs are of one pose and light"
    before = shard_path(here, 0).stat().st_mtime_ns
    draw_corpus(here)
    assert shard_path(here, 0).stat().st_mtime_ns == before


def test_a_sheet_shows_everybody_asked_for() -> None:
    with unbaked():
        picture = sheet([3, 40], 40)
    assert picture.shape == (80, 80, 3)
    tiles = picture.reshape(2, 40, 2, 40, 3).swapaxes(1, 2).reshape(4, -1)
    assert len(np.unique(tiles, axis=0)) == 4
    assert (tiles.std(axis=1) > 10).all()
