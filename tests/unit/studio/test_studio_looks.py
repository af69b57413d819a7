"""What must hold for every identity that the studio draws."""

import numpy as np
import pytest

from models.studio import visemes
from models.studio.arkit import INDEX, weights
from models.studio.hair_styles import HAIR_STYLES
from models.studio.identity import IDENTITIES
from models.studio.idle import LOOP_FRAMES, REST, idle_pose, talking_weights
from models.studio.mesh import Material
from models.studio.stage import Stage
from models.studio.visemes import Phone, code_curves, curves_from_code

INSIDE = (Material.TEETH, Material.TONGUE)


def spoken(symbol: str) -> np.ndarray:
    """(52,) weights in the middle of a long phone between pauses, over the face at rest."""
    code = code_curves([Phone("", 0, 0.2), Phone(symbol, 0.2, 0.6), Phone("", 0.6, 0.8)], 0.8)
    return talking_weights(REST, curves_from_code(code)[10])


def columns_of_mouth(stage: Stage, shape: np.ndarray) -> np.ndarray:
    """(height, n) materials in columns of samples around the middle of the mouth, from nose to chin."""
    pose = stage.head.pose(shape)
    middle = pose.vertices[stage.head.lips.rims[len(stage.head.lips.rims) // 2]]
    (x, y), _ = stage.renderer.project(middle)
    window = (int(x) - 12, int(y) - 40, int(x) + 12, int(y) + 40)
    return stage.renderer.materials(pose, window=window)


def test_identities_differ_in_all_that_the_eye_tells_apart() -> None:
    looks = [identity.look for identity in IDENTITIES.values()]
    assert len(looks) == 4
    for facts in (
        [look.skin for look in looks],
        [look.hair for look in looks],
        [look.hair_style for look in looks],
        [look.background for look in looks],
        [(identity.male > 0.5, identity.old, identity.child) for identity in IDENTITIES.values()],
    ):
        assert len(set(facts)) == 4
    assert {look.hair_style for look in looks} <= HAIR_STYLES
    assert sum(look.toon for look in looks) == 1


@pytest.mark.parametrize("symbol", ["", "m"])
@pytest.mark.parametrize("yaw", [-0.12, 0.0, 0.12])
def test_closed_lips_are_sealed_from_corner_to_corner(anyone: Stage, symbol: str, yaw: float) -> None:
    pose = anyone.head.pose(spoken(symbol))
    assert pose.aperture < 1e-3
    upper, lower = pose.lip_rims[:, 0, 1], pose.lip_rims[:, 1, 1]
    assert (upper - lower).max() < 2e-3
    kinds = anyone.renderer.materials(pose, (0.03, yaw, 0.0))
    assert not np.isin(kinds, INSIDE).any()


def test_an_f_sets_the_lower_lip_under_the_upper_teeth(anyone: Stage) -> None:
    touching = []
    for column in columns_of_mouth(anyone, spoken("f")).T:
        inside = np.nonzero(np.isin(column, INSIDE))[0]
        teeth, below = column[inside[0] : inside[-1] + 1], column[inside[-1] + 1]
        touching.append(len(teeth) >= 8 and (teeth == Material.TEETH).all() and below == Material.SKIN)
    assert np.mean(touching) > 0.85  # all but the gap between the middle teeth


def test_a_rolled_lip_stays_an_m_when_both_roll(anyone: Stage) -> None:
    pressed = weights(mouthRollLower=0.62, mouthRollUpper=0.3)
    assert np.array_equal(anyone.head.lips.tuck(pressed), pressed)
    assert not np.array_equal(anyone.head.lips.tuck(weights(mouthRollLower=0.62)), weights(mouthRollLower=0.62))


def test_wide_vowels_show_single_upper_teeth_and_the_tongue(anyone: Stage) -> None:
    pose = anyone.head.pose(spoken("a"))
    kinds = anyone.renderer.materials(pose)
    assert (kinds == Material.TEETH).sum() > 400
    assert (kinds == Material.TONGUE).sum() > 400


def test_a_blink_shuts_the_eyes_and_puts_their_light_out(anyone: Stage) -> None:
    def eyes(blink: float) -> tuple[int, int]:
        shape = REST.copy()
        shape[[INDEX["eyeBlinkLeft"], INDEX["eyeBlinkRight"]]] = blink
        pose = anyone.head.pose(shape)
        shown = anyone.renderer.materials(pose).reshape(512, 2, 512, 2) == Material.EYE
        brightest = anyone.renderer.render(pose)[shown.all((1, 3))].max(initial=0)
        return int(shown.sum()), int(brightest)

    rest, glint = eyes(0.0)
    assert rest > 400
    assert glint > 220
    for blink in (0.85, 0.95, 1.0):
        assert eyes(blink)[1] < 150
    assert eyes(1.0)[0] < 0.03 * rest


def test_brows_live_through_the_loop(anyone: Stage) -> None:
    head = anyone.head
    raised = head.pose(weights(browInnerUp=1.0, browOuterUp=1.0)).vertices[:, 1] - head.vertices[:, 1]
    brow = int(np.argmax(raised))
    heights = []
    for frame in range(0, LOOP_FRAMES, 4):
        pose, _ = anyone.pose(frame)
        heights.append(anyone.renderer.project(pose.vertices[[brow]])[0, 1])
    assert np.ptp(heights) > 3


def test_brows_return_over_the_seam() -> None:
    brows = np.array([idle_pose(frame).weights[INDEX["browInnerUp"]] for frame in range(LOOP_FRAMES + 1)])
    assert brows[0] == brows[LOOP_FRAMES]
    assert abs(brows[0] - brows[LOOP_FRAMES - 1]) <= np.abs(np.diff(brows)).max()


def test_every_mouth_code_is_drawn_within_the_box(anyone: Stage) -> None:
    code = np.full((1, len(visemes.MOUTH_NAMES)), 0.0, np.float32)
    rest = anyone.idle_crop(0).astype(int)
    for control in range(len(visemes.MOUTH_NAMES)):
        code[:] = 0
        code[0, visemes.MOUTH_NAMES.index("jawOpen")] = 0.3
        code[0, control] = 0.6
        drawn = anyone.render_mouth(0, curves_from_code(code)[0]).astype(int)
        assert np.abs(drawn - rest).max() > 25


def test_hair_ends_in_single_strands(stage: Stage) -> None:
    """A row through the tips of the bob crosses from hair to no hair many times; unfrayed locks cross it 28 times."""
    kinds = stage.renderer.materials(stage.head.pose(REST))
    hair = (kinds == Material.HAIR).astype(int)
    crossings = np.abs(np.diff(hair, axis=1)).sum(1)
    assert crossings[700:800].max() > 45


def test_a_cartoon_is_flat_where_a_painted_face_is_not(anyone: Stage) -> None:
    pose = anyone.head.pose(REST)
    x, y = anyone.renderer.project(np.array([[0.0, 0.62, 0.9]]))[0].astype(int)
    patch = anyone.render_frame(0)[y - 8 : y + 8, x - 8 : x + 8].astype(float)
    assert pose.aperture < 1e-3
    if anyone.identity.look.toon:
        assert patch.std((0, 1)).max() < 3
    assert patch.mean() > 30
