"""Wire sound to speech sound, streamed: 48 kHz to 16 kHz with 1 ms of delay."""

import av
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ


class SpeechResampler:
    """Streaming 48 kHz -> 16 kHz mono. Output sample i stands at the time of input sample 3 i.

    FFmpeg's resampler, chosen because it holds back 16 samples (1 ms); libraries of higher quality hold
    back up to 21 ms, which the listener would wait for.
    """

    def __init__(self) -> None:
        self._resampler = AudioResampler(format="flt", layout="mono", rate=SPEECH_RATE_HZ)

    def push(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Feed (n,) at 48 kHz; return what has become ready at 16 kHz."""
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(samples[np.newaxis], dtype=np.float32), format="flt", layout="mono"
        )
        frame.sample_rate = WIRE_RATE_HZ
        return self._join(self._resampler.resample(frame))

    def flush(self) -> NDArray[np.float32]:
        """The last samples, when no more will come."""
        return self._join(self._resampler.resample(None))

    @staticmethod
    def _join(frames: list[av.AudioFrame]) -> NDArray[np.float32]:
        parts = [np.asarray(frame.to_ndarray()[0], dtype=np.float32) for frame in frames]
        return np.concatenate(parts) if parts else np.zeros(0, dtype=np.float32)
