"""From a session's recorded packets to its figures: decode, place by RTP timestamp, measure."""

from array import array
from dataclasses import asdict, dataclass, field
from typing import Any

import av
import numpy as np
import soxr
from av.codec.context import CodecContext
from numpy.typing import NDArray

from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ
from server.client import Recording, Speech
from server.closing import closings
from server.measure import Floats, SenderClock, Stretch, WindowDelay, delays, frame_pace, percentile, skews

VIDEO_RATE_HZ = 90_000
MAX_HOLE_S = 0.2
"""A longer hole in the sound ends a stretch; a shorter one is silence."""
GRID = 12
"""Brightness is taken in GRID x GRID regions: the mouth is in one of them, wherever the face is."""
DECODERS = {"VP8": "libvpx", "H264": "h264"}


@dataclass
class Figures:
    """One session's figures; ``None`` where a note or error says why it could not be measured."""

    fps_mean: float | None = None
    fps_p5: float | None = None
    gap_ms_p50: float | None = None
    gap_ms_p99: float | None = None
    gap_ms_max: float | None = None
    gap_ms_max_ramp: float | None = None
    """Longest gap before the steady part, while other sessions joined."""
    delay_ms_p50: float | None = None
    delay_ms_p95: float | None = None
    delay_windows: int = 0
    skew_ms_p50: float | None = None
    """Signed: positive when the picture is later than its sound."""
    skew_ms_p95: float | None = None
    """Of the skew's size."""
    skew_windows: int = 0
    closing_ms_max: float | None = None
    """From the end of speech to the mouth at rest."""
    first_frame_s: float | None = None
    packets_lost: int = 0
    errors: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON, floats to three decimals."""
        return {k: round(v, 3) if isinstance(v, float) else v for k, v in asdict(self).items()}


def figures(
    recording: Recording, speech: Speech, send_times_s: "array[float]", steady: tuple[float, float] | None
) -> Figures:
    """Measure one session; ``steady`` is the part in which every session was there. Decodes: slow."""
    result = Figures(first_frame_s=recording.first_frame_s)
    result.packets_lost = recording.audio.lost + recording.video.lost
    if recording.first_frame_s is None or recording.offered_s is None:
        return result
    if steady is None:
        result.notes.append("There was no steady part: the run ended before every session had a frame.")
        return result
    _measure_pace(result, recording, steady)
    stretches = decode_sound(recording)
    sent = np.asarray(send_times_s, np.float64)
    _measure_delay(result, [delay for one in stretches for delay in delays(speech.loop, sent, one)], stretches)
    if recording.keep_pictures:
        _measure_skew(result, recording, stretches)
    else:
        result.notes.append("Skew is not measured: run with --engine probe, whose pictures show the sound's level.")
    return result


def _measure_pace(result: Figures, recording: Recording, steady: tuple[float, float]) -> None:
    arrivals = np.asarray(recording.frame_arrivals_s, np.float64)
    pace = frame_pace(arrivals, *steady)
    if pace is None:
        result.errors.append("Fewer than two video frames came in the steady part; look at the server's log.")
        result.fps_mean = float(((arrivals >= steady[0]) & (arrivals < steady[1])).sum()) / (steady[1] - steady[0])
        return
    for name, value in asdict(pace).items():
        setattr(result, name, value)
    ramp = np.diff(arrivals[arrivals < steady[0]])
    result.gap_ms_max_ramp = 1000 * float(ramp.max()) if len(ramp) else None


def _measure_delay(result: Figures, found: list[WindowDelay], stretches: list[Stretch]) -> None:
    result.delay_windows = len(found)
    result.delay_ms_p50 = percentile([1000 * one.delay_s for one in found], 50)
    result.delay_ms_p95 = percentile([1000 * one.delay_s for one in found], 95)
    by_envelope = sum(one.by_envelope for one in found)
    if by_envelope:
        result.notes.append(f"{by_envelope} of {len(found)} delay windows were found by their envelope.")
    if not stretches:
        result.notes.append("No sound came back, so its delay is not measured.")
    elif not found:
        result.notes.append(
            "Delay is not measured: no window of the sound that came back matches what was sent (correlation "
            "0.5 or more); send speech, for longer, or look at whether the server passes the sound on."
        )


def _measure_skew(result: Figures, recording: Recording, stretches: list[Stretch]) -> None:
    try:
        audio_clock = SenderClock(recording.audio.reports, WIRE_RATE_HZ)
        video_clock = SenderClock(recording.video.reports, VIDEO_RATE_HZ)
    except ValueError as error:
        result.notes.append(f"Skew is not measured: {error}.")
        return
    timestamps, brightness = decode_brightness(recording)
    times_s = np.array([video_clock.seconds_at(timestamp) for timestamp in timestamps])
    ratio = WIRE_RATE_HZ // SPEECH_RATE_HZ
    found = [
        1000 * skew
        for one in stretches
        for skew in skews(times_s, brightness, one.samples, audio_clock.seconds_at(one.start * ratio))
    ]
    closed = [
        1000 * closing
        for one in stretches
        for closing in closings(times_s, brightness, one.samples, audio_clock.seconds_at(one.start * ratio))
    ]
    result.closing_ms_max = max(closed, default=None)
    result.skew_windows = len(found)
    result.skew_ms_p50 = percentile(found, 50)
    result.skew_ms_p95 = percentile(np.abs(found), 95)
    if not found:
        result.notes.append(
            "Skew is not measured: no region of the picture follows the sound's level; "
            "send speech with pauses for some seconds, with the server's probe engine."
        )


def decode_sound(recording: Recording) -> list[Stretch]:
    """The kept Opus packets as stretches of samples, placed by RTP timestamp."""
    runs: list[list[tuple[int, float, bytes]]] = []
    for packet in sorted(recording.sound, key=lambda one: one[0]):
        if not runs or packet[0] - runs[-1][-1][0] > MAX_HOLE_S * WIRE_RATE_HZ:
            runs.append([])
        runs[-1].append(packet)
    return [_stretch(run) for run in runs]


def _stretch(run: list[tuple[int, float, bytes]]) -> Stretch:
    decoder = CodecContext.create("libopus", "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.format, decoder.layout, decoder.sample_rate = "s16", "stereo", WIRE_RATE_HZ
    ratio = WIRE_RATE_HZ // SPEECH_RATE_HZ
    origin = run[0][0] // ratio * ratio
    samples = np.zeros(run[-1][0] - origin + WIRE_RATE_HZ // 5)
    end = 0
    for timestamp, _, payload in run:
        try:
            decoded = decoder.decode(av.Packet(payload))
        except av.FFmpegError:
            continue
        for frame in decoded:
            mono = frame.to_ndarray().reshape(-1, 2).mean(axis=1) / 32768
            begin = timestamp - origin
            samples[begin : begin + len(mono)] = mono
            end = begin + len(mono)
    return Stretch(
        samples=np.asarray(soxr.resample(samples[:end], WIRE_RATE_HZ, SPEECH_RATE_HZ), np.float64),
        start=origin // ratio,
        packet_positions=np.array([timestamp // ratio for timestamp, _, _ in run], np.int64),
        packet_arrivals_s=np.array([arrival_s for _, arrival_s, _ in run]),
    )


def decode_brightness(recording: Recording) -> tuple[NDArray[np.int64], Floats]:
    """RTP timestamps (n,) of the kept pictures and the mean luma (n, GRID * GRID) of their regions."""
    timestamps: list[int] = []
    rows: list[Floats] = []
    decoder: Any = None
    for timestamp, codec, data in recording.pictures:
        if decoder is None and codec in DECODERS:
            decoder = CodecContext.create(DECODERS[codec], "r")
            decoder.thread_count = 1
        if decoder is None:
            break
        try:
            packet = av.Packet(data)
            packet.pts = timestamp
            decoded = decoder.decode(packet)
        except av.FFmpegError:
            continue
        for frame in decoded:
            timestamps.append(frame.pts)
            rows.append(_region_luma(frame))
    return np.array(timestamps, np.int64), np.array(rows).reshape(len(rows), GRID * GRID)


def _region_luma(frame: av.VideoFrame) -> Floats:
    plane = frame.planes[0]
    luma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    high, wide = frame.height // GRID, frame.width // GRID
    cut = luma[: high * GRID, : wide * GRID].reshape(GRID, high, GRID, wide)
    return np.asarray(cut.mean(axis=(1, 3), dtype=np.float64)).ravel()
