"""``visavis loadtest``: real WebRTC sessions against a running server, and the report they give.

The sessions join one after another; the steady part begins when every one of them has had a frame, and lasts
``--seconds``. Frames, sound and the server's CPU are measured there. Delay and skew hold both ends' Opus
look-ahead (6.5 ms an encoder), as a listener's would.
"""

import argparse
import asyncio
import json
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from models.errors import VisavisError
from server.client import Client, Speech, is_loopback, loopback_only, read_speech
from server.measure import percentile
from server.recording import Figures, figures

FIRST_FRAME_TIMEOUT_S = 60.0
"""A server may warm up an avatar on its first session."""
PROBE_ENGINE = "probe"
BUSY_LAG_MS = 20.0
"""A client that comes this late to its own packets (99th percentile) blurs what it measures."""
WORST = {
    "fps_mean": min,
    "fps_p5": min,
    "gap_ms_p50": max,
    "gap_ms_p99": max,
    "gap_ms_max": max,
    "delay_ms_p50": max,
    "delay_ms_p95": max,
    "skew_ms_p95": max,
    "closing_ms_max": max,
    "first_frame_s": max,
}
"""Each figure of the summary, and which of the sessions' is the worst."""

logger = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    parser.add_argument("--url", default="http://127.0.0.1:8080", help="the server's address (%(default)s)")
    parser.add_argument("--sessions", type=int, default=1, help="sessions at once (%(default)s)")
    parser.add_argument("--seconds", type=float, default=30.0, help="length of the steady part, s (%(default)s)")
    parser.add_argument("--audio", type=Path, required=True, help="speech to send, over and over")
    parser.add_argument("--avatar", help="ask for this avatar (the server's default)")
    parser.add_argument("--engine", help="ask for this engine (the server's default); 'probe' measures the A/V skew")
    parser.add_argument("--pause-s", type=float, default=0.0, help="silence after each repetition, s (%(default)s)")
    parser.add_argument("--ramp-s", type=float, default=0.5, help="from one session to the next, s (%(default)s)")
    parser.add_argument("--server-pid", type=int, help="the server's process (asked of a local server)")
    parser.add_argument("--json", type=Path, help="write the report to this file")


def run(args: argparse.Namespace) -> int:
    """Run the command; 1 if a session failed, 2 if none could be tried."""
    if args.sessions < 1 or args.seconds <= 0 or min(args.ramp_s, args.pause_s) < 0:
        print("--sessions and --seconds must be above 0, --ramp-s and --pause-s not below.", file=sys.stderr)
        return 2
    try:
        speech = read_speech(args.audio, args.pause_s)
        if args.json:
            # Found out now rather than after the run.
            args.json.touch()
    except (VisavisError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    report = asyncio.run(_LoadTest(args, speech).run())
    print(table(report))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n")
    return 1 if report["errors"] else 0


@dataclass
class HostLoad:
    """What the machine and the server's process tree did during the steady part."""

    cpu_cores: float | None = None
    rss_mb: float | None = None
    client_cpu_cores: float | None = None
    load_average: list[float] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class ServerLoad:
    """CPU time and memory of a process and its children, sampled."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)
        self._begin: dict[int, float] = {}
        self._latest: dict[int, float] = {}
        self._begin_s = self._latest_s = time.monotonic()
        self.rss_mb = 0.0

    def sample(self) -> None:
        """Take a sample. Blocks for some ms; raises ``psutil.Error`` when the process is gone."""
        rss = 0
        first = not self._latest
        for process in [self._root, *self._root.children(recursive=True)]:
            try:
                times = process.cpu_times()
                rss += process.memory_info().rss
            except psutil.NoSuchProcess:
                if process is self._root:
                    raise
                continue
            self._latest[process.pid] = times.user + times.system
            # A child born later has used all its time since.
            self._begin.setdefault(process.pid, self._latest[process.pid] if first else 0.0)
        self._latest_s = time.monotonic()
        if first:
            self._begin_s = self._latest_s
        self.rss_mb = max(self.rss_mb, rss / 2**20)

    @property
    def cpu_cores(self) -> float | None:
        """Mean cores used between the first sample and the latest; ``None`` within half a second."""
        seconds = self._latest_s - self._begin_s
        used = sum(self._latest[pid] - self._begin[pid] for pid in self._latest)
        return used / seconds if seconds > 0.5 else None


class _LoadTest:
    """One run of the command."""

    def __init__(self, args: argparse.Namespace, speech: Speech) -> None:
        self._args = args
        self._speech = speech
        self._stop = asyncio.Event()
        self._notes: list[str] = []
        self._lags_ms: list[float] = []

    async def run(self) -> dict[str, Any]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop.set)
        try:
            async with aiohttp.ClientSession() as http:
                if is_loopback(self._args.url):
                    with loopback_only():
                        return await self._run(http)
                return await self._run(http)
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def _run(self, http: aiohttp.ClientSession) -> dict[str, Any]:
        args = self._args
        pid = args.server_pid or await self._server_pid(http)
        clients: list[Client] = []
        try:
            await self._join(http, clients)
            alive = [client for client in clients if client.recording.first_frame_s is not None]
            everyone = len(clients) == args.sessions
            steady, load = await self._hold(alive, pid) if alive and everyone else (None, HostLoad())
        finally:
            await asyncio.gather(*(client.close() for client in clients))
        if self._stop.is_set():
            self._notes.append("Interrupted: the figures are of the part until then.")
        sessions = []
        for client in clients:
            one = await asyncio.to_thread(figures, client.recording, self._speech, client.track.send_times_s, steady)
            one.errors[:0] = client.errors
            sessions.append(one)
        return self._report(sessions, load, steady)

    async def _join(self, http: aiohttp.ClientSession, clients: list[Client]) -> None:
        """Start the sessions ``--ramp-s`` apart; returns when each has a frame, has failed, or on a stop."""
        wishes = {key: value for key in ("avatar", "engine") if (value := getattr(self._args, key))}
        async with asyncio.TaskGroup() as group:
            tasks = []
            for _ in range(self._args.sessions):
                client = Client(http, self._args.url, self._speech, self._args.engine == PROBE_ENGINE)
                clients.append(client)
                tasks.append(group.create_task(self._connect(client, wishes)))
                if await self._stopped(self._args.ramp_s):
                    break
            stop = group.create_task(self._stop.wait())
            everyone = asyncio.gather(*tasks)
            await asyncio.wait((stop, everyone), return_when=asyncio.FIRST_COMPLETED)
            stop.cancel()
            everyone.cancel()

    async def _connect(self, client: Client, wishes: dict[str, str]) -> None:
        try:
            await client.connect(wishes, FIRST_FRAME_TIMEOUT_S)
        except VisavisError as error:
            client.errors.append(str(error))
        except Exception as error:
            # An answer aiortc cannot use must not end the other sessions.
            logger.debug("connecting failed", exc_info=True)
            client.errors.append(f"The server's answer cannot be used: {type(error).__name__}: {error}.")

    async def _hold(self, clients: list[Client], pid: int | None) -> tuple[tuple[float, float], HostLoad]:
        """Let the sessions run through the steady part; returns its start and end, and the load."""
        load = HostLoad()
        server: ServerLoad | None = None
        if pid is None:
            load.notes.append("The server's CPU is not measured: give --server-pid on the server's machine.")
        start_s, cpu_start_s = time.monotonic(), time.process_time()
        for client in clients:
            client.recording.keep(start_s, self._args.seconds)
        lag = asyncio.create_task(self._watch_lag())
        try:
            if pid is not None:
                server = await asyncio.to_thread(_watch, pid, load)
            while not await self._stopped(min(1.0, start_s + self._args.seconds - time.monotonic())):
                if server is not None and not await asyncio.to_thread(_sample, server, load):
                    server = None
                if time.monotonic() >= start_s + self._args.seconds:
                    break
        finally:
            lag.cancel()
            await asyncio.gather(lag, return_exceptions=True)
        end_s = time.monotonic()
        load.client_cpu_cores = (time.process_time() - cpu_start_s) / (end_s - start_s)
        load.load_average = [round(value, 2) for value in os.getloadavg()]
        if server is not None:
            load.cpu_cores, load.rss_mb = server.cpu_cores, server.rss_mb
        return (start_s, min(end_s, start_s + self._args.seconds)), load

    async def _watch_lag(self) -> None:
        """Note how late this process comes to a timer: as late as it would come to a packet."""
        while True:
            due_s = time.monotonic() + 0.05
            await asyncio.sleep(0.05)
            self._lags_ms.append(1000 * (time.monotonic() - due_s))

    async def _stopped(self, seconds: float) -> bool:
        """Wait; returns early, and true, when the user asked to stop."""
        try:
            await asyncio.wait_for(self._stop.wait(), max(0.0, seconds))
        except TimeoutError:
            pass
        return self._stop.is_set()

    async def _server_pid(self, http: aiohttp.ClientSession) -> int | None:
        if not is_loopback(self._args.url):
            return None
        try:
            timeout = aiohttp.ClientTimeout(total=5)
            async with http.get(f"{self._args.url.rstrip('/')}/livez", timeout=timeout) as response:
                pid = (await response.json(content_type=None))["pid"]
                return pid if isinstance(pid, int) else None
        except (aiohttp.ClientError, TimeoutError, ValueError, KeyError, TypeError):
            return None

    def _report(self, sessions: list[Figures], load: HostLoad, steady: tuple[float, float] | None) -> dict[str, Any]:
        errors = [f"Session {n}: {error}" for n, one in enumerate(sessions, 1) for error in one.errors]
        lag_ms = percentile(self._lags_ms, 99)
        notes = self._notes + load.notes
        if lag_ms is not None and lag_ms > BUSY_LAG_MS:
            notes.append(
                f"This client came {lag_ms:.0f} ms late to its own timers (99th percentile): the machine "
                "is too busy for it, and gaps and delays are that much blurred; run it on another machine."
            )
        rows = [one.as_dict() for one in sessions]
        summary: dict[str, Any] = {
            name: worst((row[name] for row in rows if row[name] is not None), default=None)
            for name, worst in WORST.items()
        }
        summary["packets_lost"] = sum(row["packets_lost"] for row in rows)
        return {
            "url": self._args.url,
            "engine": self._args.engine,
            "avatar": self._args.avatar,
            "steady_s": round(steady[1] - steady[0], 3) if steady else None,
            "summary": summary,
            "sessions": rows,
            "server_cpu_cores": _rounded(load.cpu_cores),
            "server_rss_mb": _rounded(load.rss_mb),
            "client_cpu_cores": _rounded(load.client_cpu_cores),
            "client_lag_ms_p99": _rounded(lag_ms),
            "load_average": load.load_average,
            "errors": errors,
            "notes": notes,
        }


def _watch(pid: int, load: HostLoad) -> ServerLoad | None:
    try:
        server = ServerLoad(pid)
    except psutil.Error as error:
        load.notes.append(f"The server's CPU is not measured: {error}.")
        return None
    return server if _sample(server, load) else None


def _sample(server: ServerLoad, load: HostLoad) -> bool:
    try:
        server.sample()
    except psutil.Error as error:
        load.notes.append(f"The server's CPU is not measured: {error}.")
        return False
    return True


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def table(report: dict[str, Any]) -> str:
    """The report for reading: a row a session, the worst of each, the machine, what went wrong."""
    columns = [*WORST, "packets_lost"]
    heads = [name.removesuffix("_ms").replace("_ms_", " ") for name in columns]
    lines = ["session  " + "  ".join(f"{head:>12}" for head in heads)]
    rows = [*enumerate(report["sessions"], 1), ("worst", report["summary"])]
    for name, row in rows:
        cells = ("-" if row[column] is None else f"{row[column]:.6g}" for column in columns)
        lines.append(f"{name!s:>7}  " + "  ".join(f"{cell:>12}" for cell in cells))
    lines.append("fps in frames a second, first_frame_s in seconds, the rest in ms; '-' is not measured")
    for key in ("steady_s", "server_cpu_cores", "server_rss_mb", "client_cpu_cores", "client_lag_ms_p99"):
        lines.append(f"{key}: {'-' if report[key] is None else report[key]}")
    lines.append("load_average: " + (" ".join(map(str, report["load_average"])) or "-"))
    notes = [*report["notes"]]
    # What every session says need not be said for each.
    for note in dict.fromkeys(note for row in report["sessions"] for note in row["notes"]):
        notes.append(note)
    lines += [f"note: {note}" for note in notes] + [f"error: {error}" for error in report["errors"]]
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command by itself."""
    parser = argparse.ArgumentParser(prog="visavis loadtest", description=run.__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


if __name__ == "__main__":
    sys.exit(main())
