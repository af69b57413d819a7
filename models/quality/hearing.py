"""How well the motion network hears held-out speech, and in what time."""

import os
import time
from typing import Any

import numpy as np
import soxr
from numpy.typing import NDArray

from models.audio.mel import N_MELS, SILENCE, mel_spectrogram
from models.motion.judge import judge
from models.motion.weights import Motion
from models.quality.measures import dilated
from models.quality.speech_set import held_out_voices, speak_set
from models.studio.visemes import MOUTH_NAMES, mouth_code
from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ

_SPOKEN, _AROUND_FRAMES = 0.05, 4
_BATCH = 64
_TIMED = 200


def measure(motion: Motion, seconds: float, seed: int) -> dict[str, Any]:
    """Every figure; correlations over the frames in speech, with the pauses' ends."""
    speech = speak_set(held_out_voices(), seconds, seed)
    code = mouth_code(speech.mouths)
    heard = _heard(motion, np.asarray(soxr.resample(speech.sound, WIRE_RATE_HZ, SPEECH_RATE_HZ), np.float32), len(code))
    talking = dilated(code.max(axis=1) > _SPOKEN, _AROUND_FRAMES)
    voices = []
    for voice in dict.fromkeys(clip.voice for clip in speech.clips):
        own = np.zeros(len(code), dtype=np.bool_)
        for clip in speech.clips:
            own[clip.frames] |= clip.voice == voice
        voices.append({"voice": voice, **judge(heard[own & talking], code[own & talking])})
    return {
        **judge(heard[talking], code[talking]),
        "ms_per_frame_one_core": _ms_per_frame(motion),
        "lookahead_ms": motion.window.lookahead_ms,
        "shapes": list(MOUTH_NAMES),
        "voices": voices,
        "load_average": os.getloadavg(),
    }


def _heard(motion: Motion, sound: NDArray[np.float32], frames: int) -> NDArray[np.float32]:
    """The mouth code of every frame, as a live session would hear it."""
    columns = motion.window.columns
    margin = np.full((N_MELS, columns), SILENCE, np.float32)
    mel = np.concatenate([margin, mel_spectrogram(sound), margin], axis=1)
    starts = np.array([motion.window.start(frame) for frame in range(frames)]) + columns
    parts = np.array_split(starts, -(-frames // _BATCH))
    return np.concatenate(
        [motion.code(mel[:, part[:, np.newaxis] + np.arange(columns)].transpose(1, 0, 2)) for part in parts]
    )


def _ms_per_frame(motion: Motion) -> float:
    """Median processor time of one frame on its own, in ms."""
    mel = np.random.default_rng(0).uniform(-4, 4, (1, 80, motion.window.columns)).astype(np.float32)
    times_s = []
    for _ in range(_TIMED):
        start_s = time.thread_time()
        motion.weights(mel)
        times_s.append(time.thread_time() - start_s)
    return 1000 * float(np.median(times_s[_TIMED // 10 :]))
