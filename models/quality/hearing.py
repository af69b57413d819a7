"""How well an ear hears held-out speech, and in what time."""

import os
import time
from typing import Any

import numpy as np
import soxr

from models.audio.mel import N_MELS, mel_spectrogram
from models.motion.ear import HEARD_COLUMNS, Ear
from models.motion.judge import judge
from models.quality.measures import dilated
from models.quality.speech_set import held_out_voices, speak_set
from models.studio.visemes import MOUTH_NAMES, mouth_code
from models.timebase import SPEECH_RATE_HZ, WIRE_RATE_HZ

_SPOKEN, _AROUND_FRAMES = 0.05, 4
_TIMED = 200


def measure(ear: Ear, seconds: float, seed: int) -> dict[str, Any]:
    """Every figure; correlations over the frames in speech, with the pauses' ends."""
    speech = speak_set(held_out_voices(), seconds, seed)
    code = mouth_code(speech.mouths)
    sound = np.asarray(soxr.resample(speech.sound, WIRE_RATE_HZ, SPEECH_RATE_HZ), np.float32)
    heard = ear.codes(mel_spectrogram(sound), len(code))
    talking = dilated(code.max(axis=1) > _SPOKEN, _AROUND_FRAMES)
    voices = []
    for voice in dict.fromkeys(clip.voice for clip in speech.clips):
        own = np.zeros(len(code), dtype=np.bool_)
        for clip in speech.clips:
            own[clip.frames] |= clip.voice == voice
        voices.append({"voice": voice, **judge(heard[own & talking], code[own & talking])})
    return {
        **judge(heard[talking], code[talking]),
        "ms_per_frame_one_core": _ms_per_frame(ear),
        "lookahead_ms": ear.window.lookahead_ms,
        "shapes": list(MOUTH_NAMES),
        "voices": voices,
        "load_average": os.getloadavg(),
    }


def _ms_per_frame(ear: Ear) -> float:
    """Median processor time of one frame on its own, in ms."""
    mel = np.random.default_rng(0).uniform(-4, 4, (1, N_MELS, HEARD_COLUMNS)).astype(np.float32)
    times_s = []
    for _ in range(_TIMED):
        start_s = time.thread_time()
        ear.weights(mel)
        times_s.append(time.thread_time() - start_s)
    return 1000 * float(np.median(times_s[_TIMED // 10 :]))
