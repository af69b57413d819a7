from pathlib import Path

import pytest

from models.aside import written_aside


def half_written(path: Path) -> None:
    with written_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError


def test_a_file_appears_whole_or_stays_what_it_was(tmp_path: Path) -> None:
    path = tmp_path / "figures.json"
    with written_aside(path) as aside:
        aside.write_text("whole")
        assert not path.exists()
    with pytest.raises(RuntimeError):
        half_written(path)
    assert [file.name for file in tmp_path.iterdir()] == ["figures.json"]
    assert path.read_text() == "whole"
