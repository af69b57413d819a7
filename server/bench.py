"""``visavis bench``: what the parts are worth, measured.

``quality`` judges the talking face, ``motion`` the blend shapes heard, ``wav2lip``, ``liveportrait`` and ``sadtalker``
the engines' speed, ``sessions`` how many a speed is enough for.
"""

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.aside import written_aside
from models.avatar import Avatar
from models.engine import Engine
from models.errors import MediaError, VisavisError
from models.registry import engine_names, load_engine
from models.store import located
from models.timebase import FRAME_MS, FRAMES_PER_SECOND
from server import bench_liveportrait, bench_motion
from server.named_avatar import named_avatar
from server.render import add_runtime, draw, read_sound

_OPUS_KBPS = 24
_LOST = 0.05
_PULLED_AFTER_MS = 15.0
"""Over the jitter buffer's floor and under its target, so that it neither waits nor hurries."""
_MAX_SECONDS = 1800.0
_LARGEST_BATCH = 512
_FASTEST_FPS = 1e5
_STUDIO = "'visavis bench quality' needs the studio; install it with 'pip install visavis[studio]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's sub-commands."""
    benches = parser.add_subparsers(title="what to measure", required=True, metavar="WHAT")
    quality = benches.add_parser("quality", help="how good the talking face is, against renders and labels")
    quality.add_argument("--avatar", default="ada", help="one of the studio's avatars (%(default)s)")
    quality.add_argument("--engine", default="wav2lip", choices=engine_names(), help="%(default)s")
    quality.add_argument("--weights", type=Path, help="safetensors file instead of the shipped weights")
    quality.add_argument("--seconds", type=float, default=60.0, help="speech and pauses, s (%(default)s)")
    quality.add_argument("--seed", type=int, default=1, help="of sentences, prosody, losses and noise (%(default)s)")
    quality.add_argument("--voice", action="append", metavar="VOICE", help="instead of the held-out ones; repeat it")
    quality.add_argument("--json", type=Path, help="write every figure to this file")
    quality.add_argument("--plot", type=Path, help="write opening curves and a bar a voice to this PNG")
    quality.add_argument("--audio", type=Path, help="watch this recording instead: no labels, a sheet to look at")
    quality.add_argument("--out", type=Path, default=Path(), help="with --audio: folder of its sheet and curve")
    quality.add_argument("--every-ms", type=int, default=200, help="with --audio: from picture to picture")
    quality.add_argument("--quiet", action="store_true", help="no progress bar")
    quality.set_defaults(run=run_quality)

    speed = benches.add_parser("wav2lip", help="how fast the engine draws, against the plain network")
    speed.add_argument("--avatar", default="ada", help="whose face is drawn on (%(default)s)")
    speed.add_argument("--weights", type=Path, help="safetensors file instead of the shipped weights")
    speed.add_argument(
        "--published-size", action="store_true", help="random weights of the published width and size instead"
    )
    add_runtime(speed)
    speed.add_argument(
        "--batch", type=int, action="append", metavar="N", help="frames in one go; repeat it (default: 1, 4 and 8)"
    )
    speed.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(%(default)s)")
    speed.add_argument("--seconds", type=float, default=20.0, help="time to measure, s (%(default)s)")
    speed.add_argument("--json", type=Path, help="write every figure to this file")
    speed.set_defaults(run=run_wav2lip)
    bench_motion.add_arguments(benches.add_parser("motion", help="how well blend shapes are heard, and how fast"))

    sessions = benches.add_parser("sessions", help="how many sessions a network of a given speed holds, simulated")
    sessions.add_argument("--fps", type=float, default=120.0, help="frames a second, one by one (%(default)g)")
    sessions.add_argument(
        "--shared",
        type=float,
        default=0.0,
        help="share of a frame's time that a batch takes once, 0 to 1 (%(default)g)",
    )
    sessions.add_argument("--max-batch", type=int, default=8, help="as engine.max_batch (%(default)s)")
    sessions.add_argument(
        "--budget-ms",
        type=float,
        default=75.0,
        help="playout.render_budget_ms and the 20 that a picture may be late, less 5 for handing over (%(default)g)",
    )
    sessions.add_argument("--json", type=Path, help="write every figure to this file")
    sessions.set_defaults(run=run_sessions)

    networks = benches.add_parser("liveportrait", help="how fast its networks run, against the plain ones")
    bench_liveportrait.add_arguments(networks, named_avatar, _write_json)

    _add_sadtalker(benches.add_parser("sadtalker", help="how fast films are drawn, against the plain network"))


def _add_sadtalker(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--avatar", default="ada", help="whose face is drawn (%(default)s)")
    parser.add_argument("--weights", type=Path, help="folder of weights (default: random, of the published width)")
    parser.add_argument("--size", type=int, default=256, help="pixels: 256 | 512 (%(default)s)")
    add_runtime(parser)
    parser.add_argument("--batch", type=int, default=1, help="frames drawn in one go (%(default)s)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="(%(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="drawings by each in turn (%(default)s)")
    parser.add_argument("--json", type=Path, help="write every figure to this file")
    parser.set_defaults(run=run_sadtalker)


def run_quality(args: argparse.Namespace) -> int:
    """Measure and print; errors are raised as VisavisError."""
    if not 0 < args.seconds <= _MAX_SECONDS:
        raise VisavisError(f"--seconds takes a length up to {_MAX_SECONDS:g}, not {args.seconds:g}.")
    if args.every_ms < FRAME_MS:
        raise VisavisError(f"--every-ms takes {FRAME_MS} or more: a frame lasts that long.")
    if args.seed < 0:
        raise VisavisError(f"--seed takes 0 or a positive number, not {args.seed}.")
    _require_studio(args.plot is not None or args.audio is not None)
    from models.quality.threads import one_thread

    avatar = named_avatar(args.avatar)
    engine = load_engine(args.engine, args.weights)
    with one_thread():
        return _watch(args, engine, avatar) if args.audio is not None else _measure(args, engine, avatar)


def run_wav2lip(args: argparse.Namespace) -> int:
    """Measure and print; errors are raised as VisavisError."""
    if args.threads < 1 or not 0 < args.seconds <= _MAX_SECONDS:
        raise VisavisError(f"--threads takes 1 or more, --seconds a length up to {_MAX_SECONDS:g}.")
    if args.batch and not all(1 <= count <= _LARGEST_BATCH for count in args.batch):
        raise VisavisError(f"--batch takes 1 to {_LARGEST_BATCH} frames.")
    from models.runtime.runtime import choose
    from models.wav2lip import speed
    from models.wav2lip.weights import ASSET, GeneratorInfo, load_generator

    avatar = named_avatar(args.avatar)
    if args.published_size:
        info = GeneratorInfo(width=1, size=96, lead_columns=0, colour="bgr", licence="none: random")
        generator = speed.synthetic(info)
    else:
        generator, info = load_generator(args.weights or ASSET)
    runtime = choose(args.runtime, args.device)
    batches = args.batch or speed.BATCHES
    measured = speed.measure(generator, info, avatar, args.threads, args.seconds, batches, runtime)
    load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
    print(f"{speed.table(measured)}\nload average: {load}")
    _write_json(args.json, measured.figures() | {"load_average": os.getloadavg()})
    return 0


def run_sessions(args: argparse.Namespace) -> int:
    """Simulate and print; errors are raised as VisavisError."""
    if not 1 <= args.fps <= _FASTEST_FPS or not 0 <= args.shared <= 1 or not 1 <= args.max_batch <= _LARGEST_BATCH:
        raise VisavisError(f"--fps takes 1 to {_FASTEST_FPS:g}, --shared 0 to 1, --max-batch 1 to {_LARGEST_BATCH}.")
    if not 1 <= args.budget_ms <= 1000:
        raise VisavisError(f"--budget-ms takes 1 to 1000, not {args.budget_ms:g}.")
    from server.sessions_bench import StubNetwork, held

    network, tried = StubNetwork(args.fps, args.shared), list[dict[str, Any]]()
    count = held(network, args.max_batch, args.budget_ms, told=tried.append)
    for row in tried:
        print(f"{row['sessions']:3} sessions: {row['fps_min']:5.1f} to {row['fps_max']:5.1f} frames a second each")
    print(f"held at {FRAMES_PER_SECOND} frames a second, all of them speaking: {count} (simulated)")
    figures = {"fps": args.fps, "shared": args.shared, "max_batch": args.max_batch, "budget_ms": args.budget_ms}
    figures |= {"held": count, "tried": tried}
    _write_json(args.json, figures)
    return 0


def run_sadtalker(args: argparse.Namespace) -> int:
    """Measure and print; errors are raised as VisavisError."""
    if args.threads < 1 or not 1 <= args.rounds <= 100 or not 1 <= args.batch <= 64:
        raise VisavisError("--threads takes 1 or more, --rounds 1 to 100, --batch 1 to 64.")
    from models.runtime.runtime import choose
    from models.sadtalker import speed
    from models.sadtalker.stand_in import lively_renderer
    from models.sadtalker.weights import NETWORK_FILES, load_networks

    if args.size not in NETWORK_FILES:
        raise VisavisError(f"--size takes {' or '.join(map(str, NETWORK_FILES))} pixels, not {args.size}.")
    weights = located(args.weights)
    renderer = (
        lively_renderer(1.0, 1) if weights is None else load_networks(weights / NETWORK_FILES[args.size]).renderer
    )
    photo = named_avatar(args.avatar).frame_rgb(0)
    how = {"batch": args.batch, "threads": args.threads, "rounds": args.rounds}
    measured = speed.measure(renderer, photo, args.size, **how, runtime=choose(args.runtime, args.device))
    load = os.getloadavg()
    print(f"{speed.table(measured)}\nload average: {', '.join(f'{value:.2f}' for value in load)}")
    _write_json(args.json, {**asdict(measured), "weights": weights.name if weights else "random", "load_average": load})
    return 0


def _require_studio(plots: bool) -> None:
    """Raise before minutes of work rather than after them."""
    try:
        import models.quality.report

        if plots:
            import models.quality.plots  # noqa: F401
    except ImportError as error:
        raise VisavisError(f"{_STUDIO} ({error.name} is missing).") from error


def _measure(args: argparse.Namespace, engine: Engine, avatar: Avatar) -> int:
    from models.quality.bars import table
    from models.quality.report import Options, measure
    from models.quality.speech_set import held_out_voices

    options = Options(args.seconds, args.seed, tuple(args.voice or held_out_voices()), quiet=args.quiet)
    measured = measure(draw, through_network, engine, avatar, _weights_file(args), options)
    print(table(measured.report))
    _write_json(args.json, measured.report)
    if args.plot is not None:
        from models.quality.plots import plot_report

        plot_report(args.plot, measured.report, measured.trial)
    return 0


def _watch(args: argparse.Namespace, engine: Engine, avatar: Avatar) -> int:
    from models.quality import recording
    from models.quality.opening import FIT_RENDERS, OpeningGauge, speech_renders
    from models.quality.plots import plot_recording
    from models.quality.truth import Truth

    gauge = OpeningGauge(avatar, speech_renders(Truth(avatar), len(avatar), FIT_RENDERS, args.seed))
    watched = recording.watch(draw, engine, avatar, gauge, read_sound(args.audio), args.every_ms)
    figures = recording.recording_figures(watched, gauge)
    stem = args.out / args.audio.stem
    try:
        args.out.mkdir(parents=True, exist_ok=True)
        recording.write_curve(Path(f"{stem}-opening.csv"), watched, gauge)
    except OSError as error:
        raise MediaError(f"{args.out} cannot be written to: {error}; check --out and the space left.") from error
    recording.write_sheet(Path(f"{stem}-sheet.png"), watched)
    plot_recording(Path(f"{stem}-opening.png"), watched.opening_mm, watched.levels_dbfs, gauge.shut_below_mm)
    print(recording.recording_table(figures))
    print(f"{stem}-sheet.png (a picture every {figures['every_ms']} ms), {stem}-opening.png, {stem}-opening.csv")
    _write_json(args.json, figures)
    return 0


def _weights_file(args: argparse.Namespace) -> Path | None:
    if args.weights is not None or args.engine != "wav2lip":
        return Path(args.weights) if args.weights is not None else None
    from models.wav2lip.weights import ASSET

    return ASSET


def _write_json(path: Path | None, figures: dict[str, Any]) -> None:
    if path is None:
        return
    content = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        with written_aside(path) as aside:
            aside.write_text(content, encoding="utf-8")
    except OSError as error:
        raise MediaError(f"{path} cannot be written: {error}; check the folder and the space left.") from error


def through_network(sound: NDArray[np.float32], seed: int) -> NDArray[np.float32]:
    """Speech as a session hears it over Opus at 24 kb/s when 5 % of the packets are lost, in bursts.

    Decoded and concealed by the session's own parts; the codec's delay is taken out, the buffer's is none here.

    Args:
        sound: (n,) at 48 kHz mono.
        seed: of the losses.

    Returns:
        (n,) at 48 kHz.
    """
    from models.studio.degrade import burst_losses, opus_delay, opus_payloads
    from server.media.ingress import Decoder
    from server.media.jitter import FRAME_MS as PACKET_MS
    from server.media.jitter import FRAME_SAMPLES, JitterBuffer

    payloads = opus_payloads(sound, _OPUS_KBPS)
    lost = burst_losses(len(payloads), _LOST, np.random.default_rng(seed))
    decoder, buffer = Decoder("opus"), JitterBuffer()
    lost[0] = False  # the buffer's time begins with the first packet
    heard = []
    for number, payload in enumerate(payloads):
        arrival_ms = float(number * PACKET_MS)
        if not lost[number]:
            buffer.push(number * FRAME_SAMPLES, decoder.decode(payload), arrival_ms)
        heard.append(buffer.pull(arrival_ms + _PULLED_AFTER_MS))
    late = opus_delay(_OPUS_KBPS)
    return np.asarray(np.concatenate(heard)[late : late + len(sound)], dtype=np.float32)
