import numpy as np
import pytest

from models.audio.babble import babble
from models.audio.mel import MelStream
from models.motion.hearing import activity, emphasis, loudness, presence
from models.motion.idle import BLINK_S, IdleProcess
from models.studio.arkit import INDEX
from models.timebase import first_column

FRAMES = 25 * 40
SILENCE = np.zeros(51, np.float32)


@pytest.fixture(scope="module")
def speech() -> list[np.ndarray]:
    """Loudness of the windows of twelve seconds: a pause of two seconds amidst speech."""
    sound = np.asarray(babble(12.0, 16_000, 3), np.float32)
    sound[5 * 16_000 : 7 * 16_000] = 0
    mel, louds = MelStream(), []
    mel.push(sound[:1280])
    for frame in range(12 * 25 - 4):
        mel.push(sound[(frame + 2) * 640 : (frame + 3) * 640])
        louds.append(loudness(mel.window(first_column(frame, 46), 51)))
    return louds


def poses(process: IdleProcess, louds: list[np.ndarray]) -> np.ndarray:
    moved = [process.at(frame, loud) for frame, loud in enumerate(louds)]
    return np.stack([np.concatenate((one.angles_deg, 100 * one.t)) for one in moved])


def test_heads_move_but_within_bounds_and_without_jumps(speech: list[np.ndarray]) -> None:
    for seed in range(5):
        moved = poses(IdleProcess(seed), [SILENCE] * FRAMES)
        assert (moved[:, :3].std(axis=0) > 0.3).all()
        assert np.abs(moved[:, :3]).max() < 16
        assert np.abs(moved).max() < 20
        assert np.abs(np.diff(poses(IdleProcess(seed), speech), axis=0)).max() < 1.2


def test_louder_speech_moves_the_head_more(speech: list[np.ndarray]) -> None:
    moving, still = [], []
    for seed in range(4):
        for louds, into in ((speech, moving), ([SILENCE] * len(speech), still)):
            into.append(np.abs(np.diff(poses(IdleProcess(seed), louds)[:, 0])).mean())
    assert np.mean(moving) > 1.3 * np.mean(still)


def test_the_same_seed_is_the_same_whatever_the_order(speech: list[np.ndarray]) -> None:
    there = IdleProcess(7)
    forwards = [there.at(frame, loud) for frame, loud in enumerate(speech)]
    other = IdleProcess(7)
    for frame in (250, 3, 100, 99, 250):
        again = other.at(frame, speech[frame])
        for ours, theirs in zip(vars(again).values(), vars(forwards[frame]).values(), strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert not np.allclose(poses(IdleProcess(8), speech), poses(IdleProcess(7), speech))


def test_blinks_come_every_two_to_six_seconds_and_close_the_lids() -> None:
    process = IdleProcess(1)
    closed = np.array([process.blink(frame) for frame in range(FRAMES)])
    starts = np.flatnonzero((closed[1:] > 0) & (closed[:-1] == 0))
    assert np.diff(starts).min() >= BLINK_S[0] * 25 - 1
    assert np.diff(starts).max() <= BLINK_S[1] * 25 + 1
    peaks = [closed[start : start + 9].max() for start in starts[:-1]]
    assert min(peaks) > 0.85
    assert closed.max() <= 1
    assert np.abs(np.diff(closed)).max() <= 0.75


def test_eyes_look_about_and_mostly_ahead() -> None:
    process = IdleProcess(2)
    faces = np.stack([process.at(frame, SILENCE).weights for frame in range(FRAMES)])
    look = faces[:, INDEX["eyeLookOutLeft"]] - faces[:, INDEX["eyeLookInLeft"]]
    assert 0.01 < np.abs(look).mean() < 0.2
    assert np.abs(look).max() <= 0.35
    np.testing.assert_array_equal(faces[:, INDEX["eyeLookOutLeft"]], faces[:, INDEX["eyeLookInRight"]])


def test_silence_has_no_presence_no_activity_and_no_stress(speech: list[np.ndarray]) -> None:
    assert (presence(SILENCE), activity(SILENCE), emphasis(SILENCE)) == (0, 0, 0)
    assert presence(speech[60]) == 1
    assert max(activity(loud) for loud in speech) > 0.5
    # The pause begins at frame 125: the last columns of its window reach 50 ms beyond its start.
    assert presence(speech[125 + 1]) == 0
    assert presence(speech[125 - 3]) > 0
