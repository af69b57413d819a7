import pytest

from models.studio.identity import ADA, LEO
from models.studio.stage import Stage


@pytest.fixture(scope="session")
def stage() -> Stage:
    """One baked stage for all tests: baking takes seconds."""
    return Stage(ADA)


@pytest.fixture(scope="session")
def leo_stage() -> Stage:
    return Stage(LEO)
