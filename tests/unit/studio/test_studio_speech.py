"""Speech, its labels, its mouth curves, and the ear's corpus and training."""

import shutil
from itertools import accumulate

import numpy as np
import pytest

from models.errors import MediaError
from models.studio import degrade, ear_corpus
from models.studio.arkit import ARKIT_NAMES
from models.studio.check_labels import BAR_S, check
from models.studio.espeak import render as espeak_render
from models.studio.speech import Phone, Prosody, speak
from models.studio.visemes import MOUTH_NAMES, code_curves, curves, curves_from_code, mouth_code, visemes_of
from models.timebase import FRAMES_PER_SECOND, SPEECH_RATE_HZ, WIRE_RATE_HZ

PACKET = SPEECH_RATE_HZ // 50
JAW, PRESS, PUCKER, FUNNEL, ROLL = (
    MOUTH_NAMES.index(name) for name in ("jawOpen", "mouthPress", "mouthPucker", "mouthFunnel", "mouthRollLower")
)


def _require_espeak() -> None:
    try:
        espeak_render("a", "en-us")
    except MediaError as error:
        pytest.fail(str(error), pytrace=False)


def _series(symbols: str, seconds_each: float = 0.1) -> list[Phone]:
    return [Phone(s, i * seconds_each, (i + 1) * seconds_each) for i, s in enumerate(symbols.split())]


def test_names_are_the_52_of_arkit_sorted() -> None:
    assert len(set(ARKIT_NAMES)) == 52
    assert list(ARKIT_NAMES) == sorted(ARKIT_NAMES)
    assert {"jawOpen", "mouthCloseLeft"} & set(ARKIT_NAMES) == {"jawOpen"}


@pytest.mark.parametrize("lips", ["m", "b", "p"])
@pytest.mark.parametrize("seconds", [0.03, 0.06, 0.12])
@pytest.mark.parametrize("phase", [0.0, 0.013, 0.027])
def test_lips_shut_within_a_frame_of_every_m_b_p(lips: str, seconds: float, phase: float) -> None:
    start = 0.5 + phase
    phones = [
        Phone("ɑ", 0.2, start), Phone(lips, start, start + seconds), Phone("ɑ", start + seconds, 1.0),
    ]  # fmt: skip
    code = code_curves(phones, 1.2)
    centres = (np.arange(len(code)) + 0.5) / FRAMES_PER_SECOND
    near = np.abs(centres - (start + seconds / 2)) <= 0.0201
    assert near.any()
    assert (code[near, JAW] < 0.05).all()
    assert (code[near, PRESS] > 0.45).all()
    assert code[int(0.35 * FRAMES_PER_SECOND), JAW] > 0.4, "the vowel before it stays open"


def test_f_brings_the_lower_lip_to_the_teeth() -> None:
    code = code_curves(_series("ɑ ɑ f ɑ ɑ"), 0.5)
    assert code[6, ROLL] > 0.5
    assert code[6, JAW] < 0.1
    assert code[2, ROLL] < 0.05


@pytest.mark.parametrize(("symbol", "control"), [("u", PUCKER), ("w", PUCKER), ("o", FUNNEL), ("ʃ", FUNNEL)])
def test_round_sounds_round_the_lips_and_spread_ones_do_not(symbol: str, control: int) -> None:
    rounded = code_curves(_series(f"ɛ {symbol} ɛ", 0.16), 0.48)
    spread = code_curves(_series("ɛ i ɛ", 0.16), 0.48)
    assert rounded[6, control] > 0.4
    assert spread[:, control].max() < 0.02


def test_frames_are_sampled_at_their_centres() -> None:
    early = code_curves([Phone("ɑ", 0.4, 0.6)], 1.0)
    mirrored = code_curves([Phone("ɑ", 0.4, 0.6)], 1.0)[::-1]
    np.testing.assert_allclose(early, mirrored, atol=1e-6)
    assert len(code_curves([Phone("ɑ", 0.4, 0.6)], 1.01)) == 26


def test_pauses_shut_the_mouth_and_only_the_mouth_moves() -> None:
    weights = curves([Phone("ɑ", 0.1, 0.4), Phone("", 0.4, 1.4)], 1.4)
    assert weights.shape == (35, 52)
    assert weights[20:].max() < 0.02
    still = [i for i, name in enumerate(ARKIT_NAMES) if not name.startswith(("mouth", "jaw", "tongue"))]
    assert not weights[:, still].any()
    assert curves([], 0.5).shape == (13, 52)


def test_code_and_curves_are_inverse() -> None:
    code = np.random.default_rng(3).random((50, len(MOUTH_NAMES)), dtype=np.float32)
    weights = curves_from_code(code)
    assert np.array_equal(mouth_code(weights), code)
    assert np.array_equal(curves_from_code(mouth_code(weights)), weights)


def test_symbols_of_all_kinds_are_known() -> None:
    assert visemes_of("aɪ") == ("a", "i")
    assert visemes_of("tʃ") == ("sh",)
    assert visemes_of("ɔ̃ː") == ("o",)
    assert visemes_of("") == ("rest",)


@pytest.mark.parametrize("voice", ["espeak:en-us+m3", "espeak:de", "flite:rms", "hibari:heart"])
def test_labels_are_where_the_sound_is(voice: str) -> None:
    if voice.startswith("espeak"):
        _require_espeak()
    if voice.startswith("flite") and shutil.which("flite") is None:
        pytest.skip("flite is not installed; 'apt-get install flite'.")
    lag_s, correlation = check(voice, 10)
    assert abs(lag_s) < BAR_S
    assert correlation > 0.7


def test_espeak_phones_tile_the_utterance_and_hold_the_closures() -> None:
    _require_espeak()
    said = speak("Papa bought a big map.", "espeak:en-us", 1, Prosody())
    for before, after in zip(said.phones, said.phones[1:], strict=False):
        assert after.start_s == pytest.approx(before.end_s, abs=1e-6)
    assert [p.symbol for p in said.phones if p.symbol and p.symbol in "pbm"] == list("ppbbmp")
    code = code_curves(said.phones, said.duration_s)
    shut = np.diff(np.concatenate(([0], (code[:, PRESS] > 0.4).astype(int)))) == 1
    assert shut.sum() >= 5


def test_wrong_voices_are_refused_with_the_remedy() -> None:
    with pytest.raises(MediaError, match="espeak:en-us"):
        speak("hello", "nobody:here", 1)
    with pytest.raises(MediaError, match="hibari"):
        speak("hello", "hibari:nobody", 1)
    _require_espeak()
    with pytest.raises(MediaError, match="espeak-ng --voices"):
        speak("hello", "espeak:xx-nowhere", 1)


@pytest.mark.parametrize("kbps", [16, 64])
def test_opus_round_trip_does_not_move_the_sound(kbps: int) -> None:
    rng = np.random.default_rng(5)
    sound = (degrade.band_limited(degrade.noise(SPEECH_RATE_HZ, rng), rng) * 0.1).astype(np.float32)
    heard = degrade.through_opus(sound, kbps)
    assert len(heard) == len(sound)
    inner = slice(2000, -2000)
    scores = [np.corrcoef(sound[inner], np.roll(heard, shift)[inner])[0, 1] for shift in range(-8, 9)]
    assert abs(int(np.argmax(scores)) - 8) <= 1
    assert max(scores) > 0.6


def test_lost_packets_are_carried_on_for_a_while() -> None:
    times_s = np.arange(4 * SPEECH_RATE_HZ) / SPEECH_RATE_HZ
    tone = (0.3 * np.sin(2 * np.pi * 200 * times_s)).astype(np.float32)
    heard = degrade.through_opus(tone, 32, 0.4, np.random.default_rng(3))
    assert len(heard) == len(tone)
    lost = degrade.burst_losses(len(tone) // PACKET, 0.4, np.random.default_rng(3))
    starts = np.arange(len(lost)) * PACKET - degrade.opus_delay(32) * SPEECH_RATE_HZ // WIRE_RATE_HZ
    in_burst = list(accumulate(lost.tolist(), lambda number, is_lost: (number + 1) * is_lost))
    levels = {
        number: [
            degrade.rms(heard[starts[i] : starts[i] + PACKET]) for i, n in enumerate(in_burst) if n == number and i
        ]
        for number in (1, 4)
    }
    assert np.median(levels[1]) > 0.15, "the first is as loud as before, and begins to fade"
    assert max(levels[4]) < 0.02, "the fourth is silent"


def test_noise_has_unit_level_and_a_room_keeps_the_time() -> None:
    rng = np.random.default_rng(2)
    for _ in range(6):
        assert degrade.rms(degrade.noise(8000, rng)) == pytest.approx(1.0, abs=1e-3)
    click = np.zeros(4000, dtype=np.float32)
    click[1000] = 1.0
    assert int(np.abs(degrade.in_room(click, rng)).argmax()) == 1000


def test_corpus_fits_together_and_rests_where_nobody_speaks() -> None:
    _require_espeak()
    mel, code, starts = ear_corpus.build(0.3, 4, held_out=True)
    assert mel.shape[0] == 80
    assert len(code) == len(starts)
    assert starts[-1] < mel.shape[1]
    assert (np.diff(starts) >= 3).all()
    assert code.min() >= 0
    assert code.max() <= 1
    assert (code.max(axis=1) < 0.02).mean() > 0.1
