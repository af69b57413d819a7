"""Figures from recorded signals: frame pace, delay of sound, skew of picture against sound.

Pure functions of arrays; no sockets, no clock. Times are seconds on whatever clock the caller used, and sound
is mono float at ``RATE_HZ``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.timebase import FRAME_MS
from models.timebase import SPEECH_RATE_HZ as RATE_HZ

Floats = NDArray[np.float64]

SENT_FRAME_S = 0.02
"""Length of one sent frame of sound."""
DELAY_WINDOW_S = 1.5
MAX_DELAY_S = 5.0
MIN_CORRELATION = 0.5
"""A waveform peak below this says nothing."""
MIN_ENVELOPE_CORRELATION = 0.9
"""Envelopes of unrelated speech reach 0.8 by chance, so the fallback asks for more."""
ENVELOPE_HOP = RATE_HZ // 500
"""Samples an envelope step: 2 ms."""
SPEECH_FLOOR_DBFS = -50.0
SKEW_WINDOW_S = 3.0
MAX_SKEW_S = 0.4
MIN_SKEW_CORRELATION = 0.7
"""Of one window; the best of many regions and lags reaches 0.6 by chance."""
MIN_WHOLE_CORRELATION = 0.5
"""Of a region with the whole stretch, for the region to count as one that follows the sound."""
SKEW_STEP_S = 0.004
LEVEL_FLOOR_DBFS = -60.0
REPORTS_AROUND = 9
"""Sender reports whose median makes the clock at one instant: robust to one sent late."""


def percentile(values: Sequence[float] | Floats, share: float) -> float | None:
    """Percentile ``share`` (0..100) with linear interpolation, or ``None`` of nothing."""
    return float(np.percentile(np.asarray(values, np.float64), share)) if len(values) else None


def unwrap(value: int, reference: int, bits: int = 32) -> int:
    """Extend a wrapping counter (RTP timestamp, sequence number) to the nearest to ``reference``."""
    half = 1 << (bits - 1)
    return reference + ((value - reference + half) % (1 << bits)) - half


@dataclass(frozen=True)
class FramePace:
    """How evenly frames arrived between two instants."""

    fps_mean: float
    fps_p5: float | None
    """5th percentile of the counts of whole seconds; ``None`` in less than a second."""
    gap_ms_p50: float
    gap_ms_p99: float
    gap_ms_max: float


def frame_pace(arrivals_s: Sequence[float] | Floats, start_s: float, end_s: float) -> FramePace | None:
    """Pace of the frames that arrived in ``[start_s, end_s)``; ``None`` with fewer than two.

    A stall at either end counts as a gap when it is the longest, so that a stream that died shows.
    """
    arrivals = np.asarray(arrivals_s, np.float64)
    inside = arrivals[(arrivals >= start_s) & (arrivals < end_s)]
    if len(inside) < 2 or end_s <= start_s:
        return None
    gaps = np.diff(inside)
    edge = max(inside[0] - start_s, end_s - inside[-1])
    if edge > gaps.max():
        gaps = np.append(gaps, edge)
    counts = _second_counts(inside, start_s, end_s)
    return FramePace(
        fps_mean=len(inside) / (end_s - start_s),
        fps_p5=percentile(counts, 5),
        gap_ms_p50=1000 * float(np.percentile(gaps, 50)),
        gap_ms_p99=1000 * float(np.percentile(gaps, 99)),
        gap_ms_max=1000 * float(gaps.max()),
    )


def _second_counts(arrivals_s: Floats, start_s: float, end_s: float) -> Floats:
    """Frames in each whole second.

    A second is a multiple of 40 ms, so where seconds begin just when frames arrive, a jitter of a microsecond moves a
    frame into the next one: 24, 26. They begin half way between the frames instead.
    """
    interval_s = float(np.median(np.diff(arrivals_s)))
    phase = np.angle(np.exp(2j * np.pi * (arrivals_s - start_s) / interval_s).mean()) / (2 * np.pi) + 0.5
    first_s = start_s + float(phase) % 1.0 * interval_s
    seconds = first_s + np.arange(max(0, int(end_s - first_s)) + 1)
    return np.histogram(arrivals_s, seconds)[0].astype(np.float64)


@dataclass(frozen=True)
class Stretch:
    """Received sound without a long hole: samples placed by RTP timestamp, and when each packet arrived."""

    samples: Floats
    """(n,) mono at ``RATE_HZ``."""
    start: int
    """Position of the first sample on the stream's own time line, in samples at ``RATE_HZ``."""
    packet_positions: NDArray[np.int64]
    """(k,) position of each packet's first sample, on the same line."""
    packet_arrivals_s: Floats
    """(k,) when each packet arrived."""


@dataclass(frozen=True)
class WindowDelay:
    """Delay of one window of speech."""

    delay_s: float
    correlation: float
    by_envelope: bool


def normalised_correlation(window: Floats, reference: Floats) -> Floats:
    """Pearson correlation of ``window`` (m,) with each stretch of ``reference`` (n,), (n - m + 1,)."""
    m, n = len(window), len(reference)
    window = window - window.mean()
    reference = reference - reference.mean()
    size = 1 << (n + m - 1).bit_length()
    spectrum = np.fft.rfft(reference, size) * np.conj(np.fft.rfft(window, size))
    products = np.fft.irfft(spectrum, size)[: n - m + 1]
    sums = np.cumsum(np.concatenate(([0.0], reference)))
    squares = np.cumsum(np.concatenate(([0.0], reference**2)))
    variance = squares[m:] - squares[:-m] - (sums[m:] - sums[:-m]) ** 2 / m
    # A stretch far below the window's own level is silence: its correlation is rounding noise.
    energy = float(window @ window)
    variance = np.maximum(variance, max(1e-6 * energy, 1e-12))
    return np.asarray(products / np.sqrt(variance * max(energy, 1e-12)))


def peak(values: Floats) -> tuple[float, float]:
    """Place of the largest value, refined by the parabola through its neighbours, and the value there."""
    i = int(np.argmax(values))
    if not 0 < i < len(values) - 1:
        return float(i), float(values[i])
    before, here, after = values[i - 1 : i + 2]
    curve = before - 2 * here + after
    shift = 0.5 * (before - after) / curve if curve < 0 else 0.0
    return i + float(shift), float(here - 0.25 * (before - after) * shift)


def _clear_peak(values: Floats, guard: int, minimum: float, rival: float) -> tuple[float, float] | None:
    """The peak; none if weak, at the search's edge, or another ``guard`` steps away is nearly as high."""
    place, height = peak(values)
    if height < minimum or not 0 < place < len(values) - 1:
        return None
    others = values.copy()
    others[max(0, round(place) - guard) : round(place) + guard + 1] = -1.0
    return None if others.max() > rival * height else (place, height)


def envelope(samples: Floats) -> Floats:
    """Root mean square of each ``ENVELOPE_HOP`` samples, smoothed over five steps."""
    steps = len(samples) // ENVELOPE_HOP
    squares = (samples[: steps * ENVELOPE_HOP].reshape(steps, ENVELOPE_HOP) ** 2).mean(axis=1)
    return np.asarray(np.sqrt(np.convolve(squares, np.full(5, 0.2), "same")))


def _match(window: Floats, reference: Floats) -> tuple[float, float, bool] | None:
    """Where ``window`` lies in ``reference``: lag in samples, correlation, found by envelope."""
    found = _clear_peak(normalised_correlation(window, reference), RATE_HZ // 50, MIN_CORRELATION, 0.9)
    if found:
        return found[0], found[1], False
    coarse = normalised_correlation(envelope(window), envelope(reference))
    found = _clear_peak(coarse, 50, MIN_ENVELOPE_CORRELATION, 0.9)
    return (found[0] * ENVELOPE_HOP, found[1], True) if found else None


def is_speech(samples: Floats) -> bool:
    """Whether at least a sixth of the 20 ms pieces lie above ``SPEECH_FLOOR_DBFS``."""
    piece = RATE_HZ // 50
    pieces = samples[: len(samples) // piece * piece].reshape(-1, piece)
    floor = 10 ** (SPEECH_FLOOR_DBFS / 10)
    return bool(len(pieces)) and float(((pieces**2).mean(axis=1) > floor).mean()) > 1 / 6


def delays(loop: Floats, send_times_s: Floats, stretch: Stretch) -> list[WindowDelay]:
    """Delay, sound in to same sound out, of each window of speech that is found again with confidence.

    ``loop`` is what was sent, over and over, in frames of 20 ms; frame i left at ``send_times_s[i]``. A
    window's delay is the mean over its samples of (arrival of the packet that holds the sample) - (departure
    of the frame that held it). It leaves out the 20 ms a microphone needs to fill a frame, and holds the
    look-ahead of both Opus encoders on the way (6.5 ms each).
    """
    width = int(DELAY_WINDOW_S * RATE_HZ)
    found = []
    for begin in range(0, len(stretch.samples) - width + 1, width):
        window = stretch.samples[begin : begin + width]
        if is_speech(window):
            delay = _window_delay(loop, send_times_s, stretch, window, stretch.start + begin)
            if delay is not None:
                found.append(delay)
    return found


def _window_delay(
    loop: Floats, send_times_s: Floats, stretch: Stretch, window: Floats, position: int
) -> WindowDelay | None:
    within = (stretch.packet_positions >= position) & (stretch.packet_positions < position + len(window))
    if not within.any():
        return None
    # Arrival of the stream's position 0, had this window's mean delay been the rule.
    arrival_origin_s = float(np.mean(stretch.packet_arrivals_s[within] - stretch.packet_positions[within] / RATE_HZ))
    arrival_s = arrival_origin_s + position / RATE_HZ
    frame = round(SENT_FRAME_S * RATE_HZ)
    # A loop longer than the search has each sound once in it.
    reach_s = min(MAX_DELAY_S, len(loop) / RATE_HZ - SENT_FRAME_S)
    first, last = np.searchsorted(send_times_s, (arrival_s - reach_s, arrival_s + SENT_FRAME_S))
    reference = loop[np.arange(first * frame, last * frame + len(window)) % len(loop)]
    match = _match(window, reference)
    if match is None:
        return None
    sent_position = first * frame + match[0]
    held = np.arange(int(sent_position // frame), int((sent_position + len(window)) // frame))
    held = held[held < len(send_times_s)]
    if not len(held):
        return None
    send_origin_s = float(np.mean(send_times_s[held] - held * SENT_FRAME_S))
    delay_s = arrival_s - (send_origin_s + sent_position / RATE_HZ)
    return WindowDelay(delay_s, match[1], match[2]) if delay_s >= 0 else None


class SenderClock:
    """A stream's RTP clock on its sender's wall clock, from RTCP sender reports (RFC 3550, 6.4.1)."""

    def __init__(self, reports: Sequence[tuple[float, int]], rate_hz: int) -> None:
        """``reports`` are (NTP seconds, unwrapped RTP timestamp); raises ``ValueError`` on none."""
        if not reports:
            raise ValueError("no RTCP sender report was received")
        self._rtp = np.array([rtp for _, rtp in reports], np.float64)
        self._origins_s = np.array([ntp_s - rtp / rate_hz for ntp_s, rtp in reports])
        self._rate_hz = rate_hz

    def seconds_at(self, rtp: float) -> float:
        """Wall clock of ``rtp``: the median of the reports around it, so that the clock may drift."""
        near = np.argsort(np.abs(self._rtp - rtp), kind="stable")[:REPORTS_AROUND]
        return float(np.median(self._origins_s[near])) + rtp / self._rate_hz


def levels_dbfs(samples: Floats, hop: int) -> Floats:
    """Level of the video frame's length of sound that begins at each ``hop``-th sample, in dBFS."""
    box = FRAME_MS * RATE_HZ // 1000
    sums = np.cumsum(np.concatenate(([0.0], samples**2)))
    means = (sums[box:] - sums[:-box])[::hop] / box
    return np.asarray(np.maximum(10 * np.log10(np.maximum(means, 1e-12)), LEVEL_FLOOR_DBFS))


def skews(times_s: Floats, brightness: Floats, samples: Floats, start_s: float) -> list[float]:
    """How far the picture lags its sound, in seconds, of each window with a clear answer.

    ``brightness`` (n, regions) is the luma of frame n in each region of the picture, which in one of them
    rises with the level of the frame's own 40 ms of sound; ``times_s`` (n,) is when the frame is due, and
    ``samples`` the received sound, of which the first is due at ``start_s``, all on the sender's wall clock.
    The region is the one that follows the sound best. Positive: the picture is late.
    """
    hop = RATE_HZ // 500
    if len(samples) < 2 * MAX_SKEW_S * RATE_HZ:
        return []
    levels = levels_dbfs(samples, hop)
    grid_s = start_s + np.arange(len(levels)) * hop / RATE_HZ
    inside = (times_s - MAX_SKEW_S >= grid_s[0]) & (times_s + MAX_SKEW_S <= grid_s[-1])
    times_s, brightness = times_s[inside], brightness[inside]
    if len(times_s) < 2 or levels.std() < 1:
        return []
    lags_s = np.arange(-MAX_SKEW_S, MAX_SKEW_S + SKEW_STEP_S / 2, SKEW_STEP_S)
    heard = np.interp(times_s[:, None] + lags_s, grid_s, levels)
    whole = _columns_correlation(brightness, heard).max(axis=1)
    region = int(np.argmax(whole))
    if whole[region] < MIN_WHOLE_CORRELATION:
        return []
    found = []
    begins_s = np.arange(times_s[0], times_s[-1] - SKEW_WINDOW_S + 0.001, SKEW_WINDOW_S)
    for begin_s in begins_s:
        window = (times_s >= begin_s) & (times_s < begin_s + SKEW_WINDOW_S)
        if window.sum() < 20 or np.ptp(brightness[window, region]) < 5:
            continue
        scores = _columns_correlation(brightness[window, region : region + 1], heard[window])[0]
        place, height = peak(scores)
        if height >= MIN_SKEW_CORRELATION and 0 < place < len(scores) - 1:
            # The picture shows now what is heard `lag` from now: it is early by the lag.
            found.append(-(lags_s[0] + place * SKEW_STEP_S))
    return found


def _columns_correlation(a: Floats, b: Floats) -> Floats:
    """Pearson correlation of each column of ``a`` (n, p) with each of ``b`` (n, q): (p, q)."""
    a = a - a.mean(axis=0)
    b = b - b.mean(axis=0)
    a = a / np.maximum(np.linalg.norm(a, axis=0), 1e-9)
    b = b / np.maximum(np.linalg.norm(b, axis=0), 1e-9)
    return np.asarray(a.T @ b)
