import numpy as np
import pytest

from models.studio import renderer
from models.studio.identity import ADA, IDENTITIES, LEO
from models.studio.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Stage:
    """One baked stage for all tests: baking takes seconds."""
    return Stage(ADA)


@pytest.fixture(scope="session")
def leo_stage() -> Stage:
    return Stage(LEO)


@pytest.fixture(scope="session", params=sorted(IDENTITIES))
def anyone(request: pytest.FixtureRequest) -> Stage:
    """Every identity in turn, without baked light: for what is where, not for how it is lit."""
    with pytest.MonkeyPatch.context() as patch:
        for bake in ("bake_occlusion", "bake_visibility"):
            patch.setattr(renderer, bake, lambda vertices, *_: np.ones(len(vertices), np.float32))
        return Stage(IDENTITIES[request.param])
