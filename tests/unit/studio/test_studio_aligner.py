"""Phones found again in sound whose rough times are off."""

from collections.abc import Sequence

import numpy as np
import pytest

from models.studio.aligner import ASPIRATION, HOP_S, Aligner, Said, cepstra
from models.studio.visemes import Phone

RATE_HZ = 16_000
TONES_HZ = {"a": 700.0, "o": 400.0, "i": 2300.0, "s": 5500.0, "": 0.0, ASPIRATION: 3500.0}


def said(symbols: str | Sequence[str], rng: np.random.Generator, off_s: float) -> tuple[Said, list[Phone]]:
    """A tone each, 80 to 200 ms long; rough times up to ``off_s`` away, and the true ones."""
    edges_s = np.concatenate(([0.0], np.cumsum(rng.uniform(0.08, 0.2, len(symbols)))))
    times_s = np.arange(int(edges_s[-1] * RATE_HZ)) / RATE_HZ
    tone_hz = np.array([TONES_HZ[s] for s in symbols])[np.searchsorted(edges_s, times_s, "right") - 1]
    samples = np.where(tone_hz > 0, 0.3 * np.sin(2 * np.pi * np.cumsum(tone_hz) / RATE_HZ), 0.0)
    samples += rng.normal(0, 1e-3, len(samples))
    rough_s = edges_s + rng.uniform(-off_s, off_s, len(edges_s)) * (np.arange(len(edges_s)) % len(symbols) > 0)
    spans = [edges_s[:-1], edges_s[1:]], [rough_s[:-1], rough_s[1:]]
    true, rough = ([Phone(s, *map(float, span)) for s, *span in zip(symbols, *pair, strict=True)] for pair in spans)
    return Said(samples.astype(np.float32), RATE_HZ, rough), true


@pytest.fixture(scope="module")
def aligner() -> Aligner:
    rng = np.random.default_rng(3)
    lines = [["", *rng.permutation(list("aois")), "", *rng.permutation(list("aois")), ""] for _ in range(30)]
    return Aligner.learnt([said(line, rng, 0.03)[0] for line in lines])


def test_finds_the_edges_that_rough_times_miss(aligner: Aligner) -> None:
    rng = np.random.default_rng(4)
    for symbols in (["", *"aosi", ""], ["", *"siao", ""], ["", *"oi", "", *"sa", ""]):
        heard, true = said(symbols, rng, 0.05)
        found = aligner.align(heard)
        assert [p.symbol for p in found] == symbols
        assert [p.start_s for p in found] == pytest.approx([p.start_s for p in true], abs=2 * HOP_S + 0.001)
        assert all(a.end_s == b.start_s for a, b in zip(found, found[1:], strict=False))
        assert found[-1].end_s == pytest.approx(true[-1].end_s, abs=1e-4)


@pytest.mark.parametrize("absent", ["", ASPIRATION])
def test_what_is_optional_and_not_heard_is_left_out(aligner: Aligner, absent: str) -> None:
    heard, true = said(["", *"aosi", ""], np.random.default_rng(5), 0.0)
    planned = [*true[:3], Phone(absent, true[3].start_s, true[3].start_s), *true[3:]]
    found = aligner.align(heard._replace(phones=planned))
    assert [p.symbol for p in found] == ["", *"aosi", ""]


def test_a_phone_never_heard_before_takes_what_the_others_leave(aligner: Aligner) -> None:
    heard, true = said(["", *"aosi", ""], np.random.default_rng(6), 0.0)
    unknown = [Phone("ʙ", p.start_s, p.end_s) if p.symbol == "s" else p for p in true]
    found = aligner.align(heard._replace(phones=unknown))
    assert [p.symbol for p in found] == ["", *"ao", "ʙ", "i", ""]
    assert [p.start_s for p in found] == pytest.approx([p.start_s for p in true], abs=0.03)


@pytest.mark.parametrize("samples", [0, 10, 160, 16_001])
def test_cepstra_have_a_row_every_hop(samples: int) -> None:
    rows = cepstra(np.zeros(samples, np.float32), RATE_HZ)
    assert rows.shape == (samples // round(HOP_S * RATE_HZ) + 1, 26)
    assert np.isfinite(rows).all()
