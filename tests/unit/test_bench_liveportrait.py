"""``visavis bench liveportrait``: what it is given wrongly is refused."""

import pytest

from server.cli import main


@pytest.mark.parametrize(("options", "word"), [(["--width", "0.01"], "--width"), (["--calls", "0"], "--calls")])
def test_sizes_that_cannot_be_are_refused(options: list[str], word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "liveportrait", *options]) == 2
    assert word in capsys.readouterr().err
