import socket
import subprocess
import sys
from pathlib import Path


def refused(folder: Path, *options: str) -> str:
    """What a server that cannot start says."""
    command = [sys.executable, "-m", "server.cli", "serve", "--engine", "probe", "--set", f"jobs.folder={folder}"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert done.stdout == ""  # no address that nobody listens at
    return done.stderr


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = refused(tmp_path, "--host", "127.0.0.1", "--port", str(port))
    assert f"cannot listen at 127.0.0.1, port {port}" in said
    assert "--port" in said
    assert "Traceback" not in said


def test_an_address_that_is_not_ours_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "--host", "192.0.2.1", "--port", "0")
    assert "cannot listen at 192.0.2.1" in said
    assert "Traceback" not in said


def test_a_certificate_that_is_not_there_is_named(tmp_path: Path) -> None:
    said = refused(tmp_path, "--set", f"http.tls_certificate={tmp_path / 'none.pem'}", "--port", "0")
    assert "none.pem" in said
    assert "http.tls_certificate" in said
    assert "Traceback" not in said
