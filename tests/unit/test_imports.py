"""Who may import whom: ``server`` imports ``models``, never back; engines do not know each other."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENGINES = ("wav2lip", "liveportrait", "sadtalker", "probe")
PEERS = ("media", "session.py", "signaling.py", "client.py", "loadtest.py", "rtp_tap.py")
"""What of the server may know aiortc."""


def imported(path: Path) -> set[str]:
    """Modules a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def roots(modules: set[str]) -> set[str]:
    return {module.split(".")[0] for module in modules}


FILES = sorted([*(ROOT / "models").rglob("*.py"), *(ROOT / "server").rglob("*.py")])


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_layers(path: Path) -> None:
    modules = imported(path)
    rooms = path.relative_to(ROOT).parts
    if rooms[0] == "models":
        assert not roots(modules) & {"server", "asyncio", "aiortc", "aiohttp"}
    if rooms[:2] in {("models", engine) for engine in ENGINES}:
        others = tuple(f"models.{engine}" for engine in ENGINES if engine != rooms[1])
        assert not [module for module in modules if module.startswith(others)]
    if rooms[0] == "server" and rooms[1] not in ("executor.py", "render.py"):
        assert "torch" not in roots(modules), "only the executor crosses to the device"
    if rooms[0] == "server" and rooms[1] not in PEERS:
        assert "aiortc" not in roots(modules)
