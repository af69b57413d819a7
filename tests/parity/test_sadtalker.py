"""SadTalker's networks and geometry against the goldens kept with the tests, and against those that hold others' media.

The renderer at full width takes minutes: ``python -m tests.parity tests/golden/sadtalker`` compares it, too.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from models.sadtalker.renderer import Renderer
from tests.parity.__main__ import kit_of, run

pytestmark = pytest.mark.usefixtures("one_thread")

GOLDENS = Path(__file__).parents[1] / "golden" / "sadtalker"
SHARED = Path(__file__).parents[3] / "shared" / "parity" / "sadtalker"
SLOW = {"golden_generator.npz"}


def copy_of(folder: Path, names: list[str], source: Path = GOLDENS) -> Path:
    for name in ("manifest.json", "seed.json", *names):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def test_networks_and_geometry_agree_with_the_published_ones(tmp_path: Path) -> None:
    quick = sorted({path.name for path in GOLDENS.glob("*.npz")} - SLOW)
    report = run(copy_of(tmp_path, quick), "sadtalker")
    assert report.failures == 0, "\n".join(line for line in report.lines if line.startswith("FAIL"))
    assert report.checks > 110


def test_the_renderer_is_laid_out_as_published() -> None:
    with torch.device("meta"):
        ours = {key: list(tensor.shape) for key, tensor in Renderer().state_dict().items()}
    entries = json.loads((GOLDENS / "manifest.json").read_text())["modules"]["generator"]["entries"]
    assert ours == {entry[0]: entry[1] for entry in entries}


def test_sound_becomes_the_published_coefficients(tmp_path: Path) -> None:
    if not (SHARED / "golden_audio2coeff.npz").is_file():
        pytest.skip(f"The chain's golden comes of others' sound and is not kept here; put it at {SHARED}.")
    report = run(copy_of(tmp_path, ["golden_audio2coeff.npz"], SHARED), "sadtalker")
    assert report.failures == 0, "\n".join(report.lines)
    assert report.checks > 30


def test_a_changed_number_or_a_missing_array_is_noticed(tmp_path: Path) -> None:
    copy_of(tmp_path, [])
    arrays = dict(np.load(GOLDENS / "golden_headpose.npz"))
    del arrays["rot"]
    arrays["kp_out"][0, 0] += 1e-4
    arrays["new"] = np.zeros(3)
    np.savez(tmp_path / "golden_headpose.npz", **arrays)
    failed = {line.split()[1] for line in run(tmp_path, "sadtalker").lines if line.startswith("FAIL")}
    assert failed == {f"golden_headpose/{name}" for name in ("rot", "rot__stats", "rot__shape", "kp_out", "new")}


def test_another_seed_gives_other_numbers(tmp_path: Path) -> None:
    copy_of(tmp_path, ["golden_mapping.npz"])
    (tmp_path / "seed.json").write_text(json.dumps({"seed": 7}))
    assert run(tmp_path, "sadtalker").failures > 10


def test_the_kit_is_known_by_its_folder() -> None:
    assert kit_of(GOLDENS) == "sadtalker"
