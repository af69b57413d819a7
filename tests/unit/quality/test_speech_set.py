"""The held-out set is held out, framed and labelled as it says."""

import numpy as np
import pytest

from models.errors import MediaError
from models.quality.speech_set import (
    BABBLE_DBFS,
    ROOM_DBFS,
    SPEECH_DBFS,
    babble,
    closure_middles_s,
    held_out_sentences,
    held_out_voices,
    room_noise,
    speak_set,
)
from models.studio.degrade import active_rms, rms
from models.studio.texts import sentences
from models.studio.visemes import MOUTH_NAMES, Phone, mouth_code
from models.studio.voices import FLITE, HELD_OUT, language_of

VOICES = ("espeak:en-us+m7", "espeak:de+Annie")


def decibels(value: float) -> float:
    return 20 * np.log10(value)


def test_no_sentence_and_no_voice_is_one_to_train_on() -> None:
    voices = held_out_voices()
    languages = {language_of(voice) for voice in voices}
    assert len(languages) >= 5
    assert not set(voices) & set(FLITE)
    assert all(voice.split("+")[1] in HELD_OUT for voice in voices if voice.startswith("espeak:"))
    for language in languages:
        known = set(sentences(language))
        assert len(held_out_sentences(language)) >= 6
        assert not known & set(held_out_sentences(language))


def test_a_language_without_held_out_sentences_is_a_sentence() -> None:
    with pytest.raises(MediaError, match="choose a voice of"):
        held_out_sentences("xx")


@pytest.mark.usefixtures("spoken")
def test_the_set_has_a_label_a_frame_at_one_level() -> None:
    speech = speak_set(VOICES, 8.0, seed=3)
    assert {clip.voice for clip in speech.clips} == set(VOICES)
    assert len(speech.sound) == len(speech) * 1920
    assert 8.0 <= len(speech) / 25 < 13.0
    assert speech.clips[0].frames.start == 0
    assert all(a.frames.stop == b.frames.start for a, b in zip(speech.clips[:-1], speech.clips[1:], strict=True))
    assert not speech.mouths[:8].any()
    code = mouth_code(speech.mouths)
    press = code[:, MOUTH_NAMES.index("mouthPress")]
    assert len(speech.closures_s) >= 4
    assert all(press[int(time_s * 25)] > 0.3 for time_s in speech.closures_s)
    for clip in speech.clips:
        spoken = speech.sound[(clip.frames.start + 10) * 1920 : (clip.frames.stop - 20) * 1920]
        assert decibels(active_rms(spoken)) == pytest.approx(SPEECH_DBFS, abs=1.0)
    again = speak_set(VOICES, 8.0, seed=3)  # espeak-ng itself remembers its last voice, so not to the sample
    assert [clip.text for clip in again.clips] == [clip.text for clip in speech.clips]


@pytest.mark.usefixtures("spoken")
def test_a_voice_that_cannot_be_had_is_told_not_fatal() -> None:
    speech = speak_set(("espeak:en-us+m7", "flite:nobody"), 1.0, seed=1)
    assert [clip.voice for clip in speech.clips] == ["espeak:en-us+m7"]
    assert "nobody" in speech.unspoken[0]
    with pytest.raises(MediaError, match="nobody"):
        speak_set(("flite:nobody",), 1.0, seed=1)


def test_closures_beside_a_pause_do_not_count() -> None:
    symbols = ["p", "a", "m", "a", "b", ""]
    phones = [Phone(symbol, 0.1 * i, 0.1 * (i + 1)) for i, symbol in enumerate(symbols)]
    assert closure_middles_s(phones) == pytest.approx([0.25])


@pytest.mark.usefixtures("spoken")
def test_noises_have_their_level() -> None:
    assert decibels(rms(babble(speak_set(VOICES, 4.0, seed=1), 3.0))) == pytest.approx(BABBLE_DBFS, abs=0.1)
    noise = room_noise(2.0, seed=1)
    assert len(noise) == 2 * 48_000
    assert decibels(rms(noise)) == pytest.approx(ROOM_DBFS, abs=0.1)
