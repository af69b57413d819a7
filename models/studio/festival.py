"""Festival with a time for every phone: voices of Italian, Finnish, Czech and Catalan women's recordings.

The program (BSD-like licence) and its voices are called if the user has them; nothing of them is shipped. Source:
A. Black, P. Taylor and R. Caley, "The Festival speech synthesis system", University of Edinburgh, 1999.
"""

import functools
import shutil
import subprocess
import wave
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError
from models.studio.visemes import Phone


@dataclass(frozen=True)
class _Voice:
    name: str
    """Festival's own, after ``voice_``."""
    package: str
    encoding: str
    """Of its texts."""
    lateness_s: float
    """Measured with ``check_labels`` and taken out."""


VOICES = {
    "lp": _Voice("lp_diphone", "festvox-italp16k", "iso-8859-1", 0.002),
    "lj": _Voice("suo_fi_lj_diphone", "festvox-suopuhe-lj", "iso-8859-1", -0.005),
    "dita": _Voice("czech_dita", "festvox-czech-dita", "iso-8859-2", 0.001),
    "ona": _Voice("upc_ca_ona_hts", "festvox-ca-ona-hts", "iso-8859-1", -0.007),
}
"""Speakers of ``it``, ``fi``, ``cs`` and ``ca``."""
_IPA = {
    "#": "", "##": "", "_": "", "pau": "",
    "E": "ɛ", "O": "ɔ", "J": "ɲ", "L": "ʎ", "N": "ŋ", "S": "ʃ", "Z": "ʒ", "tS": "tʃ", "dZ": "dʒ", "ng": "ŋ",
    "g": "ɡ", "rr": "r", "ax": "ə", "@": "æ", "7": "ø",
    "c": "ts", "c~": "tʃ", "ch": "x", "d~": "ɟ", "h": "ɦ", "n*": "ŋ", "n~": "ɲ", "r~": "ʒ", "r~*": "ʃ", "s~": "ʃ",
    "t~": "c", "z~": "ʒ",
}  # fmt: skip
"""What is not written as in IPA. Lips take no notice of an r in the Czech ``r~``."""
_SCRIPT = """({select})
(Parameter.set 'Duration_Stretch {stretch:.3f})
(set! said (utt.synth (Utterance Text "{text}")))
(utt.save.segs said "{folder}/said.seg")
(utt.save.wave said "{folder}/said.wav" 'riff)
"""


@functools.cache
def _program() -> str:
    found = shutil.which("festival")
    if found is None:
        raise MediaError("Speaking with Festival needs its program; install it with 'apt-get install festival'.")
    return found


def render(text: str, voice: str, stretch: float = 1.0) -> tuple[NDArray[np.float32], int, list[Phone]]:
    """Say ``text``: samples (n,), their rate in Hz, phones in order. ``stretch`` lengthens every sound.

    Raises:
        MediaError: the program or the voice is missing, or it has nothing to say.
    """
    if voice not in VOICES:
        raise MediaError(f"Festival has no voice '{voice}'; choose one of {', '.join(VOICES)}.")
    speaker = VOICES[voice]
    with TemporaryDirectory() as folder:
        plain = text.replace("\\", " ").replace('"', " ")
        script = _SCRIPT.format(select=f"voice_{speaker.name}", stretch=stretch, text=plain, folder=folder)
        (path := Path(folder) / "say.scm").write_bytes(script.encode(speaker.encoding, "replace"))
        done = subprocess.run([_program(), "-b", str(path)], capture_output=True, check=False, timeout=60)
        if not (Path(folder) / "said.wav").is_file():
            why = done.stderr.decode(errors="replace").strip().splitlines()
            raise MediaError(
                f"Festival could not say {text!r} with voice '{voice}' ({why[-1] if why else 'no reason given'}); "
                f"is it installed? 'apt-get install {speaker.package}'."
            )
        with wave.open(str(Path(folder) / "said.wav")) as file:
            rate_hz = file.getframerate()
            pcm = np.frombuffer(file.readframes(file.getnframes()), dtype="<i2")
        segments = (Path(folder) / "said.seg").read_text()
    return pcm.astype(np.float32) / 32768.0, rate_hz, _phones(segments, speaker, len(pcm) / rate_hz)


def _phones(segments: str, speaker: _Voice, duration_s: float) -> list[Phone]:
    """From lines of a segment's end in seconds, a colour, and its name; stress and length are marks of the name."""
    phones: list[Phone] = []
    start_s = 0.0
    for line in segments.splitlines()[1:]:
        end, _, name = line.split()
        end_s = max(start_s, float(end) - speaker.lateness_s)
        bare = name.rstrip("1:")
        phones.append(Phone(_IPA.get(bare, bare), start_s, end_s))
        start_s = end_s
    if start_s < duration_s:
        phones.append(Phone("", start_s, duration_s))
    return phones
