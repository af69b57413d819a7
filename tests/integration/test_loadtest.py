"""``loadtest`` against a real server whose delay, skew, stall and places are known."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
import wave
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server import loadtest
from tests.fakes.voice import voice

ENCODER_LOOKAHEAD_MS = 6.5


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("speech") / "speech.wav"
    stereo = np.repeat((voice(7.3, 22_050) * 32767).astype("<i2"), 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(22_050)
        file.writeframes(stereo.tobytes())
    return path


@contextlib.contextmanager
def echo_server(**options: float) -> Iterator[tuple[str, int]]:
    """A fake in its own process: its URL and process id."""
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    command = [sys.executable, "-m", "tests.fakes.echo_server", *flags]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{int(process.stdout.readline())}", process.pid
        finally:
            process.terminate()


def command(url: str, speech: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "server.loadtest", "--url", url, "--audio", str(speech), *options]


def live_sessions(url: str) -> Any:
    with urllib.request.urlopen(f"{url}/livez", timeout=5) as response:
        return json.load(response)["sessions"]


def test_finds_delay_and_skew_of_every_session(speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--sessions", "2", "--seconds", "8", "--engine", "probe", "--json", str(out)]
    with echo_server(delay_ms=150, skew_ms=60) as (url, _):
        done = subprocess.run(command(url, speech, *options), capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stdout + done.stderr
        assert live_sessions(url) == 0
    report = json.loads(out.read_text())
    assert len(report["sessions"]) == 2
    for one in report["sessions"]:
        assert one["delay_ms_p50"] == pytest.approx(150 + ENCODER_LOOKAHEAD_MS, abs=10)
        assert one["delay_windows"] >= 3
        assert one["skew_ms_p50"] == pytest.approx(60, abs=10)
        assert one["skew_windows"] >= 2
        assert one["fps_mean"] == pytest.approx(25, abs=0.5)
        assert 0 < one["first_frame_s"] < 5
        assert one["packets_lost"] == 0
    assert 0 < report["server_cpu_cores"] < 2
    assert report["server_rss_mb"] > 30
    assert report["client_cpu_cores"] / 2 < 0.25
    assert report["errors"] == []
    assert "worst" in done.stdout


def test_finds_an_early_picture_and_a_stall(speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--seconds", "9", "--engine", "probe", "--json", str(out)]
    with echo_server(delay_ms=320, skew_ms=-80, stall_at_s=7.5, stall_s=1) as (url, pid):
        extra = ["--server-pid", str(pid)]
        done = subprocess.run(command(url, speech, *options, *extra), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    (one,) = json.loads(out.read_text())["sessions"]
    assert one["delay_ms_p50"] == pytest.approx(320 + ENCODER_LOOKAHEAD_MS, abs=10)
    assert one["skew_ms_p50"] == pytest.approx(-80, abs=10)
    assert one["skew_ms_p95"] == pytest.approx(80, abs=10)
    assert one["gap_ms_max"] == pytest.approx(1040, abs=60)
    assert one["fps_p5"] < 20


def test_a_refused_session_fails_the_run_and_an_interrupt_still_reports(speech: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    options = ["--sessions", "2", "--seconds", "90", "--ramp-s", "0.1", "--json", str(out)]
    with echo_server(places=1) as (url, _):
        with subprocess.Popen(
            command(url, speech, *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            until_s = time.monotonic() + 15
            while live_sessions(url) == 0 and time.monotonic() < until_s:
                time.sleep(0.1)
            time.sleep(5)
            process.send_signal(signal.SIGINT)
            shown, said = process.communicate(timeout=20)
        assert live_sessions(url) == 0
    assert process.returncode == 1, shown + said
    report = json.loads(out.read_text())
    assert "All places are taken; come back later." in report["errors"][0]
    assert any("Interrupted" in note for note in report["notes"])
    first, second = report["sessions"]
    assert first["fps_mean"] == pytest.approx(25, abs=1)
    assert first["skew_ms_p95"] is None
    assert any("--engine probe" in note for note in first["notes"])
    assert second["fps_mean"] is None
    assert "Traceback" not in said
    assert "Interrupted" in shown


def test_no_server_and_no_sound_are_said_plainly(
    speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert loadtest.main(["--url", "http://127.0.0.1:9", "--audio", str(speech), "--seconds", "1"]) == 1
    assert "start the server there or mend --url" in capsys.readouterr().out
    text = tmp_path / "text.wav"
    text.write_text("this is no sound")
    assert loadtest.main(["--audio", str(text)]) == 2
    assert "cannot be read as sound" in capsys.readouterr().err


def test_server_load_counts_a_busy_child() -> None:
    spin = "import time\nwhile time.process_time() < 60: pass"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {spin!r}])"
    with subprocess.Popen([sys.executable, "-c", parent], start_new_session=True) as process:
        try:
            time.sleep(0.5)
            load = loadtest.ServerLoad(process.pid)
            load.sample()
            assert load.cpu_cores is None
            time.sleep(1)
            load.sample()
            assert load.cpu_cores is not None
            assert 0.3 < load.cpu_cores < 1.2
            assert load.rss_mb > 5
        finally:
            os.killpg(process.pid, signal.SIGKILL)
