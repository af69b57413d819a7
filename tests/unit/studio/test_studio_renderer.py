import numpy as np
import pytest

from models.studio.arkit import ARKIT_NAMES, INDEX, weights
from models.studio.head import Head
from models.studio.identity import ADA
from models.studio.idle import REST
from models.studio.mesh import Material
from models.studio.stage import Stage

CLOSED = {
    "rest": weights(mouthSmile=0.3),
    "press": weights(mouthPress=0.5, mouthRollLower=0.25, mouthRollUpper=0.2, mouthSmile=0.3),
    "close": weights(jawOpen=0.12, mouthClose=0.12, mouthPress=0.3),
    "neutral": weights(),
}
TALKING = weights(jawOpen=0.35, mouthUpperUp=0.3, mouthLowerDown=0.3)


def mouth_samples(stage: Stage, shape: np.ndarray, rotation: tuple[float, float, float]) -> int:
    kinds = stage.renderer.materials(stage.head.pose(shape), rotation)
    return int(np.isin(kinds, (Material.TEETH, Material.TONGUE)).sum())


@pytest.mark.parametrize("window", [(128, 190, 384, 446), (0, 0, 64, 512), (301, 77, 302, 400)])
def test_a_window_equals_the_crop_of_the_whole(stage: Stage, window: tuple[int, int, int, int]) -> None:
    pose = stage.head.pose(TALKING, (0.1, 0.05))
    whole = stage.renderer.render(pose, (0.02, -0.1, 0.03), breath=0.01)
    part = stage.renderer.render(pose, (0.02, -0.1, 0.03), window, breath=0.01)
    x0, y0, x1, y1 = window
    assert np.array_equal(part, whole[y0:y1, x0:x1])


def test_a_window_outside_the_picture_is_refused(stage: Stage) -> None:
    with pytest.raises(ValueError, match="inside the 512 px picture"):
        stage.renderer.render(stage.head.pose(REST), window=(400, 0, 520, 100))


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("yaw", [-0.15, 0.0, 0.15])
def test_closed_lips_show_no_teeth(stage: Stage, name: str, yaw: float) -> None:
    assert mouth_samples(stage, CLOSED[name], (0.03, yaw, 0.0)) == 0


def test_open_lips_show_teeth(stage: Stage) -> None:
    assert mouth_samples(stage, TALKING, (0.0, 0.0, 0.0)) > 1000


def test_a_narrow_opening_shows_dimmer_teeth_than_a_wide_one(stage: Stage) -> None:
    def brightness(shape: np.ndarray) -> float:
        pose = stage.head.pose(shape)
        window = (200, 280, 312, 400)
        teeth = stage.renderer.materials(pose, window=window)[::2, ::2] == Material.TEETH
        return float(stage.renderer.render(pose, window=window)[teeth].mean())

    wide = brightness(weights(jawOpen=0.15, mouthSmile=0.5, mouthUpperUp=0.4))
    assert brightness(weights(jawOpen=0.15, mouthPucker=1.0, mouthFunnel=0.3)) < 0.8 * wide


def test_the_same_inputs_give_the_same_bytes(stage: Stage) -> None:
    first = stage.render_mouth(11, TALKING)
    stage.render_mouth(200, weights(mouthFunnel=1.0))
    assert np.array_equal(stage.render_mouth(11, TALKING), first)
    again = Head(ADA)
    assert np.array_equal(again.vertices, stage.head.vertices)
    assert np.array_equal(again.pose(TALKING).vertices, stage.head.pose(TALKING).vertices)


def test_lids_keep_the_eye_covered_in_a_blink(stage: Stage) -> None:
    def eye_samples(shape: np.ndarray) -> int:
        kinds = stage.renderer.materials(stage.head.pose(shape), window=(150, 150, 362, 250))
        return int((kinds == Material.EYE).sum())

    assert eye_samples(weights(eyeBlink=1.0)) < 0.02 * eye_samples(REST)


def test_brows_move(stage: Stage) -> None:
    raised = stage.head.pose(weights(browInnerUp=1.0)).vertices - stage.head.pose(weights()).vertices
    assert raised[:, 1].max() > 0.06


def test_the_matte_separates_figure_from_backdrop(stage: Stage) -> None:
    matte = stage.renderer.matte(stage.head.pose(REST))
    assert matte.shape == (512, 512)
    assert (matte[0] == 0).all()
    assert (matte[200:400, 200:300] == 255).all()
    assert ((matte > 0) & (matte < 255)).any()


def test_names_are_the_52_of_arkit() -> None:
    assert len(ARKIT_NAMES) == 52
    assert len(set(ARKIT_NAMES)) == 52
    both = weights(mouthSmile=0.5, jawOpen=0.2)
    assert both[INDEX["mouthSmileLeft"]] == both[INDEX["mouthSmileRight"]] == np.float32(0.5)
    assert np.count_nonzero(both) == 3
    with pytest.raises(KeyError):
        weights(mouthSmirk=1.0)
