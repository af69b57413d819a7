from pathlib import Path

import cv2
import pytest

from models.face import idle
from server import cli
from server.own_avatars import discard_unfinished
from tests.unit.face.faces import portrait, write_photo
from tests.unit.test_render import write_wav


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user's avatars go, told as a desktop tells it."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(idle, "STILL_FRAMES", 2)
    return tmp_path / "data" / "visavis" / "avatars"


def test_add_list_remove(own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = write_photo(tmp_path / "me.jpg", portrait(), quality=95)
    sheet = tmp_path / "sheet.png"
    add = ["avatar", "add", "me", str(photo), "--title", "My Face", "--licence", "CC0-1.0", "--preview", str(sheet)]
    assert cli.main(add) == 0
    assert "visavis serve --avatar me" in capsys.readouterr().out
    assert sheet.read_bytes().startswith(b"\x89PNG")
    assert cv2.imread(str(sheet)).shape[1] > 800
    assert cli.main(["avatar", "list"]) == 0
    listed = capsys.readouterr().out
    assert "My Face" in listed
    assert str(own / "me") in listed
    assert "ada" in listed
    assert cli.main(add) == 2
    assert "There is an avatar 'me' already; choose another name, or --replace it." in capsys.readouterr().err
    assert cli.main([*add, "--replace"]) == 0
    assert cli.main(["avatar", "remove", "me"]) == 0
    assert list(own.iterdir()) == []
    assert cli.main(["avatar", "remove", "me"]) == 2
    assert "yours: you have none" in capsys.readouterr().err


def test_render_finds_an_added_avatar(own: Path, tmp_path: Path) -> None:
    photo = write_photo(tmp_path / "me.png", portrait())
    assert cli.main(["avatar", "add", "me", str(photo)]) == 0
    tone, out = write_wav(tmp_path / "in.wav", 0.2), tmp_path / "out.mp4"
    assert cli.main(["render", str(tone), str(out), "--avatar", "me", "--engine", "probe", "--quiet"]) == 0
    assert out.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["add", "Me!", "me.png"], "'Me!' is no name for an avatar; take at most 32 of a-z"),
        (["add", "../me", "me.png"], "is no name for an avatar"),
        (["add", "ada", "me.png"], "'ada' is an avatar that visavis brings; choose another name"),
        (["add", "me", "none.png"], "There is no file none.png; check the path"),
        (["add", "me", "me.png", "--box", "1,2,3"], "A box is x0,y0,x1,y1 in whole pixels"),
        (["add", "me", "me.png", "--box", "9,9,600,600"], "does not lie in me.png, which has 512 x 512 pixels"),
        (["add", "me", "me.png", "--preview", "sheet.gif"], "The preview sheet.gif must end in .jpg or .png"),
        (["remove", "../../me"], "There is no avatar '../../me' of your own"),
        (["remove", "ada"], "There is no avatar 'ada' of your own"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    sentence: str,
) -> None:
    write_photo(tmp_path / "me.png", portrait())
    monkeypatch.chdir(tmp_path)
    assert cli.main(["avatar", *arguments]) == 2
    assert sentence in capsys.readouterr().err
    assert not own.exists() or list(own.iterdir()) == []


def test_a_broken_avatar_is_named_and_the_rest_listed(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own / "torn").mkdir(parents=True)
    (own / "torn" / "avatar.json").write_text("{")
    assert cli.main(["avatar", "list"]) == 0
    out, err = capsys.readouterr()
    assert "Avatar 'torn' has no readable avatar.json" in err
    assert "ada" in out


def test_what_a_killed_command_left_is_discarded(tmp_path: Path) -> None:
    (tmp_path / ".me.part" / "me").mkdir(parents=True)
    discard_unfinished(tmp_path / "me")
    assert list(tmp_path.iterdir()) == []
