"""An engine speaks the held-out set, frame by frame beside the truth."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.avatar import Avatar
from models.engine import Engine
from models.quality import measures
from models.quality.measures import Curve, Inside
from models.quality.opening import OpeningGauge
from models.quality.region import MouthRegion
from models.quality.speech_set import Sound, SpeechSet
from models.quality.truth import Truth
from models.timebase import FRAME_MS, FRAMES_PER_SECOND, WIRE_RATE_HZ

Draw = Callable[[Engine, Avatar, Iterator[Sound]], Iterator[NDArray[np.uint8]]]
"""The offline route of a session: engine, avatar, chunks at 48 kHz -> one I420 picture every 40 ms."""

CLOSURE_WITHIN_S = 0.040
_CLEARLY_OPEN = 0.2
_SPOKEN = 0.1
_AROUND_FRAMES = 4
_CHUNK_SAMPLES = WIRE_RATE_HZ // FRAMES_PER_SECOND


@dataclass
class Pictures:
    """What was seen of one way of hearing, a value a frame."""

    mean_square: list[float] = field(default_factory=list)
    """NaN where nobody talks: pictures are compared in speech only."""
    ssim: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    opening_mm: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Trial:
    """Everything the figures are taken from."""

    speech: SpeechSet
    label_mm: Curve
    """(n,) opening by the mesh."""
    render: Pictures
    """The truth, measured as the drawn pictures are; its ``mean_square`` and ``ssim`` are empty."""
    drawn: Mapping[str, Pictures]
    """By the name of the sound."""
    talking: Inside
    """(n,) frames in speech, with ``_AROUND_FRAMES`` before and after."""


@dataclass(frozen=True)
class Figures:
    """Figures of merit of some frames; the bars are in ``report``."""

    frames: int
    mouth_correlation: float
    lag_ms: float | None
    lagged_correlation: float | None
    amplitude_ratio: float
    closures: int
    closure_recall: float | None
    false_closures: float | None
    psnr_db: float
    ssim: float
    sharpness_ratio: float


def chunks(sound: Sound) -> Iterator[Sound]:
    """(n,) at 48 kHz as the 40 ms it is heard in."""
    for start in range(0, len(sound), _CHUNK_SAMPLES):
        yield sound[start : start + _CHUNK_SAMPLES]


def run_trial(
    draw: Draw,
    engine: Engine,
    avatar: Avatar,
    truth: Truth,
    gauge: OpeningGauge,
    speech: SpeechSet,
    sounds: Mapping[str, Sound],
    progress: Callable[[int], object] = lambda frames: None,
) -> Trial:
    """Draw the set once for each of ``sounds`` (ways of hearing the same speech) and the truth beside them."""
    label = np.array([truth.opening_mm(frame, mouth) for frame, mouth in enumerate(speech.mouths)])
    talking = measures.dilated(label > _SPOKEN * gauge.range_mm, _AROUND_FRAMES)
    region = MouthRegion(avatar)
    render, drawn = Pictures(), {name: Pictures() for name in sounds}
    films = {name: draw(engine, avatar, chunks(sound)) for name, sound in sounds.items()}
    for frame, mouth in enumerate(speech.mouths):
        true_picture = truth.picture(frame, mouth)
        true_cut = region.cut(true_picture, frame)
        _see(render, gauge.measure(true_picture, frame), true_cut, None, region.inside, bool(talking[frame]))
        for name, film in films.items():
            picture = next(film)
            cut = region.cut(picture, frame)
            _see(drawn[name], gauge.measure(picture, frame), cut, true_cut, region.inside, bool(talking[frame]))
        progress(1)
    return Trial(speech, label, render, drawn, talking)


def _see(
    seen: Pictures,
    opening_mm: float,
    cut: NDArray[np.uint8],
    true_cut: NDArray[np.uint8] | None,
    inside: Inside,
    is_talking: bool,
) -> None:
    seen.opening_mm.append(opening_mm)
    grey = measures.luma(cut) if is_talking else None
    seen.sharpness.append(np.nan if grey is None else measures.sharpness(grey, inside))
    if true_cut is not None:
        seen.mean_square.append(np.nan if grey is None else measures.mean_square_error(cut, true_cut, inside))
        seen.ssim.append(np.nan if grey is None else measures.ssim(grey, measures.luma(true_cut), inside))


def figures(trial: Trial, name: str, gauge: OpeningGauge, voice: str | None = None) -> Figures:
    """The figures of one way of hearing, of all voices or of one."""
    spans = [clip.frames for clip in trial.speech.clips if voice in (None, clip.voice)]
    own = np.zeros(len(trial.speech), dtype=np.bool_)
    for span in spans:
        own[span] = True
    seen, chosen = trial.drawn[name], trial.talking & own
    drawn, render = np.array(seen.opening_mm), np.array(trial.render.opening_mm)
    closures = [time_s for time_s in trial.speech.closures_s if own[int(time_s * FRAMES_PER_SECOND)]]
    lag = measures.best_lag(trial.label_mm, drawn, chosen, FRAME_MS)
    return Figures(
        frames=int(chosen.sum()),
        mouth_correlation=measures.correlation(trial.label_mm[chosen], drawn[chosen]),
        lag_ms=None if lag is None else lag.lag_ms,
        lagged_correlation=None if lag is None else lag.correlation,
        amplitude_ratio=measures.amplitude_ratio(drawn[chosen], render[chosen]),
        closures=len(closures),
        closure_recall=measures.closure_recall(
            drawn, closures, gauge.shut_below_mm, CLOSURE_WITHIN_S, FRAMES_PER_SECOND
        ),
        false_closures=measures.false_closures(
            drawn, render, gauge.shut_below_mm, _CLEARLY_OPEN * gauge.range_mm, chosen
        ),
        psnr_db=measures.psnr_db(float(np.mean(np.array(seen.mean_square)[chosen]))),
        ssim=float(np.mean(np.array(seen.ssim)[chosen])),
        sharpness_ratio=float(
            np.mean(np.array(seen.sharpness)[chosen]) / np.mean(np.array(trial.render.sharpness)[chosen])
        ),
    )


def render_recall(trial: Trial, gauge: OpeningGauge) -> float | None:
    """Closure recall of the truth itself: the most an engine can reach by this gauge."""
    return measures.closure_recall(
        np.array(trial.render.opening_mm),
        trial.speech.closures_s,
        gauge.shut_below_mm,
        CLOSURE_WITHIN_S,
        FRAMES_PER_SECOND,
    )


def pause_opening(trial: Trial, name: str, gauge: OpeningGauge) -> float:
    """95th percentile of the opening in the pauses between sentences, as a share of the range."""
    moving = np.asarray(trial.speech.mouths.any(axis=1), dtype=np.bool_)
    resting = ~measures.dilated(moving, _AROUND_FRAMES)
    return share_p95(np.array(trial.drawn[name].opening_mm)[resting], gauge)


def share_p95(opening_mm: Curve, gauge: OpeningGauge) -> float:
    """95th percentile of an opening, as a share of the range speech opens the mouth."""
    return float(np.quantile(opening_mm, 0.95)) / gauge.range_mm if len(opening_mm) else 0.0
