import pytest

from models.avatar import Avatar, load_avatar
from models.errors import MediaError
from models.quality.opening import OpeningGauge, Renders, speech_renders
from models.quality.truth import Truth
from models.studio.espeak import render
from models.studio.stage import Stage
from server.paths import AVATARS


@pytest.fixture(scope="session")
def ada() -> Avatar:
    return load_avatar(AVATARS / "ada")


@pytest.fixture(scope="session")
def truth(ada: Avatar, stage: Stage) -> Truth:
    return Truth(ada, stage)


@pytest.fixture(scope="session")
def spoken() -> None:
    """Fails with the way to get it where there is no speech: what was not judged must not look green."""
    try:
        render("Yes.", "en-us", 175, 50, 50)
    except MediaError as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def renders(ada: Avatar, truth: Truth, spoken: None) -> Renders:
    return speech_renders(truth, len(ada), count=120, seed=1)


@pytest.fixture(scope="session")
def gauge(ada: Avatar, renders: Renders) -> OpeningGauge:
    return OpeningGauge(ada, renders)
