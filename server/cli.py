"""The ``visavis`` command."""

import argparse
import asyncio
import errno
import logging
import socket
import ssl
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.errors import VisavisError
from server import (
    avatar_command,
    bench,
    engine_report,
    face_command,
    models_command,
    motion_command,
    render,
    sadtalker_render,
    train,
)
from server.jobs import worker

_CANNOT_LISTEN = (errno.EADDRINUSE, errno.EADDRNOTAVAIL, errno.EACCES)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; the exit code is 2 where the user can mend what went wrong."""
    args = build_parser().parse_args(argv)
    try:
        code: int = args.run(args)
    except VisavisError as error:
        print(f"visavis: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


def build_parser() -> argparse.ArgumentParser:
    """Every command with its arguments."""
    parser = argparse.ArgumentParser(prog="visavis", description="Real-time talking avatars over WebRTC.")
    parser.add_argument("--version", action="version", version=f"visavis {version('visavis')}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="serve the page and its sessions")
    serve.add_argument("--config", type=Path, help="YAML file with the settings you change")
    serve.add_argument("--host", help="address to listen on")
    serve.add_argument("--port", type=int, help="TCP port")
    serve.add_argument("--avatar", help="default avatar")
    serve.add_argument("--engine", help="default engine: wav2lip, liveportrait or probe")
    serve.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="any key of configs/default.yaml"
    )
    serve.set_defaults(run=_serve)

    offline = commands.add_parser("render", help="speak a sound file into a video file")
    render.add_arguments(offline)
    sadtalker_render.add_arguments(offline)
    offline.set_defaults(run=_render)

    avatar_command.add_arguments(commands.add_parser("avatar", help="faces of your own, from a photo or a clip"))
    face_command.add_arguments(commands.add_parser("face", help="the open 3D face model, fitted to a photo"))
    motion = commands.add_parser("motion", help="motion templates: from a clip, onto any avatar")
    motion_command.add_arguments(motion)
    worker.add_arguments(commands.add_parser("work", help="render queued jobs; a server starts its own workers"))

    load = commands.add_parser("loadtest", help="scripted WebRTC clients and what they measured")
    _add_loadtest(load)

    models_command.add_arguments(commands.add_parser("models", help="published checkpoints, and weights for elsewhere"))
    train.add_arguments(commands.add_parser("train", help="draw a corpus, train weights of your own"))
    engines = commands.add_parser("recommend", help="which engine for which need, measured on this machine")
    engine_report.add_arguments(engines)
    bench.add_arguments(commands.add_parser("bench", help="how good and how fast the parts are, in figures"))
    return parser


def _add_loadtest(parser: argparse.ArgumentParser) -> None:
    from server import loadtest  # aiohttp's client and psutil: not needed to render or to print help

    loadtest.add_arguments(parser)
    parser.set_defaults(run=loadtest.run)


def _render(args: argparse.Namespace) -> int:
    return sadtalker_render.run(args) if args.engine == render.OFFLINE else render.run(args)


def _serve(args: argparse.Namespace) -> int:
    from aiohttp import web

    from server.app import create_app
    from server.config import load_settings, merge, parse_override

    overrides: dict[str, Any] = {}
    for text in args.set:
        overrides = merge(overrides, parse_override(text))
    flags = {"http": {"host": args.host, "port": args.port}, "avatars": {"default": args.avatar}}
    flags["engine"] = {"name": args.engine}
    for section, values in flags.items():
        given = {key: value for key, value in values.items() if value is not None}
        if given:
            overrides = merge(overrides, {section: given})
    settings = load_settings(args.config, overrides)
    logging.basicConfig(level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("aioice").setLevel(logging.WARNING)
    http = settings.http
    scheme = "https" if http.tls_certificate else "http"
    try:
        web.run_app(
            create_app(settings),
            host=http.host,
            port=http.port,
            ssl_context=_tls(http.tls_certificate, http.tls_key),
            # Called as soon as the server listens, with lines of aiohttp's own.
            print=lambda _: print(f"visavis is at {scheme}://{http.host}:{http.port}/ (stop with Ctrl+C)", flush=True),
            access_log=None,
            loop=_event_loop(),
        )
    except OSError as error:
        if error.errno not in _CANNOT_LISTEN and not isinstance(error, socket.gaierror):
            raise
        raise VisavisError(
            f"The server cannot listen at {http.host}, port {http.port}: {error.strerror}. Stop what listens there, or "
            "choose another with --host and --port."
        ) from error
    return 0


def _event_loop() -> asyncio.AbstractEventLoop:
    """libuv's loop, which serves a session for a tenth less of a core; Python's own on Windows, where there is none."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _tls(certificate: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if certificate is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(certificate, key)
    except OSError as error:
        raise VisavisError(
            f"The certificate {certificate} and its key cannot be used: {error}. Set http.tls_certificate and "
            "http.tls_key to PEM files that belong together."
        ) from error
    return context


if __name__ == "__main__":
    sys.exit(main())
