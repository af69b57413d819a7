from collections.abc import Iterator
from pathlib import Path

import pytest

from models.sadtalker import settings as settings_of_films
from models.sadtalker.stand_in import write_stand_in
from models.sadtalker.weights import NETWORK_FILES

SIDE_PX = 128
"""Of the films that ``weights`` draw: half the published size, in a quarter of the time."""


@pytest.fixture(autouse=True)
def _one_thread(one_thread: None) -> None:
    """For every test here."""


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Stand-in weights a sixteenth as wide; while they are there films may be ``SIDE_PX`` large."""
    folder = tmp_path_factory.mktemp("weights")
    write_stand_in(folder, 0.0625)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings_of_films, "SIZES_PX", (SIDE_PX, *settings_of_films.SIZES_PX))
        patch.setitem(NETWORK_FILES, SIDE_PX, NETWORK_FILES[256])
        yield folder
