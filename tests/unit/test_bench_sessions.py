"""``visavis bench sessions``: what a speed is enough for, by arithmetic where that is plain."""

import json
from pathlib import Path

import pytest

from server.cli import main
from server.sessions_bench import StubNetwork, held, rates


@pytest.mark.parametrize(
    ("fps", "shared", "count"),
    [
        (120, 0.0, 4),  # 4 x 25 = 100 of 120; the fifth is over
        (20, 0.0, 0),
        (120, 0.5, 8),  # eight in 37.5 of 40 ms
        (120, 0.6, 9),  # eight and one in 40 ms
    ],
)
def test_sessions_held(fps: float, shared: float, count: int) -> None:
    assert held(StubNetwork(fps, shared)) == count


def test_overload_is_shared() -> None:
    each = rates(StubNetwork(120, 0.0), 8)
    assert max(each) - min(each) < 1.5
    assert sum(each) > 100


def test_nobody_starves_where_batches_share_their_cost() -> None:
    each = rates(StubNetwork(120, 0.6), 10)
    assert min(each) > 23
    assert max(each) - min(each) < 0.5


def test_a_slow_network_draws_what_the_time_to_draw_in_allows() -> None:
    # 50 ms a frame: with 55 ms only a frame begun within 5 ms of its coming is in time, every second one.
    assert rates(StubNetwork(20, 0.0), 1, budget_ms=55) == [12.5]
    assert rates(StubNetwork(20, 0.0), 1, budget_ms=95) == pytest.approx([20], abs=0.2)


def test_the_command_tells_every_number_tried(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = tmp_path / "sessions.json"
    assert main(["bench", "sessions", "--fps", "60", "--json", str(report)]) == 0
    figures = json.loads(report.read_text())
    assert figures["held"] == 2
    assert [row["sessions"] for row in figures["tried"]] == [1, 2, 3]
    assert "all of them speaking: 2 (simulated)" in capsys.readouterr().out
    assert main(["bench", "sessions", "--shared", "2"]) == 2
    assert main(["bench", "sessions", "--budget-ms", "0"]) == 2
