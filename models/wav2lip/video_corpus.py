"""A training corpus out of a person's own talking clip, for weights of that person's own.

A clip has no true mouth codes, so those that the ear hears in its sound stand for them, corrected by what is seen
(``seen_code``). Nor does it show one pose both talking and at rest. What the network will be given live is a
face at rest as it was filmed, so that is what it is given here: a frame of a pause. What it shall draw is put
together: that frame, and under the nose the mouth of a talking frame in nearly the same pose, see ``mouth_pair``. The
talking frames that fit worst are left out, for what does not lie right is learned as blur.

The format is that of a corpus with faces of its own, see ``models.wav2lip.corpus``.
"""

import hashlib
import shutil
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from models.audio.mel import mel_spectrogram
from models.errors import MediaError
from models.face.pictures import Limits, read_clip
from models.face.placement import MASK_PX, even_boxes
from models.face.track import Track, follow
from models.motion.ear import Ear
from models.studio.visemes import curves_from_code
from models.timebase import FRAMES_PER_SECOND, SAMPLES_PER_FRAME, SPEECH_RATE_HZ
from models.wav2lip.corpus import MASK
from models.wav2lip.mouth_pair import Crops, Floats, pairs_of, targets_of, thumbnail
from models.wav2lip.network import Generator
from models.wav2lip.pixels import scaled_crop
from models.wav2lip.seen_code import seen_codes

LEAST_FRAMES = 4 * FRAMES_PER_SECOND
_QUIET_DB = 35.0
"""A pause is softer than the loudest sounds by so much."""
_LOUD_QUANTILE = 0.95
_LEAST_PAUSES = 2 * FRAMES_PER_SECOND
_SHUT_SHARE = 0.15
"""Of the frames, those in which the jaw is heard least open: they are looked at where a clip has no pauses."""
_USUAL = 2.0
"""Times the median distance from the median mouth at which a mouth in a pause is not at rest; 1 without pauses."""


def video_corpus(
    video: Path, mask: NDArray[np.uint8], out: Path, ear: Ear, generator: Generator, most_s: float
) -> Path:
    """The corpus of a clip, in a folder of ``out`` that is made if it is not there yet.

    Args:
        video: a clip of one face that talks, with its sound.
        mask: the blend mask of the person's avatar.
        out: where the corpus's folder goes.
        ear: the one that the weights will have.
        generator: of the weights to begin with, which ``seen_code`` judges the mouths by.
        most_s: seconds of the clip to use.

    Raises:
        MediaError: the clip has no face, no sound, or too little of them.
    """
    sound = read_speech(video, most_s)
    folder = out / f"video-{hashlib.sha256(video.read_bytes()).hexdigest()[:12]}-{most_s:g}s"
    if folder.is_dir():
        return folder
    limits = Limits(clip_s=most_s)
    track = follow(read_clip(video, limits), video.name, None)
    kept, crops = _crops(video, limits, track)
    if len(kept) < LEAST_FRAMES:
        raise MediaError(
            f"{video.name} shows the face in {len(kept)} frames only; give a clip of at least "
            f"{LEAST_FRAMES // FRAMES_PER_SECOND} s, better a minute, of one face that talks."
        )
    mel = mel_spectrogram(sound)
    codes = ear.codes(mel, len(track.sides))[kept]
    talking, resting = _talking_and_resting(crops, codes, _loudness_db(sound, len(track.sides))[kept])
    if len(talking) == len(resting):
        raise MediaError(f"Nobody is heard to speak in {video.name}; give a clip of a face that talks, with its sound.")
    pairs = pairs_of(crops, talking, resting, mask)
    aside = out / ".video.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        np.save(aside / "clip-00000.npy", mel.astype(np.float16))
        # All in one: of one face at rest there are several samples, which training draws on each other.
        faces, frame = np.unique([pair.resting for pair in pairs], return_inverse=True)
        drawn = [pair.talking for pair in pairs]
        targets = np.stack(list(targets_of(crops, pairs, mask)))
        seen = seen_codes(generator, mask, crops[faces][frame], targets, codes[drawn])
        np.savez(
            aside / "shard-00000.npz", target=targets, weights=curves_from_code(seen),
            idle=crops[faces], frame=frame, clip=np.zeros(len(pairs), np.int64), clip_frame=kept[drawn],
        )  # fmt: skip
        cv2.imwrite(str(aside / MASK), mask)
        aside.replace(folder)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return folder


def read_speech(video: Path, most_s: float) -> NDArray[np.float32]:
    """A clip's sound from its first picture on, (n,) at 16 kHz mono.

    Raises:
        MediaError: it has none, or cannot be decoded.
    """
    resampler = AudioResampler(format="flt", layout="mono", rate=SPEECH_RATE_HZ)
    parts, begin_s = [], 0.0
    try:
        with av.open(str(video)) as container:
            if not container.streams.audio or not container.streams.video:
                raise MediaError(f"{video.name} needs picture and sound; give a clip of a face that talks.")
            first = next(container.decode(video=0), None)
            picture_s = first.time or 0.0 if first is not None else 0.0
        with av.open(str(video)) as container:
            for index, frame in enumerate(container.decode(audio=0)):
                if index == 0:
                    begin_s = frame.time or 0.0
                if (frame.time or 0.0) - picture_s > most_s + 1:
                    break
                frame.pts = None
                parts += [part.to_ndarray()[0] for part in resampler.resample(frame)]
            parts += [part.to_ndarray()[0] for part in resampler.resample(None)]
    except (OSError, av.FFmpegError) as error:
        raise MediaError(f"{video.name} cannot be decoded; save it again as MP4.") from error
    if not parts:
        raise MediaError(f"The sound of {video.name} is empty; give a clip of a face that talks.")
    shift = round((begin_s - picture_s) * SPEECH_RATE_HZ)
    sound = np.concatenate(parts).astype(np.float32)
    return np.nan_to_num(np.pad(sound, (max(0, shift), 0))[max(0, -shift) :])


def _crops(video: Path, limits: Limits, track: Track) -> tuple[NDArray[np.int64], Crops]:
    """Which frames are used, (n,), and their face crops, (n, 288, 288, 3): boxes laid as on an avatar."""
    kept, crops = [], []
    for index, picture in enumerate(read_clip(video, limits)):
        height, width = picture.rgb.shape[:2]
        side = min(2 * round(track.sides[index] / 2), width, height)
        x0, y0, x1, y1 = even_boxes(track.centres[index : index + 1], side, width, height)[0]
        pushed = np.abs(np.array([x0 + x1, y0 + y1]) / 2 - track.centres[index]).max()
        if track.seen[index] and pushed < 0.08 * side:
            kept.append(index)
            crops.append(scaled_crop(picture.rgb[y0:y1, x0:x1], MASK_PX))
    return np.array(kept, np.int64), np.stack(crops) if crops else np.zeros((0, MASK_PX, MASK_PX, 3), np.uint8)


def _loudness_db(sound: Floats, frames: int) -> Floats:
    """The loudest of each frame and its neighbours, since a mouth moves before and after the sound."""
    padded = np.pad(sound, (0, max(0, frames * SAMPLES_PER_FRAME - len(sound))))[: frames * SAMPLES_PER_FRAME]
    power = np.square(padded.reshape(frames, SAMPLES_PER_FRAME)).mean(axis=1)
    level = np.pad(10 * np.log10(power + 1e-12), (1, 2), mode="edge")
    return np.asarray(sliding_window_view(level, 4).max(axis=1), np.float32)


def _talking_and_resting(
    crops: Crops, codes: Floats, loudness_db: Floats
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the crops to learn from, and of those among them in which the mouth is at rest.

    At rest is a mouth in a pause that looks like most of those. Many open the mouth before they speak; that must not
    teach that silence is open, so the other pauses are left out.
    """
    in_pause, usual = loudness_db < np.quantile(loudness_db, _LOUD_QUANTILE) - _QUIET_DB, _USUAL
    if in_pause.sum() < _LEAST_PAUSES:
        in_pause, usual = codes[:, 0] <= np.quantile(codes[:, 0], _SHUT_SHARE), 1.0
    pauses = np.flatnonzero(in_pause)
    mouths = np.stack([thumbnail(crops[index][MASK_PX // 2 :]) for index in pauses])
    away = ((mouths - np.median(mouths, axis=0)) ** 2).sum(axis=1)
    resting = pauses[away <= usual * np.median(away)]
    return np.union1d(np.flatnonzero(~in_pause), resting), resting
