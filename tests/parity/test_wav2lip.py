"""The Wav2Lip networks against the goldens kept with the tests, and against those that hold others' media."""

import json
from pathlib import Path

import numpy as np
import pytest

from tests.parity.__main__ import kit_of, run

GOLDENS = Path(__file__).parents[1] / "golden" / "wav2lip"
SHARED = Path(__file__).parents[3] / "shared" / "parity" / "wav2lip"


def test_networks_losses_and_pixels_agree_with_the_published_ones() -> None:
    report = run(GOLDENS)
    assert report.failures == 0, "\n".join(line for line in report.lines if line.startswith("FAIL"))
    assert report.checks > 100


def test_mel_agrees_with_the_published_one(tmp_path: Path) -> None:
    if not (SHARED / "golden_mel.npz").is_file():
        pytest.skip(f"The mel golden embeds others' sound and is not kept here; put it at {SHARED}.")
    for name in ("golden_mel.npz", "seed.json", "manifest.json"):
        (tmp_path / name).write_bytes((SHARED / name).read_bytes())
    report = run(tmp_path, "wav2lip")
    assert report.failures == 0, "\n".join(report.lines)
    assert report.checks > 30


def test_a_changed_number_or_a_missing_array_is_noticed(tmp_path: Path) -> None:
    for name in ("seed.json", "manifest.json"):
        (tmp_path / name).write_bytes((GOLDENS / name).read_bytes())
    assert kit_of(tmp_path) == "wav2lip"
    arrays = dict(np.load(GOLDENS / "golden_syncnet.npz"))
    del arrays["cosine"]
    arrays["audio_emb"][0, 0] += 1e-4
    arrays["new"] = np.zeros(3)
    np.savez(tmp_path / "golden_syncnet.npz", **arrays)
    failed = {line.split()[1] for line in run(tmp_path).lines if line.startswith("FAIL")}
    assert failed == {f"golden_syncnet/{name}" for name in ("cosine", "audio_emb", "new")} | {
        "golden_syncnet/cosine__stats",
        "golden_syncnet/cosine__shape",
    }


def test_another_seed_gives_other_numbers(tmp_path: Path) -> None:
    for name in ("golden_disc.npz", "manifest.json"):
        (tmp_path / name).write_bytes((GOLDENS / name).read_bytes())
    (tmp_path / "seed.json").write_text(json.dumps({"seed": 7}))
    assert run(tmp_path).failures > 5
