"""``visavis motion``: take the motion out of a clip once, and put it on any number of avatars."""

import argparse
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tqdm import tqdm

from models.errors import MediaError
from server.named_avatar import named_avatar
from server.own_avatars import parse_box
from server.paths import own_motions

if TYPE_CHECKING:
    from models.liveportrait.landmark_model import LandmarkModel
    from models.liveportrait.settings import Settings

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_PICKLE = ".pkl"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    extract = actions.add_parser("extract", help="make a motion template from a clip, or from a published .pkl")
    extract.add_argument("clip", type=Path, help="video of one person, head and shoulders; or a published template")
    extract.add_argument("name", help="the template's name: lower-case letters, digits, - and _")
    extract.add_argument("--box", metavar="X0,Y0,X1,Y1", help="square about the head (default: the picture's middle)")
    extract.add_argument("--weights", type=Path, metavar="FOLDER", help="LivePortrait's files; not needed for a .pkl")
    extract.add_argument(
        "--landmarks",
        action="store_true",
        help="note how far eyes and lips are open, which --eye-retargeting and --lip-retargeting need",
    )
    extract.add_argument("--title", default="", help="name shown to people (default: NAME)")
    extract.add_argument("--licence", default="", help="terms of the clip")
    extract.add_argument("--replace", action="store_true", help="in the place of a template of this name")
    extract.set_defaults(action=_extract)

    apply = actions.add_parser("apply", help="draw an avatar that moves so")
    apply.add_argument("name", help="a template's name")
    apply.add_argument("output", type=Path, help="MP4 file to write")
    apply.add_argument("--avatar", default="ada", help="avatar to draw (default: %(default)s)")
    apply.add_argument("--avatars", type=Path, metavar="FOLDER", help="one more folder of avatar folders")
    apply.add_argument("--weights", type=Path, metavar="FOLDER", required=True, help="LivePortrait's five files")
    _add_flags(apply)
    apply.set_defaults(action=_apply)

    listing = actions.add_parser("list", help="every template")
    listing.set_defaults(action=_list)
    for action in (extract, apply, listing):
        action.add_argument("--folder", type=Path, help="folder of the templates (default: the user's data folder)")
    parser.set_defaults(run=run)


def _add_flags(parser: argparse.ArgumentParser) -> None:
    """The published flags."""
    parser.add_argument("--absolute", action="store_true", help="the clip's own pose, not its change")
    parser.add_argument("--no-stitching", action="store_true", help="let the shoulders move")
    parser.add_argument("--no-pasteback", action="store_true", help="draw the face's crop alone")
    parser.add_argument("--region", choices=("all", "exp", "pose", "lip", "eyes"), default="all", help="what moves")
    parser.add_argument("--multiplier", type=float, default=1.0, metavar="X", help="how much (default: %(default)s)")
    parser.add_argument("--pose-friendly", action="store_true", help="keep the clip's size of motion")
    retargeting = parser.add_argument_group(
        "with LivePortrait's landmark.onnx (visavis models pull liveportrait-landmarks)"
    )
    retargeting.add_argument("--normalize-lip", action="store_true", help="close the avatar's lips before it moves")
    retargeting.add_argument(
        "--eye-retargeting",
        action="store_true",
        help="open and shut eyes as in the clip; move nothing else unless --absolute or --lip-retargeting",
    )
    retargeting.add_argument("--lip-retargeting", action="store_true", help="likewise lips")


def run(args: argparse.Namespace) -> int:
    """Run an action; errors are raised as VisavisError."""
    args.folder = args.folder or own_motions()
    args.action(args)
    return 0


def _extract(args: argparse.Namespace) -> None:
    from models.liveportrait.clip import extract, template_key
    from models.liveportrait.published_template import read_published
    from models.liveportrait.template import load_template, save_template

    path, box, published = _template_path(args), parse_box(args.box) if args.box else None, args.clip.suffix == _PICKLE
    if not published and args.weights is None:
        raise MediaError("A clip's motion is found by LivePortrait's networks; name their folder with --weights.")
    if path.exists() and not args.replace:
        known = load_template(path)
        if published or known.key != template_key(args.clip, args.weights, box, args.landmarks):
            raise MediaError(f"There is a motion template '{args.name}' already; choose another name or --replace it.")
        print(f"{args.name}: made from this clip already, {len(known)} frames")
        return
    model = _landmark_model(args.weights) if args.landmarks and not published else None
    template = read_published(args.clip) if published else extract(args.clip, args.weights, box, model)
    template = replace(template, title=args.title or args.name, licence=args.licence or template.licence)
    save_template(path, template)
    print(f"{args.name}: {len(template)} frames at {template.fps:g} a second, {len(template) / template.fps:.1f} s")


def _apply(args: argparse.Namespace) -> None:
    from models.liveportrait.avatar_source import avatar_source
    from models.liveportrait.clip import write_clip
    from models.liveportrait.fold import fold
    from models.liveportrait.pipeline import Pipeline
    from models.liveportrait.source_cache import SourceCache, cache_folder
    from models.liveportrait.template import load_template
    from models.liveportrait.weights import load_networks

    template = load_template(_template_path(args))
    avatar = named_avatar(args.avatar, *([args.avatars] if args.avatars else []))
    networks = load_networks(args.weights)
    cache = SourceCache(cache_folder(), networks)
    pipeline = Pipeline(fold(networks), _settings(args), cache)
    needed = args.normalize_lip or args.eye_retargeting or args.lip_retargeting
    source = avatar_source(pipeline, avatar, model=_landmark_model(args.weights) if needed else None)
    pictures = pipeline.animate(source, template)
    count = write_clip(args.output, tqdm(pictures, total=len(template), unit="frame"), template.fps)
    print(f"{args.output}: {count} frames, {count / template.fps:.1f} s")


def _list(args: argparse.Namespace) -> None:
    from models.liveportrait.template import load_template

    for path in sorted(args.folder.glob("*.npz")):
        try:
            template = load_template(path)
        except MediaError as error:
            print(f"{path.stem}: {error}")
        else:
            print(f"{path.stem}: {template.title}, {len(template)} frames at {template.fps:g}; {template.licence}")


def _settings(args: argparse.Namespace) -> "Settings":
    from models.liveportrait.settings import Settings

    return Settings(
        relative_motion=not args.absolute,
        stitching=not args.no_stitching,
        pasteback=not args.no_pasteback,
        animation_region=args.region,
        driving_multiplier=args.multiplier,
        driving_option="pose-friendly" if args.pose_friendly else "expression-friendly",
        normalize_lip=args.normalize_lip,
        eye_retargeting=args.eye_retargeting,
        lip_retargeting=args.lip_retargeting,
    )


def _landmark_model(weights: Path) -> "LandmarkModel":
    from models.liveportrait.files import landmark_file
    from models.liveportrait.landmark_model import LandmarkModel

    return LandmarkModel(landmark_file(weights))


def _template_path(args: argparse.Namespace) -> Path:
    if not _NAME.fullmatch(args.name):
        raise MediaError(f"'{args.name}' is no template's name; use lower-case letters, digits, - and _.")
    return Path(args.folder) / f"{args.name}.npz"
