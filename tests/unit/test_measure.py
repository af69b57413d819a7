"""Figures found in signals whose delay, skew and pace are known."""

from fractions import Fraction

import av
import numpy as np
import pytest
import soxr
from aiortc.codecs import depayload, get_encoder
from aiortc.codecs.opus import OpusEncoder
from aiortc.rtcrtpparameters import RTCRtpCodecParameters
from hypothesis import given
from hypothesis import strategies as st

from server.client import BLOCK_S, KEPT_SOUND_S, Recording, Stream
from server.measure import RATE_HZ, SenderClock, Stretch, delays, frame_pace, percentile, skews, unwrap
from server.recording import GRID, decode_brightness, decode_sound
from tests.fakes.voice import voice

PACKET = RATE_HZ // 50


def sends(seconds: float) -> np.ndarray:
    return 100.0 + np.arange(int(seconds * 50)) * 0.02


def echoed(loop: np.ndarray, delay_s: float, seconds: float, start: int = 12_345) -> Stretch:
    """What comes back `delay_s` after sends(...), on a stream whose own clock began elsewhere."""
    whole = np.tile(loop, int(seconds * RATE_HZ / len(loop)) + 2)
    shift = int(delay_s * RATE_HZ) % PACKET
    samples = np.concatenate((np.zeros(shift), whole))[: int(seconds * RATE_HZ)]
    positions = start + np.arange(0, len(samples), PACKET)
    arrivals_s = 100.0 + delay_s - shift / RATE_HZ + (positions - start) / RATE_HZ
    return Stretch(samples, start, positions, arrivals_s)


@pytest.mark.parametrize("delay_s", [0.0125, 0.2371, 1.9, 4.7])
@pytest.mark.parametrize("noise", [0.0, 0.02])
def test_delay_is_found(delay_s: float, noise: float) -> None:
    loop = voice(8, RATE_HZ)
    stretch = echoed(loop, delay_s, 20)
    stretch.samples[:] += noise * np.random.default_rng(1).standard_normal(len(stretch.samples))
    found = delays(loop, sends(26), stretch)
    assert len(found) >= 8
    assert [one.delay_s for one in found] == pytest.approx([delay_s] * len(found), abs=0.002)


def test_delay_is_that_of_the_packets() -> None:
    """Packets that leave in pairs bring every second one 20 ms sooner than its place: 10 ms in the mean."""
    loop = voice(8, RATE_HZ)
    stretch = echoed(loop, 0.3, 16)
    stretch.packet_arrivals_s[1::2] = stretch.packet_arrivals_s[::2][: len(stretch.packet_arrivals_s[1::2])]
    found = [one.delay_s for one in delays(loop, sends(20), stretch)]
    assert found == pytest.approx([0.29] * len(found), abs=0.002)
    assert found


def test_delay_that_grows_shows_window_by_window() -> None:
    loop = voice(8, RATE_HZ)
    stretch = echoed(loop, 0.2, 16)
    stretch.packet_arrivals_s[400:] += 0.5
    found = [one.delay_s for one in delays(loop, sends(24), stretch)]
    assert min(found) == pytest.approx(0.2, abs=0.002)
    assert max(found) == pytest.approx(0.7, abs=0.002)


def test_silence_strangers_and_tones_have_no_delay() -> None:
    loop = voice(8, RATE_HZ)
    silent = echoed(loop * 1e-4, 0.3, 10)
    stranger = echoed(voice(8, RATE_HZ, seed=99), 0.3, 10)
    tone = 0.3 * np.sin(2 * np.pi * 200 * np.arange(8 * RATE_HZ) / RATE_HZ)
    assert delays(loop, sends(16), silent) == []
    assert delays(loop, sends(16), stranger) == []
    assert delays(tone, sends(16), echoed(tone, 0.3, 10)) == []


def test_delay_by_envelope_when_the_waveform_is_another() -> None:
    """A voice that was made anew says the same at the same time in another waveform."""
    loop = voice(8, RATE_HZ)
    stretch = echoed(loop, 0.31, 16)
    carrier = np.sign(np.random.default_rng(3).standard_normal(len(stretch.samples)))
    stretch.samples[:] = np.abs(stretch.samples) * carrier
    found = delays(loop, sends(20), stretch)
    assert len(found) >= 4
    assert all(one.by_envelope for one in found)
    assert [one.delay_s for one in found] == pytest.approx([0.31] * len(found), abs=0.004)


def test_delay_through_opus_holds_the_encoders_lookahead() -> None:
    pcm = voice(8, 48_000)
    loop = np.asarray(soxr.resample(pcm, 48_000, RATE_HZ))
    encoder, recording = OpusEncoder(), Recording()
    for n, piece in enumerate((np.tile(pcm, 2) * 32767).astype(np.int16).reshape(-1, 960)):
        frame = av.AudioFrame.from_ndarray(piece[None], format="s16", layout="mono")
        frame.sample_rate, frame.time_base, frame.pts = 48_000, Fraction(1, 48_000), 960 * n
        (payload,), _ = encoder.encode(frame)
        recording.sound.append((7_000_003 + 960 * n, 100.25 + 0.02 * n, payload))
    del recording.sound[200:203]
    (stretch,) = decode_sound(recording)
    found = [one.delay_s for one in delays(loop, sends(20), stretch)]
    assert len(found) >= 8
    assert found == pytest.approx([0.2565] * len(found), abs=0.002)


def shown(samples: np.ndarray, skew_s: float, noise: float) -> tuple[np.ndarray, np.ndarray]:
    """Due times and brightness of frames that show the level of their own 40 ms, in region 5 of 9."""
    rng = np.random.default_rng(5)
    n = len(samples) // 640
    power = (samples[: n * 640].reshape(n, 640) ** 2).mean(axis=1)
    level_db = np.clip(10 * np.log10(power + 1e-12), -60, 0)
    regions = 128 + 10 * np.sin(np.arange(n)[:, None] / (3 + np.arange(9)))
    # Bent, as a display's curve is: the measurement may count on a rising map alone.
    regions[:, 5] = 20 + 200 * ((level_db + 60) / 60) ** 1.5
    return 1000.0 + np.arange(n) * 0.04 + skew_s, regions + noise * rng.standard_normal(regions.shape)


@pytest.mark.parametrize("skew_s", [-0.2, -0.0333, 0.0, 0.011, 0.187])
@pytest.mark.parametrize("noise", [0.0, 8.0])
def test_skew_is_found(skew_s: float, noise: float) -> None:
    samples = voice(16, RATE_HZ)
    times_s, brightness = shown(samples, skew_s, noise)
    found = skews(times_s, brightness, samples, 1000.0)
    assert len(found) >= 4
    assert found == pytest.approx([skew_s] * len(found), abs=0.005)


def test_pictures_that_do_not_follow_the_sound_have_no_skew() -> None:
    samples = voice(16, RATE_HZ)
    times_s, brightness = shown(samples, 0.0, 1.0)
    assert skews(times_s, np.delete(brightness, 5, axis=1), samples, 1000.0) == []
    assert skews(times_s, brightness, samples * 0, 1000.0) == []
    assert skews(times_s[:3], brightness[:3], samples, 1000.0) == []


@pytest.mark.parametrize("codec", ["VP8", "H264"])
def test_brightness_is_read_from_each_region_of_coded_pictures(codec: str) -> None:
    encoder = get_encoder(video_codec(codec))
    recording, lumas = Recording(keep_pictures=True), [40, 200, 90, 150, 60, 220]
    for n, luma in enumerate(lumas):
        picture = np.full((180, 120), 128, np.uint8)
        picture[60:70, 30:40] = luma
        frame = av.VideoFrame.from_ndarray(picture, format="yuv420p")
        frame.pts, frame.time_base = 3600 * n, Fraction(1, 90_000)
        data = b"".join(depayload(video_codec(codec), payload) for payload in encoder.encode(frame)[0])
        recording.pictures.append((10**10 + 3600 * n, codec, data))
    timestamps, brightness = decode_brightness(recording)
    assert timestamps.tolist() == [10**10 + 3600 * n for n in range(len(lumas))]
    assert brightness[:, 6 * GRID + 3] == pytest.approx(np.array(lumas), abs=8)
    assert brightness[:, 2 * GRID + 3] == pytest.approx(np.full(len(lumas), 128), abs=4)


def video_codec(codec: str) -> RTCRtpCodecParameters:
    return RTCRtpCodecParameters(f"video/{codec}", 90_000, payloadType=97)


def test_sender_clock_survives_a_late_report_and_follows_drift() -> None:
    drift = 1 + 100e-6
    reports = [(5000 + t * drift, 9_000_000 + 90_000 * t) for t in range(100)]
    reports[50] = (reports[50][0] + 0.3, reports[50][1])
    clock = SenderClock(reports, 90_000)
    for t in (0, 50, 99):
        assert clock.seconds_at(9_000_000 + 90_000 * t) == pytest.approx(5000 + t * drift, abs=0.001)
    with pytest.raises(ValueError, match="no RTCP sender report"):
        SenderClock([], 90_000)


def test_pace_of_even_frames_and_of_a_stall() -> None:
    even = 10 + np.arange(250) * 0.04 + 0.001
    pace = frame_pace(even, 10, 20)
    assert pace is not None
    assert (pace.fps_mean, pace.fps_p5) == (25, 25)
    assert (pace.gap_ms_p50, pace.gap_ms_max) == pytest.approx((40, 40))
    stalled = frame_pace(even[(even < 14) | (even > 15.5)], 10, 20)
    assert stalled is not None
    assert stalled.fps_mean == pytest.approx(21.25, abs=0.1)
    assert stalled.fps_p5 is not None
    assert stalled.fps_p5 < 8
    assert stalled.gap_ms_max == pytest.approx(1540, abs=41)


def test_jitter_about_the_edge_of_a_second_loses_no_frame() -> None:
    jitter = np.random.default_rng(1).uniform(-0.008, 0.008, 500)
    pace = frame_pace(10 + np.arange(500) * 0.04 + jitter, 10, 30)
    assert pace is not None
    assert pace.fps_p5 == 25


def test_a_stream_that_died_shows_in_its_longest_gap() -> None:
    pace = frame_pace(10 + np.arange(50) * 0.04, 10, 20)
    assert pace is not None
    assert pace.gap_ms_max == pytest.approx(8040, abs=1)
    assert frame_pace([10.5], 10, 20) is None
    assert frame_pace([], 10, 20) is None


def test_percentile() -> None:
    assert percentile([], 50) is None
    assert percentile([3.0, 1.0, 2.0], 50) == 2.0


@given(start=st.integers(0, 2**32 - 1), steps=st.lists(st.integers(-(2**20), 2**30), max_size=20))
def test_unwrap_follows_a_counter(start: int, steps: list[int]) -> None:
    value = start
    for step in steps:
        assert unwrap((value + step) % 2**32, value) == value + step
        value += step


def test_stream_counts_losses_across_the_wrap() -> None:
    from aiortc.rtp import RtpPacket

    stream = Stream()
    sequences = [65_533, 65_535, 65_534, 0, 3]
    timestamps = []
    for n in sequences:
        packet = RtpPacket(sequence_number=n, timestamp=(2**32 - 1000 + (n + 3) % 2**16 * 960) % 2**32)
        timestamps.append(stream.add(packet)[1])
    assert stream.lost == 2
    assert np.diff(timestamps).tolist() == [1920, -960, 1920, 2880]


def test_a_long_run_keeps_blocks_spread_over_it() -> None:
    recording = Recording()
    recording.keep(50.0, 1200.0)
    kept = [t for t in np.arange(0, 1300, 0.5) if recording.keeps(50.0 + t)]
    assert len(kept) * 0.5 == pytest.approx(KEPT_SOUND_S, abs=BLOCK_S)
    assert min(kept) == 0
    assert 1100 < max(kept) < 1200
    recording.keep(50.0, 60.0)
    assert sum(recording.keeps(50.0 + t) for t in range(100)) == 60
