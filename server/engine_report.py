"""``visavis recommend`` and what ``GET /engines`` tells: measured figures and what follows from them."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from models.registry import MEASURING, engine_names, missing_weights
from server.config import EngineSettings
from server.paths import measured_engines

COMMAND = "visavis recommend"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("--again", action="store_true", help="measure even if this machine was measured before")
    parser.add_argument("--json", action="store_true", help="print everything as JSON, as GET /engines does")
    parser.add_argument("--figures", type=Path, metavar="FILE", help="where figures are kept (default: user's cache)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure where it was not done yet, and print; errors are raised as VisavisError."""
    from models.machine_figures import load, measure, save

    path = args.figures or measured_engines()
    if args.again or load(path) is None:
        save(path, measure(_quiet if args.json else print))
    told = report(path)
    print(json.dumps(told, indent=2) if args.json else _lines(told))
    return 0


def readiness(settings: EngineSettings | None) -> tuple[list[str], dict[str, str]]:
    """The engines that sessions can be offered, and why the others cannot be: their names, and a sentence for each.

    Looks for files of weights: not for the event loop. ``settings`` None is as if none were set.
    """
    told = {
        name: missing_weights(name, None if settings is None else settings.weights_of(name))
        for name in engine_names()
        if name not in MEASURING
    }
    return [name for name in told if not told[name]], {name: why for name, why in told.items() if why}


def report(path: Path, settings: EngineSettings | None = None) -> dict[str, Any]:
    """What is known of the engines of this machine, as JSON. Reads one small file and measures nothing.

    ``settings``: the server's.
    """
    from models.machine_figures import load, loaded, machine
    from models.recommendation import is_live, missing, recommend

    here = machine()
    ready, absent = readiness(settings)
    figures = load(path)
    known = figures or ()
    hint = None
    if figures is None:
        hint = f"Nothing was measured on this machine yet; run: {COMMAND}."
    elif (load_average := loaded(figures)) is not None:
        hint = (
            f"The load average was {load_average:.1f} on {here['cores']} cores before this was measured, so figures "
            f"may be too slow; on a quiet machine run: {COMMAND} --again."
        )
    engines = [
        asdict(figure) | {"fps": figure.fps, "live": is_live(figure), "missing": missing(figure).strip()}
        for figure in known
    ]
    return {
        "machine": here,
        "measured": figures is not None,
        "hint": hint,
        "served": ready,
        "not_served": absent,
        "engines": engines,
        "recommendations": [asdict(row) for row in recommend(known, here["gpu"] is not None)] if known else [],
    }


def _quiet(_words: str) -> None:
    """Say nothing, for the output is read by a program."""


def _lines(told: dict[str, Any]) -> str:
    here = told["machine"]
    lines = [f"{here['processor']}, {here['cores']} cores, {here['gpu'] or 'no GPU'}", ""]
    lines += [
        f"{e['engine']:13} {e['side_px']:4} px {e['ms_per_frame']:9.1f} ms a frame {e['fps']:8.2f} fps  {e['title']}"
        + (", random weights of the same size" if e["random_weights"] else "")
        for e in told["engines"]
    ]
    lines += ["", *(f"{row['need']}: {row['reason']}" for row in told["recommendations"])]
    lines += ["", told["hint"]] if told["hint"] else []
    return "\n".join(lines)
