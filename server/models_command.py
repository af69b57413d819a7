"""``visavis models``: published checkpoints on this machine, and weights for elsewhere."""

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from models.audio.babble import babble
from models.checkpoints import CHECKPOINTS, Checkpoint, PublishedFile, find
from models.errors import CheckpointError
from models.hub import HubFile
from models.store import CONVERTED, Store, located, sha256_of
from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ
from server.named_avatar import named_avatar
from server.render import read_sound

_BABBLE_S = 20.0

Handler = Callable[[argparse.Namespace], int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own commands."""
    actions = parser.add_subparsers(title="actions", required=True, metavar="ACTION")
    names = ", ".join(CHECKPOINTS)

    def action(name: str, run: Handler, text: str) -> argparse.ArgumentParser:
        added = actions.add_parser(name, help=text, description=text[0].upper() + text[1:] + ".")
        added.set_defaults(run=run)
        return added

    action("list", _list, "the checkpoints there are, their terms, and which are here")

    pull = action("pull", _pull, "fetch a checkpoint, resuming where an earlier try stopped")
    pull.add_argument("name", metavar="NAME", help=names)
    pull.add_argument("--accept-licence", action="store_true", help="you have read the licence's terms and accept them")
    pull.add_argument("--from", dest="file", type=Path, metavar="FILE", help="take this file (or folder of files)")
    pull.add_argument("--repo", metavar="OWNER/NAME", help="take it from another repository of the hub")
    pull.add_argument("--file", dest="repo_file", metavar="PATH", help="the file's path in --repo")
    pull.add_argument("--revision", default="main", help="branch, tag or commit of --repo (default: %(default)s)")
    pull.add_argument("--replace", action="store_true", help="let another file take the place of the first pulled")

    verify = action("verify", _verify, "read checkpoints whole: checksum, layout, every weight")
    verify.add_argument("names", nargs="*", metavar="NAME|FILE", help="default: all that are here")

    convert = action("convert", _convert, "write a Wav2Lip generator as safetensors, to the bit")
    convert.add_argument("name", metavar="NAME|FILE", help="a pulled checkpoint, or a file")
    convert.add_argument("--out", type=Path, metavar="FILE", help="default: beside it, with .safetensors")

    export = action("export", _export, "write an engine's weights for other runtimes, checked against PyTorch")
    export.add_argument("engine", choices=["wav2lip"], metavar="ENGINE", help="wav2lip")
    export.add_argument("--format", choices=["onnx"], default="onnx", help="default: %(default)s")
    export.add_argument("--int8", action="store_true", help="most weights in int8: two thirds of the size")
    export.add_argument("--weights", type=Path, metavar="NAME|FILE", help="default: the shipped weights")
    export.add_argument("--out", type=Path, metavar="FILE", help="default: ENGINE.onnx or ENGINE-int8.onnx")
    export.add_argument("--avatar", default="ada", help="whose face it is checked with (default: %(default)s)")
    export.add_argument("--speech", type=Path, metavar="FILE", help="sound it is checked with; default: babble")
    export.add_argument("--force", action="store_true", help="write an int8 file whose error is over the bounds too")


def _list(_args: argparse.Namespace) -> int:
    store = Store()
    for checkpoint in CHECKPOINTS.values():
        state = "not here"
        if store.holds(checkpoint):
            state = "converted" if store.converted(checkpoint).is_file() else "here"
        megabytes = sum(file.megabytes for file in checkpoint.files)
        print(f"{checkpoint.name:18} {state:10} {megabytes:5} MB  {checkpoint.licence.name:16} {checkpoint.title}")
    print(f"Kept in {store.folder}. Terms are shown by: visavis models pull NAME")
    return 0


def _pull(args: argparse.Namespace) -> int:
    checkpoint, store = find(args.name), Store()
    print(f"{checkpoint.title} (from {checkpoint.origin}).\nLicence, {checkpoint.licence.name}: ", end="")
    print(checkpoint.licence.terms, flush=True)
    if not args.accept_licence:
        raise CheckpointError("Nothing was fetched: if you accept these terms, add --accept-licence.")
    for file in checkpoint.files:
        store.pull(checkpoint, file, _say, _origin(args, checkpoint, file), args.replace)
    if checkpoint.draws:
        _say(f"Use it: visavis serve --engine {checkpoint.engine} --set engine.weights={checkpoint.name}")
    return 0


def _origin(args: argparse.Namespace, checkpoint: Checkpoint, file: PublishedFile) -> Path | HubFile | None:
    if (args.repo is None) != (args.repo_file is None) or (args.repo and args.file):
        raise CheckpointError(
            "Name a repository's file with --repo OWNER/NAME --file PATH, or a local one with --from."
        )
    several = len(checkpoint.files) > 1
    if several and (args.repo or (args.file and not args.file.is_dir())):
        raise CheckpointError(f"{checkpoint.name} has several files; give the folder that holds them with --from.")
    if args.repo:
        return HubFile(args.repo, args.repo_file, args.revision)
    given: Path | None = args.file
    return given / file.name if given and given.is_dir() else given


def _verify(args: argparse.Namespace) -> int:
    store = Store()
    names = args.names or [name for name, checkpoint in CHECKPOINTS.items() if store.holds(checkpoint)]
    if not names:
        raise CheckpointError("No checkpoint is here; fetch one with: visavis models pull NAME --accept-licence")
    faults = 0
    for name in names:
        try:
            _verify_one(store, name)
        except CheckpointError as error:
            faults += 1
            print(f"FAIL {error}")
    return 2 if faults else 0


def _verify_one(store: Store, name: str) -> None:
    if name in CHECKPOINTS:
        checkpoint = CHECKPOINTS[name]
        for file in checkpoint.files:
            contents = store.verify(checkpoint, file)
            print(f"ok   {name}: {file.name}, {contents}, is whole and as it was pulled")
        return
    path = Path(name)
    if not path.is_file():
        raise CheckpointError(
            f"There is neither a checkpoint '{name}' nor such a file; choose one of: {', '.join(CHECKPOINTS)}."
        )
    digest = sha256_of(path)
    known = [(checkpoint, file) for checkpoint in CHECKPOINTS.values() for file in checkpoint.files]
    published = next((c.name for c, file in known if file.sha256 == digest), None)
    meant = next((c for c, file in known if path.name == file.name), CHECKPOINTS["wav2lip"])
    contents = (CHECKPOINTS[published] if published else meant).check(path)
    print(
        f"ok   {path}: {contents}, sha256 {digest}, {f'published as {published}' if published else 'not a known one'}"
    )


def _convert(args: argparse.Namespace) -> int:
    from models.wav2lip.published import convert

    if args.name in CHECKPOINTS:
        checkpoint, store = find(args.name), Store()
        if checkpoint.engine != "wav2lip":
            raise CheckpointError(f"{args.name} needs no conversion: its engine reads it as it is.")
        store.verify(checkpoint, checkpoint.files[0])
        source = store.path(checkpoint, checkpoint.files[0])
    else:
        source = Path(args.name)
    target = args.out or source.with_suffix(CONVERTED)
    if target.exists() and target.samefile(source):
        raise CheckpointError(f"{source} would be written over; name another file with --out.")
    info = convert(source, target)
    _say(f"{target}: {target.stat().st_size / 1e6:.0f} MB, {info.size} px, {info.colour}, licence {info.licence}")
    return 0


def _export(args: argparse.Namespace) -> int:
    from models.wav2lip import export
    from models.wav2lip.published import load_weights
    from models.wav2lip.weights import ASSET

    weights = located(args.weights) or ASSET
    generator, info = load_weights(weights)
    target = args.out or Path(f"{args.engine}{'-int8' if args.int8 else ''}.onnx")
    inputs = export.samples(info, named_avatar(args.avatar), _speech(args.speech))
    export.export(generator, info, target, inputs, _say, args.int8, args.force)
    _say(
        f"{target}: {target.stat().st_size / 1e6:.1f} MB of {weights.name}, {info.size} px, {info.colour}, "
        f"licence {info.licence}"
    )
    return 0


def _speech(path: Path | None) -> NDArray[np.float32]:
    """(n,) at 16 kHz."""
    if path is None:
        return babble(_BABBLE_S, SPEECH_RATE_HZ).astype(np.float32)
    wire = np.concatenate([np.zeros(0, np.float32), *read_sound(path)])
    return np.asarray(soxr.resample(wire, WIRE_RATE_HZ, SPEECH_RATE_HZ), np.float32)


def _say(text: str) -> None:
    print(text, flush=True)
