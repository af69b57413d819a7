"""Sessions held at 25 frames a second by the whole server, its network replaced by one of a given speed.

    python -m tests.bench.stub_sessions --fps 120 --sessions 4 8

A real server, and ``visavis loadtest`` beside it: signaling, sound, scheduler, video codec and network are as ever, but
the device takes ``(shared + n * (1 - shared)) / fps`` seconds for a batch of n and leaves the processors alone, as a
GPU does. With ``--shared 1`` every session has all the frames a second to itself, as where each has a thread and a stub
of its own, so that the server alone is measured; with ``--shared 0`` they share them. ``visavis bench sessions``
simulates the same without sound, video and network between.
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.engine import RenderRequest
from models.probe.engine import ProbeEngine
from server import cli
from server.sessions_bench import StubNetwork
from tests.bench.served import HEADINGS, HOST, Load, load, row, served
from tests.unit.jobs.speech import write_speech


def serve(port: int, network: StubNetwork) -> int:
    """``visavis serve`` with the probe engine, which waits for as long as the network would draw."""
    drawn = ProbeEngine.render

    def render(engine: ProbeEngine, requests: Sequence[RenderRequest]) -> list[NDArray[np.uint8]]:
        if requests:
            time.sleep(network.seconds(len(requests)))
        return drawn(engine, requests)

    ProbeEngine.render = render  # type: ignore[method-assign]
    settings = f'ice.host_addresses=["{HOST}"]', "sessions.max_sessions=64"
    options = [part for setting in settings for part in ("--set", setting)]
    return cli.main(["serve", "--engine", "probe", "--host", HOST, "--port", str(port), *options])


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="Sessions held by the server with a network of a given speed.")
    parser.add_argument("--fps", type=float, default=120.0, help="frames a second, one by one (%(default)g)")
    parser.add_argument("--shared", type=float, default=1.0, help="of a frame's time, once a batch (%(default)g)")
    parser.add_argument("--sessions", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--seconds", type=float, default=15.0)
    parser.add_argument("--audio", type=Path, help="speech, said again and again (default: a synthetic voice)")
    parser.add_argument("--pause-s", type=float, default=0.0, help="silence after each repetition")
    parser.add_argument("--serve", type=int, metavar="PORT", help=argparse.SUPPRESS)
    options = parser.parse_args()
    network = StubNetwork(options.fps, options.shared)
    if options.serve:
        return serve(options.serve, network)
    print(f"sessions  {HEADINGS}")
    stub = ["-m", "tests.bench.stub_sessions", "--fps", str(network.fps), "--shared", str(network.shared), "--serve"]
    with tempfile.TemporaryDirectory(prefix="visavis-stub-") as name, served(stub) as url:
        audio = options.audio or write_speech(Path(name) / "speech.wav", 20)
        for sessions in options.sessions:
            asked = Load("probe", sessions, options.seconds, audio, options.pause_s)
            report = load(url, asked, Path(name) / "report.json")
            print(f"{sessions:8}  {row(report)}", flush=True)
    print("load average:", *(f"{value:.2f}" for value in os.getloadavg()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
