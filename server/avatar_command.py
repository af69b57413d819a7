"""``visavis avatar``: add a face from a photo or a clip, list the faces there are, remove one."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from models.aside import written_aside
from models.avatar import MANIFEST, read_card
from models.errors import AvatarError, VisavisError
from models.face import preview
from models.face.avatar_maker import Wish, describe, make_avatar
from models.face.pictures import Limits
from server.config import load_settings
from server.own_avatars import check_name, is_own, parse_box, remove_avatar
from server.paths import AVATARS


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    add = actions.add_parser("add", help="make an avatar from a photo or a clip")
    add.add_argument("name", help="lower-case letters, digits, - and _")
    add.add_argument(
        "source",
        type=Path,
        help="JPEG, PNG, WebP, ... or a video, best of a few seconds at rest: one face from the front, mouth shut",
    )
    add.add_argument("--box", metavar="X0,Y0,X1,Y1", help="which face, forehead to chin, in pixels")
    add.add_argument("--title", default="", help="name shown to people (default: NAME)")
    add.add_argument("--licence", default="unstated", help="licence of the picture (default: %(default)s)")
    add.add_argument("--preview", type=Path, metavar="FILE", help="write a sheet (JPEG or PNG) that shows the avatar")
    add.add_argument("--replace", action="store_true", help="in the place of your avatar of this name")
    add.set_defaults(action=_add)
    listing = actions.add_parser("list", help="every avatar, its licence and where it lies")
    listing.set_defaults(action=_list)
    remove = actions.add_parser("remove", help="delete an avatar of your own")
    remove.add_argument("name")
    remove.set_defaults(action=_remove)
    for action in (add, listing, remove):
        action.add_argument("--config", type=Path, help="YAML file with the settings you change, as for serve")
        action.add_argument("--folder", type=Path, help="folder of your avatars (default: setting avatars.own_folder)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run an action; errors are raised as VisavisError."""
    args.settings = load_settings(args.config).avatars
    args.own = args.folder or args.settings.own
    args.action(args)
    return 0


def _add(args: argparse.Namespace) -> None:
    check_name(args.name)
    folder = args.own / args.name
    box = parse_box(args.box) if args.box else None
    if folder.exists() and not args.replace:
        raise AvatarError(f"There is an avatar '{args.name}' already; choose another name, or --replace it.")
    limits = Limits(args.settings.max_megapixels, args.settings.max_clip_s)
    if args.preview and args.preview.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise AvatarError(f"The preview {args.preview.name} must end in .jpg or .png.")
    avatar = make_avatar(args.source, folder, Wish(box, args.title, args.licence), limits)
    sheet = folder / preview.FILE
    if args.preview:
        _copy_sheet(sheet, args.preview)
    print(f"{args.name}: {describe(avatar)}. Look at {args.preview or sheet}; visavis serve --avatar {args.name}")


def _copy_sheet(sheet: Path, place: Path) -> None:
    try:
        content = sheet.read_bytes()
        if place.suffix.lower() == ".png":
            picture = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
            assert picture is not None, "the sheet was just written"
            content = cv2.imencode(".png", picture)[1].tobytes()
        with written_aside(place) as aside:
            aside.write_bytes(content)
    except OSError as error:
        raise AvatarError(f"The preview {place} cannot be written: {error.strerror}; the avatar stands.") from error


def _list(args: argparse.Namespace) -> None:
    for parent in (AVATARS, *args.settings.folders, args.own):
        for path in sorted(parent.glob(f"*/{MANIFEST}")):
            try:
                card = read_card(path.parent)
                print(f"{card.name:16}  {card.title:24}  {card.licence:16}  {path.parent}")
            except AvatarError as error:
                print(f"visavis: {error}", file=sys.stderr)


def _remove(args: argparse.Namespace) -> None:
    folder = args.own / args.name
    if not is_own(args.own, args.name):
        names = ", ".join(sorted(path.parent.name for path in args.own.glob(f"*/{MANIFEST}"))) or "you have none"
        raise AvatarError(f"There is no avatar '{args.name[:40]}' of your own to remove; yours: {names}.")
    remove_avatar(folder)
    print(f"{args.name} is removed.")


def main(argv: Sequence[str] | None = None) -> int:
    """The command by itself, as the server runs it; the exit code is 2 where the user can mend what went wrong."""
    parser = argparse.ArgumentParser(prog="visavis avatar")
    add_arguments(parser)
    try:
        return run(parser.parse_args(argv))
    except VisavisError as error:
        print(error, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
