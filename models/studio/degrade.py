"""What a microphone, a room and a network do to speech: random, but never moving it in time.

Everything works on mono float32 at 16 kHz. Filters are zero-phase and the Opus round trip's delay is measured
and taken out, so labels stay true.
"""

import functools
from fractions import Fraction

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from models.audio import waveform
from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ

Sound = NDArray[np.float32]
OPUS_KBPS = (16, 24, 32, 48, 64)
_OPUS_FRAME = WIRE_RATE_HZ // 50


def decibels(value_db: float) -> float:
    """Amplitude factor of a level."""
    return float(10.0 ** (value_db / 20.0))


def rms(sound: Sound) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(sound.astype(np.float64) ** 2))) if len(sound) else 0.0


def active_rms(sound: Sound) -> float:
    """Root mean square of the louder half, by 20 ms blocks: pauses do not count."""
    blocks = sound[: len(sound) // 320 * 320].reshape(-1, 320).astype(np.float64)
    if len(blocks) < 2:
        return rms(sound)
    energy = np.sort((blocks**2).mean(axis=1))
    return float(np.sqrt(energy[len(energy) // 2 :].mean()))


def _filtered(sound: Sound, gain: NDArray[np.float64]) -> Sound:
    """``sound`` with each frequency bin scaled by ``gain``."""
    spectrum = np.fft.rfft(sound.astype(np.float64))
    shaped = np.fft.irfft(spectrum * gain, len(sound))
    return shaped.astype(np.float32)


def _bins_hz(sound: Sound) -> NDArray[np.float64]:
    return np.asarray(np.fft.rfftfreq(len(sound), 1.0 / SPEECH_RATE_HZ), dtype=np.float64)


def coloured(sound: Sound, rng: np.random.Generator, depth_db: float = 9.0) -> Sound:
    """A microphone's colour: a smooth random curve over frequency, and a tilt."""
    hz = _bins_hz(sound)
    knots = np.log2(np.array([30.0, 80, 160, 320, 640, 1280, 2560, 5120, 8000]))
    gains_db = rng.normal(0.0, depth_db / 2.5, len(knots)) + rng.normal(0.0, 1.5) * (knots - knots.mean())
    curve_db = np.interp(np.log2(np.maximum(hz, 1.0)), knots, np.clip(gains_db, -2 * depth_db, 2 * depth_db))
    return _filtered(sound, 10.0 ** (curve_db / 20.0))


def band_limited(sound: Sound, rng: np.random.Generator) -> Sound:
    """A telephone, a cheap headset: soft edges somewhere in 60..350 Hz and 3.2..7.5 kHz."""
    hz = _bins_hz(sound)
    low, high = rng.uniform(60, 350), rng.uniform(3200, 7500)
    gain = 1.0 / np.sqrt(1.0 + (low / np.maximum(hz, 1.0)) ** 6) / np.sqrt(1.0 + (hz / high) ** 16)
    return _filtered(sound, gain)


def in_room(sound: Sound, rng: np.random.Generator) -> Sound:
    """The direct sound and an exponentially decaying tail of noise."""
    decay_s = rng.uniform(0.08, 0.5)
    length = int(decay_s * SPEECH_RATE_HZ)
    tail = rng.normal(0.0, 1.0, length) * 10.0 ** (-3.0 * np.arange(length) / length)
    tail[: int(0.002 * SPEECH_RATE_HZ)] = 0.0
    tail *= decibels(-rng.uniform(4.0, 22.0)) / np.sqrt((tail**2).sum())
    tail[0] = 1.0
    size = 1 << (len(sound) + length).bit_length()
    wet = np.fft.irfft(np.fft.rfft(sound, size) * np.fft.rfft(tail, size), size)[: len(sound)]
    return wet.astype(np.float32)


def noise(length: int, rng: np.random.Generator) -> Sound:
    """Noise of a random colour or mains hum with harmonics, at 0 dBFS RMS."""
    if rng.random() < 0.2:
        times_s = np.arange(length) / SPEECH_RATE_HZ
        mains_hz = float(rng.choice((50.0, 60.0))) * rng.uniform(0.995, 1.005)
        hum = np.zeros(length)
        for harmonic in range(1, int(rng.integers(3, 14))):
            level = rng.uniform(0.2, 1.0) / harmonic ** rng.uniform(0.3, 1.2)
            hum += level * np.sin(2 * np.pi * (mains_hz * harmonic * times_s + rng.random()))
        sound = hum + 0.05 * rng.normal(0.0, 1.0, length)
    else:
        spectrum = np.fft.rfft(rng.normal(0.0, 1.0, length))
        hz = np.maximum(np.fft.rfftfreq(length, 1.0 / SPEECH_RATE_HZ), 20.0)
        sound = np.fft.irfft(spectrum * hz ** -rng.uniform(0.0, 1.1), length)
        if rng.random() < 0.4:  # it swells and falls, as fans, cars and keys do
            steps = rng.normal(0.0, 5.0, length // 3200 + 2)
            swell_db = np.interp(np.arange(length), np.arange(len(steps)) * 3200, steps)
            sound *= 10.0 ** (swell_db / 20.0)
    return np.asarray(sound / (np.sqrt(np.mean(sound**2)) + 1e-12), dtype=np.float32)


def opus_payloads(wire: Sound, kbps: int) -> list[bytes]:
    """``wire``, (n,) at 48 kHz, as Opus packets of 20 ms (libopus, voice), padded so that all of it comes out."""
    padded = np.pad(wire, (0, -len(wire) % _OPUS_FRAME + 3 * _OPUS_FRAME))
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = WIRE_RATE_HZ, "mono", "s16"
    encoder.bit_rate, encoder.time_base = 1000 * kbps, Fraction(1, WIRE_RATE_HZ)
    encoder.options = {"application": "voip", "frame_duration": "20"}
    pcm = (np.clip(padded, -1.0, 1.0) * 32767.0).astype(np.int16)
    payloads: list[bytes] = []
    for start in range(0, len(pcm), _OPUS_FRAME):
        frame = av.AudioFrame.from_ndarray(pcm[None, start : start + _OPUS_FRAME], format="s16", layout="mono")
        frame.sample_rate, frame.pts = WIRE_RATE_HZ, start
        frame.time_base = Fraction(1, WIRE_RATE_HZ)
        payloads += [bytes(packet) for packet in encoder.encode(frame)]
    return payloads


def burst_losses(packets: int, share: float, rng: np.random.Generator, burst: float = 2.0) -> NDArray[np.bool_]:
    """(packets,) which are lost: ``share`` of them in runs of ``burst`` on average.

    A channel of two states (E. Gilbert, "Capacity of a burst-noise channel", 1960).
    """
    begins, ends = share / (burst * (1.0 - share)), 1.0 / burst
    lost = np.zeros(packets, dtype=np.bool_)
    bad = False
    for index, chance in enumerate(rng.random(packets)):
        bad = chance >= ends if bad else chance < begins
        lost[index] = bad
    return lost


def _opus(sound: Sound, kbps: int, lost: float, rng: np.random.Generator) -> Sound:
    """There and back at 48 kHz; ``lost`` is the share of the packets that are, concealed as a session does."""
    decoder = av.CodecContext.create("libopus", "r")
    decoder.sample_rate, decoder.layout = WIRE_RATE_HZ, "mono"
    heard: list[NDArray[np.float32]] = []
    payloads = opus_payloads(soxr.resample(sound, SPEECH_RATE_HZ, WIRE_RATE_HZ), kbps)
    gone, extension = 0, np.zeros(0, np.float32)
    for payload, is_lost in zip(payloads, burst_losses(len(payloads), lost, rng), strict=True):
        if is_lost:
            if not gone and heard:
                extension = waveform.carried_on(np.concatenate(heard[-3:])[-waveform.HISTORY :], waveform.FADED)
            made_up = extension[gone : gone + _OPUS_FRAME]
            heard.append(np.pad(made_up, (0, _OPUS_FRAME - len(made_up))))
            gone += _OPUS_FRAME
            continue
        gone = 0
        for decoded in decoder.decode(av.Packet(payload)):
            block = decoded.to_ndarray()
            scale = 32768.0 if block.dtype == np.int16 else 1.0
            channels = decoded.layout.nb_channels
            block = block.reshape(-1, channels)[:, 0] if not decoded.format.is_planar else block[0]
            heard.append(block.astype(np.float32) / scale)
    return np.concatenate(heard)


@functools.cache
def opus_delay(kbps: int) -> int:
    """Samples at 48 kHz by which the round trip is late: encoder look-ahead and decoder, measured once."""
    rng = np.random.default_rng(0)
    probe = band_limited(noise(SPEECH_RATE_HZ, rng), rng) * 0.1
    heard = _opus(probe, kbps, 0.0, rng)
    sent = soxr.resample(probe, SPEECH_RATE_HZ, WIRE_RATE_HZ)
    size = 1 << (len(heard) + len(sent)).bit_length()
    cross = np.fft.irfft(np.fft.rfft(heard, size) * np.conj(np.fft.rfft(sent, size)), size)
    return int(np.argmax(cross[: 3 * _OPUS_FRAME]))


def through_opus(sound: Sound, kbps: int, lost: float = 0.0, rng: np.random.Generator | None = None) -> Sound:
    """Encode and decode (libopus, 20 ms packets); same length, same place in time.

    ``lost``: the share of the packets that never come, in bursts that ``rng`` draws.
    """
    late = opus_delay(kbps)
    rng = np.random.default_rng(0) if rng is None else rng
    heard = soxr.resample(_opus(sound, kbps, lost, rng)[late:], WIRE_RATE_HZ, SPEECH_RATE_HZ)
    return np.asarray(heard[: len(sound)], dtype=np.float32)
