"""Memory of a film's hearing half: ten minutes of sound against ten seconds, each in a process of its own.

    python -m tests.bench.film_memory

From a sound file to the coefficients of every frame, as ``visavis render --engine sadtalker`` does before it draws;
stand-in weights. The exit code is 1 where the longer sound takes more than 1.3 times as much.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import torch

from models.sadtalker.pipeline import Pipeline
from models.sadtalker.portrait import read_portrait
from models.sadtalker.settings import Choices
from models.sadtalker.stand_in import write_stand_in
from server.render import read_sound
from server.sadtalker_render import check_speech
from tests.unit.face.faces import portrait, write_photo
from tests.unit.jobs.speech import write_speech

ROOT = Path(__file__).parents[2]
MOST = 1.3


def peak_mb(weights: Path, photo: Path, sound: Path) -> float:
    """Hear a sound in this process; the most it ever held."""
    torch.set_num_threads(1)
    choices = Choices()
    pipeline = Pipeline.load(weights, choices)
    film = pipeline.film(read_portrait(photo, "crop"), read_sound(sound), check_speech(sound), choices)
    assert len(film)
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6


def main() -> int:
    """Run and print; 0 where the bar holds."""
    parser = argparse.ArgumentParser(description="How much memory a long sound takes, against a short one.")
    parser.add_argument("--seconds", type=float, nargs=2, default=(10.0, 600.0), metavar="S")
    parser.add_argument("--width", type=float, default=0.125, help="of the stand-in's networks (%(default)s)")
    parser.add_argument("--one", type=Path, nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(peak_mb(*options.one))
        return 0
    with tempfile.TemporaryDirectory(prefix="visavis-memory-") as name:
        home = Path(name)
        write_stand_in(home / "weights", options.width)
        photo = write_photo(home / "p.png", portrait())
        peaks = []
        for seconds in options.seconds:
            sound = write_speech(home / f"{seconds:g}.wav", seconds)
            command = [sys.executable, "-m", "tests.bench.film_memory", "--one", home / "weights", photo, sound]
            peaks.append(float(subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout))
            print(f"{seconds:g} s of sound: {peaks[-1]:.0f} MB", flush=True)
    ratio = peaks[1] / peaks[0]
    print(f"ratio {ratio:.2f}, at most {MOST}; load average {os.getloadavg()[0]:.1f}")
    return 0 if ratio <= MOST else 1


if __name__ == "__main__":
    sys.exit(main())
