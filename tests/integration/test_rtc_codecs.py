"""Our encoders and the decoders around them, without a peer."""

import time
from collections.abc import Callable
from fractions import Fraction

import av
import numpy as np
import pytest
from aiortc.codecs.h264 import H264Decoder, h264_depayload
from aiortc.codecs.vpx import Vp8Decoder, vp8_depayload
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import compute_audio_level_dbov

from server.media import rtc
from server.media.ingress import Decoder
from server.media.rtc.encoders import Bitrate, H264HeadEncoder, OpusSpeechEncoder, Vp8HeadEncoder
from server.media.rtc.sender import level_dbov

SIDE_PX = 64


def picture(index: int) -> av.VideoFrame:
    grey = np.full((SIDE_PX * 3 // 2, SIDE_PX), 60 + index % 100, dtype=np.uint8)
    frame = av.VideoFrame.from_ndarray(grey, format="yuv420p")
    frame.pts, frame.time_base = index, Fraction(1, 25)
    return frame


@pytest.mark.parametrize("make", [Vp8HeadEncoder, H264HeadEncoder])
def test_timestamps_of_25_frames_a_second_are_even(make: Callable[[], Vp8HeadEncoder | H264HeadEncoder]) -> None:
    encoder = make()
    assert [encoder.encode(picture(i))[1] for i in range(10)] == [3600 * i for i in range(10)]


def test_a_frame_shown_again_is_no_key_frame() -> None:
    encoder, frame = Vp8HeadEncoder(), picture(0)
    is_key = []
    for index, force in enumerate([True, False, True, False, False]):
        frame.pts, frame.time_base = index, Fraction(1, 25)
        payloads, _ = encoder.encode(frame, force_keyframe=force)
        is_key.append(not vp8_depayload(payloads[0])[0] & 1)
    assert is_key == [True, False, True, False, False]


def test_a_requested_h264_key_frame_is_one_a_new_viewer_can_start_from() -> None:
    encoder, decoder = H264HeadEncoder(), H264Decoder()
    kinds = []
    for index in range(4):
        payloads, timestamp = encoder.encode(picture(index), force_keyframe=index == 3)
        data = b"".join(h264_depayload(payload) for payload in payloads)
        kinds.append({unit[0] & 0x1F for unit in data.split(b"\0\0\0\1")[1:]})
    idr, sequence_parameters, picture_parameters = 5, 7, 8
    assert idr not in kinds[1] | kinds[2]
    assert {idr, sequence_parameters, picture_parameters} <= kinds[3]
    frames = decoder.decode(JitterFrame(data, timestamp)) + decoder.codec.decode(None)
    assert [(frame.width, frame.height) for frame in frames] == [(SIDE_PX, SIDE_PX)]


def test_the_picture_is_decoded_as_it_was_sent() -> None:
    encoder, decoder = Vp8HeadEncoder(), Vp8Decoder()
    for index in range(5):
        payloads, timestamp = encoder.encode(picture(index))
        data = b"".join(vp8_depayload(payload) for payload in payloads)
        [frame] = decoder.decode(JitterFrame(data, timestamp))
    assert frame.to_ndarray()[:SIDE_PX].mean() == pytest.approx(64, abs=2)


def test_bitrate_falls_at_once_and_rises_rarely() -> None:
    now_s = 0.0
    rate = Bitrate(lambda: now_s)
    begun = rate.value
    rate.follow(int(begun * 0.95))
    assert rate.value == begun
    rate.follow(begun // 2)
    assert rate.value == begun // 2
    rate.follow(begun)
    assert rate.value == begun // 2, "too soon to rise"
    now_s = 3.5
    rate.follow(begun)
    assert rate.value == begun
    rate.follow(1)
    assert rate.value == 250_000


def test_speech_is_one_20_ms_packet_a_frame_at_the_frames_own_time() -> None:
    encoder = OpusSpeechEncoder()
    for tick in range(7, 10):
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 960), dtype=np.int16), format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, tick * 960, Fraction(1, 48_000)
        payloads, timestamp = encoder.encode(frame)
        assert (len(payloads), timestamp) == (1, tick * 960)


def test_warming_up_takes_no_longer_than_a_start_may() -> None:
    begun_s = time.monotonic()
    rtc.warm_up_codecs()
    assert time.monotonic() - begun_s < 2.0


def test_stereo_opus_becomes_mono_at_the_same_level() -> None:
    encoder = av.CodecContext.create("libopus", "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.format, encoder.layout, encoder.sample_rate = "s16", "stereo", 48_000
    encoder.time_base = Fraction(1, 48_000)
    decoder = Decoder("opus")
    for tick in range(20):
        tone = (10_000 * np.sin(2 * np.pi * 440 * (tick * 960 + np.arange(960)) / 48_000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(np.repeat(tone, 2)[None], format="s16", layout="stereo")
        frame.sample_rate, frame.pts, frame.time_base = 48_000, tick * 960, Fraction(1, 48_000)
        for packet in encoder.encode(frame):
            heard = decoder.decode(bytes(packet))
            assert heard.shape == (960,)
    assert np.abs(heard).max() == pytest.approx(10_000, rel=0.05)


@pytest.mark.parametrize(("name", "codec"), [("pcmu", "pcm_mulaw"), ("pcma", "pcm_alaw")])
def test_g711_is_heard_at_48_khz(name: str, codec: str) -> None:
    encoder = av.CodecContext.create(codec, "w")
    assert isinstance(encoder, av.AudioCodecContext)
    encoder.format, encoder.layout, encoder.sample_rate = "s16", "mono", 8000
    encoder.time_base = Fraction(1, 8000)
    decoder, sizes = Decoder(name), []
    for tick in range(20):
        tone = (10_000 * np.sin(2 * np.pi * 440 * (tick * 160 + np.arange(160)) / 8000)).astype(np.int16)
        frame = av.AudioFrame.from_ndarray(tone[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = 8000, tick * 160, Fraction(1, 8000)
        for packet in encoder.encode(frame):
            heard = decoder.decode(bytes(packet))
            sizes.append(heard.size)
    assert sizes[1:] == [960] * 19
    assert np.abs(heard).max() == pytest.approx(10_000, rel=0.05)


@pytest.mark.parametrize("peak", [0, 1, 30, 1000, 20_000, 32_767])
def test_a_frames_level_is_the_one_aiortc_reckons(peak: int) -> None:
    samples = np.round(peak * np.sin(np.arange(960) / 7)).astype(np.int16)
    frame = av.AudioFrame.from_ndarray(samples[np.newaxis], format="s16", layout="mono")
    assert level_dbov(frame) == compute_audio_level_dbov(frame)
