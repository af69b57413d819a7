"""A portrait that speaks live on this machine's CPU, its networks narrowed until they keep pace.

    python -m tests.bench.portrait_session

A real server and ``visavis loadtest`` beside it. The networks are a sixteenth as wide as the published ones and two
cells deep, see faces of 128 px, and have random weights: what is measured is how fast all of it runs, with every
network in use, and not how it looks.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from models.liveportrait.stand_in import stand_in
from models.liveportrait.weights import Architecture
from tests.bench.served import HEADINGS, HOST, Load, load, row, served
from tests.fakes.portrait_weights import write_published
from tests.unit.jobs.speech import write_speech


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="A live session of LivePortrait, narrowed, on the CPU.")
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--budget-ms", type=int, nargs="+", default=[60, 100], help="playout.render_budget_ms")
    parser.add_argument("--audio", type=Path, help="speech, said again and again (default: a synthetic voice)")
    options = parser.parse_args()
    print(f"budget  {HEADINGS}")
    with tempfile.TemporaryDirectory(prefix="visavis-portrait-") as name:
        home = Path(name)
        weights = write_published(home / "weights", stand_in(Architecture(1 / 16, 2)))
        asked = Load("liveportrait", 1, options.seconds, options.audio or write_speech(home / "speech.wav", 20))
        for budget_ms in options.budget_ms:
            settings = (
                f'ice.host_addresses=["{HOST}"]',
                f"engine.weights={weights}",
                "engine.liveportrait.face_px=128",
                f"playout.render_budget_ms={budget_ms}",
            )
            arguments = ["-m", "server.cli", "serve", "--engine", "liveportrait", "--host", HOST]
            arguments += [part for setting in settings for part in ("--set", setting)]
            with served([*arguments, "--port"]) as url:
                report = load(url, asked, home / "report.json")
            print(f"{budget_ms:6}  {row(report)}", flush=True)
    print("load average:", *(f"{value:.2f}" for value in os.getloadavg()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
