"""What weights of a person's own are worth: a head that no training saw, before and after its talking clip.

    python -m tests.bench.own_weights --steps 1500 --out DIR

The studio draws a held-out member of its cast: an avatar, and a clip in which it talks. ``visavis train wav2lip
--video`` makes weights out of the clip, and both they and the shipped ones are judged as ``visavis bench quality``
does: held-out sentences and voices against the studio's renders. A run that was killed goes on where it stopped.
"""

import argparse
import os
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from models.aside import written_aside
from models.avatar import load_avatar
from models.quality.report import Options, measure
from models.quality.threads import one_thread
from models.quality.truth import Truth
from models.registry import load_engine
from models.studio.avatar_builder import build_avatar
from models.studio.cast import HELD_OUT_FROM, member
from models.studio.speech import speak
from models.studio.stage import Stage
from models.studio.texts import pick
from models.studio.visemes import curves
from models.timebase import FRAMES_PER_SECOND, WIRE_RATE_HZ
from models.wav2lip.weights import ASSET
from server import cli
from server.bench import through_network
from server.render import draw

_VOICE = "espeak:en-us+f1"
_FIGURES = (
    "psnr_db",
    "ssim",
    "sharpness_ratio",
    "mouth_correlation",
    "amplitude_ratio",
    "closure_recall",
    "leak_correlation",
)


def speech(seconds: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What the clip's person says, as one training voice says it: sound at 48 kHz and (frames, 52) weights."""
    rng, sounds, mouths, frames = np.random.default_rng(1), [], [], 0
    while frames < seconds * FRAMES_PER_SECOND:
        utterance = speak(pick("en", rng), _VOICE, len(sounds))
        mouth = curves(utterance.phones, utterance.duration_s)
        sound = soxr.resample(utterance.samples, utterance.sample_rate_hz, WIRE_RATE_HZ)
        whole = np.zeros(len(mouth) * WIRE_RATE_HZ // FRAMES_PER_SECOND, np.float32)
        whole[: len(sound)] = sound[: len(whole)]
        pause = np.zeros((FRAMES_PER_SECOND // 2, mouth.shape[1]), np.float32)
        sounds += [whole, np.zeros(len(pause) * WIRE_RATE_HZ // FRAMES_PER_SECOND, np.float32)]
        mouths += [mouth, pause]
        frames += len(mouth) + len(pause)
    return np.concatenate(sounds), np.concatenate(mouths)


def write_talk(path: Path, stage: Stage, seconds: float) -> None:
    """The head saying it, as a camera's MP4."""
    sound, mouths = speech(seconds)
    with written_aside(path) as aside, av.open(str(aside), "w", format="mp4") as container:
        video = container.add_stream("libx264", rate=FRAMES_PER_SECOND, options={"crf": "20"})
        video.width = video.height = stage.render_frame(0).shape[0]
        video.pix_fmt = "yuv420p"
        audio = container.add_stream("aac", rate=WIRE_RATE_HZ, layout="mono")
        for frame, mouth in enumerate(tqdm(mouths, unit="frame", desc="clip")):
            picture = av.VideoFrame.from_ndarray(stage.render_frame(frame, mouth), format="rgb24")
            picture.pts, picture.time_base = frame, Fraction(1, FRAMES_PER_SECOND)
            container.mux(video.encode(picture))
        heard = av.AudioFrame.from_ndarray(sound[np.newaxis], format="fltp", layout="mono")
        heard.sample_rate, heard.pts, heard.time_base = WIRE_RATE_HZ, 0, Fraction(1, WIRE_RATE_HZ)
        container.mux(audio.encode(heard))
        for stream in (video, audio):
            container.mux(stream.encode(None))


def judged(avatar: Path, stage: Stage, weights: Path, seconds: float) -> dict[str, float]:
    """The report's figures of merit."""
    loaded = load_avatar(avatar)
    with one_thread():
        report = measure(
            draw, through_network, load_engine("wav2lip", weights), loaded, weights,
            Options(seconds=seconds), Truth(loaded, stage),
        ).report  # fmt: skip
    return {name: report[name] for name in _FIGURES}


def main() -> int:
    """Run and print."""
    parser = argparse.ArgumentParser(description="A head that no training saw, before and after its talking clip.")
    parser.add_argument("--member", type=int, default=HELD_OUT_FROM, help="of the cast (%(default)s)")
    parser.add_argument("--clip-s", type=float, default=60.0, help="length of its clip (%(default)g)")
    parser.add_argument("--steps", type=int, default=1500, help="of training (%(default)s)")
    parser.add_argument("--seconds", type=float, default=24.0, help="speech to judge by (%(default)g)")
    parser.add_argument("--out", type=Path, required=True, help="folder of the avatar, clip and weights")
    options = parser.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    identity = member(options.member)
    stage, avatar, talk = Stage(identity), options.out / identity.name, options.out / "talk.mp4"
    if not avatar.is_dir():
        build_avatar(identity, avatar)
    if not talk.is_file():
        write_talk(talk, stage, options.clip_s)
    trained = options.out / "weights"
    command = ["train", "wav2lip", "--video", str(talk), "--avatar", str(avatar), "--out", str(trained)]
    if cli.main([*command, "--video-s", f"{options.clip_s:g}", "--steps", str(options.steps)]):
        return 1
    rows = {"shipped": ASSET, "own": trained / "wav2lip.safetensors"}
    figures = {name: judged(avatar, stage, weights, options.seconds) for name, weights in rows.items()}
    print(f"{identity.name:18}" + "".join(f"{name:>10}" for name in figures))
    for name in _FIGURES:
        print(f"{name:18}" + "".join(f"{row[name]:10.3f}" for row in figures.values()))
    print("load average:", *(f"{value:.2f}" for value in os.getloadavg()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
