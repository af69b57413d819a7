"""``visavis bench liveportrait``: LivePortrait's networks, one by one, and how much faster they run here than plain."""

import argparse
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.avatar import Avatar
from models.errors import VisavisError

_MAX_CALLS = 1000
_SIDE_PX = 256
"""Of the face crop, as published."""

WriteJson = Callable[[Path | None, dict[str, Any]], None]


def add_arguments(parser: argparse.ArgumentParser, avatar_of: Callable[[str], Avatar], write_json: WriteJson) -> None:
    """The command's arguments; ``avatar_of`` finds an avatar by its name, ``write_json`` writes what was measured."""
    parser.add_argument("--avatar", default="ada", help="whose face is drawn (%(default)s)")
    parser.add_argument("--weights", type=Path, metavar="FOLDER", help="LivePortrait's five files (default: random)")
    parser.add_argument("--width", type=float, default=1.0, help="of random weights; 1 as published (%(default)g)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(%(default)s)")
    parser.add_argument("--calls", type=int, default=3, help="timed calls of each network (%(default)s)")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.set_defaults(run=lambda args: run(args, avatar_of, write_json))


def run(args: argparse.Namespace, avatar_of: Callable[[str], Avatar], write_json: WriteJson) -> int:
    """Measure and print; errors are raised as VisavisError."""
    if not 1 / 16 <= args.width <= 2:
        raise VisavisError(f"--width takes a number from 0.0625 to 2, not {args.width:g}.")
    if args.threads < 1 or not 1 <= args.calls <= _MAX_CALLS:
        raise VisavisError(f"--threads takes 1 or more, --calls 1 to {_MAX_CALLS}.")
    photo = avatar_of(args.avatar).frame_rgb(0)
    from models.liveportrait import speed
    from models.liveportrait.stand_in import stand_in
    from models.liveportrait.weights import Architecture, load_networks

    if args.weights is None:
        architecture = Architecture(args.width)
        networks = stand_in(architecture, side=_SIDE_PX)
        print("weights: random")
    else:
        networks = load_networks(args.weights)
        architecture = Architecture.of_appearance(networks.appearance.state_dict())
    measured = speed.measure(networks, architecture, photo, args.threads, args.calls, _SIDE_PX)
    print(speed.table(measured))
    write_json(args.json, {"weights": str(args.weights or "random"), **asdict(measured)})
    return 0
