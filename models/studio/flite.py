"""CMU Flite with a time for every phone: small English voices built from real speakers' recordings.

Flite prints each segment with the time of its end (``-psdur``). The program (BSD-like licence) is called if the
user has it; nothing of it is shipped. Source: A. Black and K. Lenzo, "Flite: a small fast run-time synthesis
engine", 4th ISCA Speech Synthesis Workshop, 2001.
"""

import functools
import shutil
import subprocess
import wave
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio.visemes import Phone

VOICES = ("awb", "kal16", "rms", "slt")
_IPA = {
    "aa": "ɑ", "ae": "æ", "ah": "ʌ", "ao": "ɔ", "aw": "aʊ", "ax": "ə", "axr": "ɚ", "ay": "aɪ", "b": "b",
    "ch": "tʃ", "d": "d", "dh": "ð", "dx": "ɾ", "eh": "ɛ", "el": "l", "em": "m", "en": "n", "er": "ɝ",
    "ey": "eɪ", "f": "f", "g": "ɡ", "hh": "h", "hv": "h", "ih": "ɪ", "iy": "i", "jh": "dʒ", "k": "k", "l": "l",
    "m": "m", "n": "n", "ng": "ŋ", "nx": "n", "ow": "oʊ", "oy": "ɔɪ", "p": "p", "pau": "", "r": "ɹ", "s": "s",
    "sh": "ʃ", "t": "t", "th": "θ", "uh": "ʊ", "uw": "u", "v": "v", "w": "w", "y": "j", "z": "z", "zh": "ʒ",
}  # fmt: skip
_LATENESS_S = {"awb": -0.002, "kal16": -0.003, "rms": -0.005, "slt": -0.012}
"""Measured with ``check_labels`` and taken out."""
_ASPIRATION_S, _ASPIRATION_SHARE = 0.030, 0.35
"""A voiceless stop's segment holds its burst and breath; the lips part before."""


@functools.cache
def _program() -> str:
    found = shutil.which("flite")
    if found is None:
        raise MediaError("Speaking with flite needs its program; install it with 'apt-get install flite'.")
    return found


def render(
    text: str, voice: str, stretch: float = 1.0, pitch_hz: float | None = None
) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """Say English ``text``: samples (n,), their rate in Hz, phones in order.

    ``stretch`` lengthens every sound; ``pitch_hz`` moves the mean pitch, by default the speaker's own.

    Raises:
        MediaError: the program or the voice is missing, or it has nothing to say.
    """
    if voice not in VOICES:
        raise MediaError(f"flite has no voice '{voice}'; choose one of {', '.join(VOICES)}.")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "said.wav"
        command = [_program(), "-voice", voice, "--setf", f"duration_stretch={stretch:.3f}"]
        if pitch_hz is not None:
            command += ["--setf", f"int_f0_target_mean={pitch_hz:.1f}"]
        command += ["-psdur", "-t", text, "-o", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode or not path.exists():
            raise MediaError(f"flite could not say {text!r} with voice '{voice}': {done.stderr.strip()}.")
        with wave.open(str(path)) as file:
            rate_hz = file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
    return pcm.astype(np.float32) / 32768.0, rate_hz, _phones(done.stdout, voice, len(pcm) / rate_hz)


def _phones(printed: str, voice: str, duration_s: float) -> list[Phone]:
    phones: list[Phone] = []
    start_s, offset_s = 0.0, 0.0
    for word in printed.split():
        name, _, end = word.rpartition(":")
        end_s = offset_s + float(end) - _LATENESS_S[voice]
        if end_s < start_s:  # a further sentence counts from nought again
            offset_s = start_s + _LATENESS_S[voice]
            end_s = start_s + float(end)
        symbol = _IPA.get(name, "")
        if symbol and symbol in "ptk" and end_s > start_s:
            spare_s = min(_ASPIRATION_S, _ASPIRATION_SHARE * (end_s - start_s))
            phones.append(Phone(symbol, start_s, end_s - spare_s))
            phones.append(Phone("h", end_s - spare_s, end_s))
        else:
            phones.append(Phone(symbol, start_s, end_s))
        start_s = end_s
    if start_s < duration_s:
        phones.append(Phone("", start_s, duration_s))
    return phones
