"""``visavis train``: make a corpus and train on it. Each step is a command of its own and resumes after a kill."""

import argparse
from collections.abc import Callable, Sequence
from importlib import import_module

from models.errors import VisavisError

STEPS = {
    "speech": ("models.studio.ear_corpus", "speech of many voices, as microphones bring it, with mouth codes"),
    "ear": ("models.motion.train_ear", "the ear: from sound to mouth codes, and so to blend shapes"),
    "corpus": ("models.studio.corpus", "the talking face of an avatar, or of a cast of many, drawn frame by frame"),
    "syncnet": ("models.wav2lip.train_syncnet", "the lip-sync expert"),
    "wav2lip": ("models.wav2lip.train", "the face: from mouth codes to pictures; merges it with an ear"),
}
"""Step -> its module, whose ``main`` takes the arguments, and what it makes."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; a step's own are its module's."""
    width = max(map(len, STEPS))
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "steps:\n" + "\n".join(f"  {name:{width}}  {makes}" for name, (_, makes) in STEPS.items())
    parser.add_argument("step", choices=STEPS, metavar="STEP", help="see below; STEP --help shows its arguments")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="...", help="the step's arguments")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run a step.

    Raises:
        VisavisError: what training needs is not installed.
    """
    try:
        main: Callable[[Sequence[str]], None] = import_module(STEPS[args.step][0]).main
    except ModuleNotFoundError as error:
        raise VisavisError(f"{error.name} is not installed: pip install 'visavis[studio]' brings it.") from error
    main(args.arguments)
    return 0
