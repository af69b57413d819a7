"""Sounds that are loud and soft in turn."""

from pathlib import Path

import av
import numpy as np


def write_speech(path: Path, seconds: float, seed: int = 1, gain: float = 0.3) -> Path:
    """A WAV file of noise with pauses, 16 kHz."""
    rng = np.random.default_rng(seed)
    count = int(seconds * 16_000)
    loud = np.repeat(rng.random(count // 3200 + 1) > 0.3, 3200)[:count]
    wave = (32767 * gain * rng.uniform(-1, 1, count) * loud).astype(np.int16)
    with av.open(str(path), "w", format="wav") as container:
        stream = container.add_stream("pcm_s16le", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(wave[None], format="s16", layout="mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
