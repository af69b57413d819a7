"""espeak-ng through its C library: sound with a time for every phone.

The library reports a phoneme event at the sample where each phone begins, so labels need no aligner. It keeps
one global voice and one global callback, so one lock guards every call. Source: espeak-ng's public C interface,
``speak_lib.h`` (GPL-3.0 or later; loaded at run time if the user has it installed, never shipped).
"""

import ctypes
import ctypes.util
import functools
import threading
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.errors import MediaError

_SYNCHRONOUS = 2
_PHONEME_EVENTS, _PHONEME_IPA, _DONT_EXIT = 1, 2, 0x8000
_UTF8 = 1
_EVENT_END, _EVENT_PHONEME = 0, 7
_RATE, _VOLUME, _PITCH, _RANGE = 1, 2, 3, 4
_LOCK = threading.Lock()


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event))


@dataclass(frozen=True)
class Rendering:
    """What espeak-ng said."""

    samples: NDArray[np.float32]
    sample_rate_hz: int
    marks: tuple[tuple[str, int], ...]
    """(IPA text of the phone, index of its first sample), in order; empty text or ``_`` is a pause."""


class _Library:
    """The loaded library; ``collect`` is its one callback."""

    def __init__(self) -> None:
        name = ctypes.util.find_library("espeak-ng") or "libespeak-ng.so.1"
        try:
            self.c = ctypes.CDLL(name)
        except OSError as error:
            raise MediaError(
                "Speaking with espeak-ng needs its C library, which was not found; install it with "
                "'apt-get install espeak-ng' (macOS: 'brew install espeak-ng')."
            ) from error
        flags = _PHONEME_EVENTS | _PHONEME_IPA | _DONT_EXIT
        self.sample_rate_hz = int(self.c.espeak_Initialize(_SYNCHRONOUS, 0, None, flags))
        if self.sample_rate_hz <= 0:
            raise MediaError(
                "espeak-ng found no voice data; reinstall it, for instance with "
                "'apt-get install --reinstall espeak-ng-data'."
            )
        self.sound: list[NDArray[np.int16]] = []
        self.marks: list[tuple[str, int]] = []
        self._callback = _CALLBACK(self._collect)
        self.c.espeak_SetSynthCallback(self._callback)

    def _collect(self, wav: "ctypes._Pointer[ctypes.c_short]", count: int, events: object) -> int:
        if count > 0 and wav:
            self.sound.append(np.ctypeslib.as_array(wav, shape=(count,)).astype(np.int16))
        index = 0
        while (event := events[index]).type != _EVENT_END:  # type: ignore[index]
            if event.type == _EVENT_PHONEME:
                text = event.id.string.decode("utf-8", errors="ignore")
                self.marks.append((text, int(event.sample)))
            index += 1
        return 0


@functools.cache
def _library() -> _Library:
    return _Library()


def render(text: str, voice: str, words_per_minute: int = 175, pitch: int = 50, pitch_range: int = 50) -> Rendering:
    """Say ``text`` with an espeak-ng voice name such as ``en-us``, ``de+f3``.

    ``words_per_minute`` 80..450, ``pitch`` and ``pitch_range`` 0..100 as espeak-ng defines them.

    Raises:
        MediaError: the library or the voice is not installed; the message says what to install.
    """
    with _LOCK:
        library = _library()
        if library.c.espeak_SetVoiceByName(voice.encode()) != 0:
            raise MediaError(f"espeak-ng has no voice '{voice}'; 'espeak-ng --voices' lists those installed.")
        for parameter, value in (
            (_RATE, words_per_minute),
            (_PITCH, pitch),
            (_RANGE, pitch_range),
            (_VOLUME, 100),
        ):
            library.c.espeak_SetParameter(parameter, int(value), 0)
        library.sound, library.marks = [], []
        data = text.encode()
        failed = library.c.espeak_Synth(data, ctypes.c_size_t(len(data) + 1), 0, 1, 0, _UTF8, None, None)
        library.c.espeak_Synchronize()
        if failed or not library.sound:
            raise MediaError(f"espeak-ng could not say {text!r} with voice '{voice}'; try another text or voice.")
        samples = np.concatenate(library.sound).astype(np.float32) / 32768.0
        return Rendering(samples, library.sample_rate_hz, tuple(library.marks))
