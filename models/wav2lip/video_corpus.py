"""A training corpus out of a person's own talking clip, for weights of that person's own.

A clip has no true mouth codes, so those that the ear hears in its sound stand for them: the same codes that the
face will be drawn from. Nor does it show the same pose with the mouth at rest, so that is put together: the frame
as it is, and under the nose the mouth of the frame nearest in pose among those in which the mouth is shut, laid on
by a rigid alignment of the upper faces (Evangelidis & Psarakis, "Parametric image alignment using enhanced
correlation coefficient maximization", 2008). So the upper half and the pose tell nothing of the mouth.

Shut is a mouth that the ear hears shut and that looks like most of those. Many open the mouth before they speak;
that must not teach that silence is open, so what is heard shut and looks otherwise is left out.

The format is that of a corpus with faces of its own, see ``models.wav2lip.corpus``: each sample has its own.
"""

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from av.audio.resampler import AudioResampler
from numpy.typing import NDArray

from models.audio.mel import mel_spectrogram
from models.errors import MediaError
from models.face.pictures import Limits, read_clip
from models.face.placement import MASK_PX, even_boxes
from models.face.track import Track, follow
from models.motion.ear import Ear
from models.studio.visemes import curves_from_code
from models.timebase import FRAMES_PER_SECOND, SPEECH_RATE_HZ
from models.wav2lip.corpus import MASK
from models.wav2lip.pixels import scaled_crop

SHARD_SAMPLES = 250
LEAST_FRAMES = 4 * FRAMES_PER_SECOND
_SHUT_SHARE = 0.15
"""Of the frames, those in which the jaw is heard least open."""
_POSE_PX = (32, 16)
_ALIGN_PX = 96
_MOTION_STEPS = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 1e-4)
Crops = NDArray[np.uint8]


def video_corpus(video: Path, mask: NDArray[np.uint8], out: Path, ear: Ear, most_s: float) -> Path:
    """The corpus of a clip, in a folder of ``out`` that is made if it is not there yet.

    Args:
        video: a clip of one face that talks, with its sound.
        mask: the blend mask of the person's avatar.
        out: where the corpus's folder goes.
        ear: the one that the weights will have.
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
    learned, rest = _learned_and_rest(crops, codes)
    rest = np.searchsorted(learned, rest)
    kept, crops, codes = kept[learned], crops[learned], codes[learned]
    aside = out / ".video.part"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        np.save(aside / "clip-00000.npy", mel.astype(np.float16))
        idle = _with_mouths_of(crops, rest, mask)
        for shard, first in enumerate(range(0, len(kept), SHARD_SAMPLES)):
            part = slice(first, first + SHARD_SAMPLES)
            count = len(kept[part])
            np.savez(
                aside / f"shard-{shard:05d}.npz",
                target=crops[part], weights=curves_from_code(codes[part]), frame=np.arange(count),
                idle=np.stack([next(idle) for _ in range(count)]), clip=np.zeros(count, np.int64),
                clip_frame=kept[part],
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


def _learned_and_rest(crops: Crops, codes: NDArray[np.float32]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Indices of the crops to learn from, and of those among them in which the mouth is at rest."""
    heard_shut = codes[:, 0] <= np.quantile(codes[:, 0], _SHUT_SHARE)
    shut = np.flatnonzero(heard_shut)
    mouths = np.stack([_small(crops[index][MASK_PX // 2 :]) for index in shut])
    away = ((mouths - np.median(mouths, axis=0)) ** 2).sum(axis=1)
    rest = shut[away <= np.median(away)]
    return np.union1d(np.flatnonzero(~heard_shut), rest), rest


def _with_mouths_of(crops: Crops, rest: NDArray[np.int64], mask: NDArray[np.uint8]) -> Iterator[Crops]:
    """Every crop with the mouth of the one nearest in pose among ``rest``."""
    poses = np.stack([_small(crop[: MASK_PX // 2]) for crop in crops])
    scaled = cv2.resize(mask, (MASK_PX, MASK_PX), interpolation=cv2.INTER_AREA)
    weight = (scaled.astype(np.float32) / 255)[..., np.newaxis]
    for index, crop in enumerate(crops):
        others = rest[rest != index]
        nearest = others[int(((poses[others] - poses[index]) ** 2).sum(axis=1).argmin())]
        moved = _laid_on(crops[nearest], crop)
        yield np.round(crop + weight * (moved.astype(np.float32) - crop)).astype(np.uint8)


def _small(half: Crops) -> NDArray[np.float32]:
    """Half a crop, small: alike where the head is turned alike, or the mouth open alike."""
    grey = cv2.cvtColor(half, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, _POSE_PX, interpolation=cv2.INTER_AREA), np.float32).ravel()


def _laid_on(source: Crops, onto: Crops) -> Crops:
    """``source`` moved so that its upper half lies on that of ``onto``; as it is, where no way is found."""
    scale = _ALIGN_PX / len(source)
    grey = [
        cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (_ALIGN_PX, _ALIGN_PX), interpolation=cv2.INTER_AREA)
        for crop in (onto, source)
    ]
    upper = np.zeros((_ALIGN_PX, _ALIGN_PX), np.uint8)
    upper[: _ALIGN_PX // 2] = 255
    begin = np.eye(2, 3, dtype=np.float32)
    try:
        _, found = cv2.findTransformECC(grey[0], grey[1], begin, cv2.MOTION_EUCLIDEAN, _MOTION_STEPS, upper, 5)
    except cv2.error:
        return source
    motion = np.asarray(found, np.float32)
    motion[:, 2] /= scale
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(source, motion, source.shape[1::-1], flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.uint8)
