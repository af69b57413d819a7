"""How fast this engine draws on this machine, with the weights it will use."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from models.audio.encoder import WINDOW_COLUMNS
from models.audio.mel import N_MELS
from models.avatar import load_avatar
from models.engine import RenderRequest
from models.machine_figures import best_ms
from models.timebase import SAMPLES_PER_FRAME
from models.wav2lip.engine import load_engine

_SECONDS = 1.0
_AVATAR = Path(__file__).parents[1] / "assets" / "avatars" / "ada"


def measure() -> dict[str, Any]:
    """The shipped weights on a shipped face, as the fields of ``machine_figures.Figure``."""
    engine = load_engine(None)
    whole = load_avatar(_AVATAR)
    # One frame of it is enough to draw on, and preparing each takes time.
    avatar = replace(whole, frames_i420=whole.frames_i420[:1], boxes=whole.boxes[:1])
    mel = np.random.default_rng(0).uniform(-4, 4, (N_MELS, WINDOW_COLUMNS)).astype(np.float32)
    request = RenderRequest(engine.prepare(avatar), None, 0, mel, np.zeros(SAMPLES_PER_FRAME, np.float32))
    ms = best_ms(lambda: engine.render([request]), _SECONDS, least=3)
    return {
        "engine": "wav2lip",
        "title": "Wav2Lip, the shipped weights",
        "moves_head": False,
        "random_weights": False,
        "side_px": engine.info.size,
        "ms_per_frame": ms,
    }
