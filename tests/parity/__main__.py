"""Do our networks compute what the published ones do?

    python -m tests.parity DIR [--kit NAME] [--threads N]

DIR holds goldens (``*.npz``), their ``seed.json`` and ``manifest.json``; or folders that do. A kit is found
by the folder's name, by ``--kit``, or by the modules or files its manifest names. Prints a line an array with its
error and tolerance; exits with 1 if any is over its tolerance, missing, or not compared.
"""

import argparse
import importlib
import json
import pkgutil
import sys
from pathlib import Path

import torch

from tests.parity import kits
from tests.parity.goldens import GoldenFolder, Report


def kit_names() -> list[str]:
    """The kits there are."""
    return sorted(module.name for module in pkgutil.iter_modules(kits.__path__))


def kit_of(folder: Path) -> str | None:
    """The kit a folder belongs to: by its name, else by its manifest."""
    for name in kit_names():
        if name in folder.resolve().name:
            return name
    manifest = json.loads((folder / "manifest.json").read_text())
    members = [*manifest.get("modules", ()), *manifest.get("files", ())]
    for name in kit_names():
        if any(member.startswith(name) for member in members):
            return name
    return None


def run(folder: Path, kit: str | None = None) -> Report:
    """Compare everything in one folder."""
    report = Report()
    name = kit or kit_of(folder)
    if name is None:
        report.fail(str(folder), f"belongs to none of the kits {', '.join(kit_names())}")
        return report
    importlib.import_module(f"tests.parity.kits.{name}").run(GoldenFolder(folder, report))
    if not report.checks:
        report.fail(str(folder), "holds no goldens")
    return report


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.parity", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kit", choices=kit_names())
    # Sums are taken in an order that depends on the threads, and a ReLU near zero may then fall either way: with as
    # many as the goldens were made with, the networks agree to the bit where the processor is of the same kind.
    parser.add_argument("--threads", type=int, default=2, help="default: %(default)s, as the goldens were made")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    folders = [arguments.folder]
    if not (arguments.folder / "manifest.json").is_file():
        folders = sorted(path.parent for path in arguments.folder.glob("*/manifest.json"))
        if arguments.kit is None:
            folders = [folder for folder in folders if kit_of(folder) is not None]
    if not folders:
        print(f"{arguments.folder} holds no manifest.json, nor do its folders.", file=sys.stderr)
        return 1
    reports = [run(folder, arguments.kit) for folder in folders]
    checks, failures = sum(r.checks for r in reports), sum(r.failures for r in reports)
    print(f"{checks} checks, {failures} failed")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
