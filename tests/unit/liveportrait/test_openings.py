"""How far eyes and lips are open, taken out of a motion and drawn by the retargeting networks."""

import numpy as np
import pytest
import torch

from models.liveportrait.driving import SourceFace
from models.liveportrait.openings import WIDEST_LIPS, Openings, lids_shut, lips_opened
from models.liveportrait.pixels import to_input
from models.motion.expression import expression
from models.studio.arkit import weights
from tests.unit.liveportrait.networks import faces, points, small_networks


def exp_of(**shapes: float) -> np.ndarray:
    return expression(weights(**shapes)[None])[0].astype(np.float64)


@pytest.fixture(scope="module")
def face() -> SourceFace:
    with torch.inference_mode():
        return SourceFace.of(small_networks().motion(to_input(faces(1))), points())


def test_the_maps_own_jaw_and_lids_are_read_back() -> None:
    for share in (0.0, 0.3, 1.0):
        assert lips_opened(exp_of(jawOpen=share)) == pytest.approx(share, abs=1e-3)
        assert lids_shut(exp_of(eyeBlink=share)) == pytest.approx(share, abs=1e-3)
    assert lips_opened(exp_of(mouthPress=1.0)) == 0
    assert lids_shut(exp_of(eyeWide=1.0)) == 0


def test_openings_go_to_the_networks_and_the_rest_stays(face: SourceFace) -> None:
    networks = small_networks().retargeting
    spoken = exp_of(jawOpen=0.5, browInnerUp=0.7, eyeBlink=0.4)
    exp, offset = Openings(face, networks, eyes=True, lips=True).taken(spoken)
    np.testing.assert_allclose(exp, exp_of(browInnerUp=0.7), atol=1e-6)
    assert face.lips is not None
    assert face.eyes is not None
    with torch.inference_mode():
        lips = networks.lip_offset(face.x, torch.tensor([[float(face.lips), 0.5 * WIDEST_LIPS]]))
        left, right = face.eyes[0].tolist()
        eyes = networks.eye_offset(face.x, torch.tensor([[left, right, 0.6 * (left + right) / 2]]))
    torch.testing.assert_close(offset, lips + eyes, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("eyes", "lips", "kept"), [(True, False, "jawOpen"), (False, True, "eyeBlink")])
def test_each_can_be_had_alone(face: SourceFace, eyes: bool, lips: bool, kept: str) -> None:
    exp, offset = Openings(face, small_networks().retargeting, eyes, lips).taken(exp_of(jawOpen=0.5, eyeBlink=0.5))
    np.testing.assert_allclose(exp, exp_of(**{kept: 0.5}), atol=1e-6)
    assert float(offset.abs().max()) > 1e-4
