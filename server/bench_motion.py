"""``visavis bench motion``: how well blend shapes are heard in voices that no training heard, and in what time."""

import argparse
import json
from pathlib import Path

from models.errors import VisavisError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The sub-command's arguments."""
    parser.add_argument("--weights", type=Path, help="safetensors file instead of the shipped weights")
    parser.add_argument("--seconds", type=float, default=120.0, help="speech and pauses, s (%(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of sentences and prosody (%(default)s)")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Measure and print; errors are raised as VisavisError."""
    if not 0 < args.seconds <= 3600:
        raise VisavisError(f"--seconds takes a length up to 3600, not {args.seconds:g}.")
    try:
        from models.quality.hearing import measure
    except ImportError as error:
        raise VisavisError(f"{error.name} is not installed: pip install 'visavis[studio]' brings it.") from error
    from models.motion.ear import load_ear
    from models.quality.threads import one_thread

    with one_thread():
        figures = measure(load_ear(args.weights), args.seconds, args.seed)
    print(f"{'voice':24}{'jaw':>8}{'mouth':>8}{'lag':>10}   correlation of the opening, of all shapes; lag")
    for row in [*figures["voices"], {"voice": "all"} | figures]:
        print(f"{row['voice']:24}{row['jaw_correlation']:8.3f}{row['mouth_correlation']:8.3f}{row['lag_ms']:7.1f} ms")
    print(
        f"{figures['ms_per_frame_one_core']:.2f} ms a frame on one core; look-ahead {figures['lookahead_ms']:.1f} ms; "
        f"load average {figures['load_average'][0]:.1f}"
    )
    if args.json is not None:
        args.json.write_text(json.dumps(figures, indent=2), encoding="utf-8")
    return 0
