"""Which engine for which need, from figures measured on this machine."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from models.checkpoints import CHECKPOINTS
from models.machine_figures import Figure
from models.timebase import FRAME_MS, FRAMES_PER_SECOND


@dataclass(frozen=True)
class Recommendation:
    """An engine for a need."""

    need: str
    """``real-time``, ``quality``, ``head motion`` or ``budget``."""
    engine: str | None
    """None where no engine meets it on this machine."""
    live: bool
    """Whether it keeps up with a session here; else it renders films."""
    reason: str
    """In words, with the figures; what is missing, and the command that fetches it."""


def recommend(figures: Sequence[Figure], has_gpu: bool) -> list[Recommendation]:
    """An engine a need. ``has_gpu``: whether this machine has one that PyTorch can use."""
    moving = [figure for figure in figures if figure.moves_head]
    return [
        _real_time(figures, has_gpu),
        _best("quality", figures, lambda figure: figure.side_px, "draws the largest face", has_gpu),
        _best("head motion", moving, lambda figure: figure.fps, "is the fastest that moves the head", has_gpu),
        _best("budget", figures, lambda figure: figure.fps, "takes the least time a frame", has_gpu),
    ]


def is_live(figure: Figure) -> bool:
    """Whether an engine draws a frame in a frame's time."""
    return figure.ms_per_frame <= FRAME_MS


def missing(figure: Figure) -> str:
    """A sentence on the weights that are missing, and how to get them; empty where none are."""
    if not figure.random_weights:
        return ""
    name = next(c.name for c in CHECKPOINTS.values() if c.engine == figure.engine)
    command = f"visavis models pull {name} --accept-licence"
    return f" It was measured with random weights of the same size; to use it, get the weights: {command}."


def _real_time(figures: Sequence[Figure], has_gpu: bool) -> Recommendation:
    live = [figure for figure in figures if is_live(figure)]
    if not live:
        nearest = max(figures, key=lambda figure: figure.fps, default=None)
        speed = "" if nearest is None else f" The fastest, {nearest.engine}, draws {nearest.fps:.3g}."
        reason = f"No engine draws {FRAMES_PER_SECOND} frames a second here.{speed}{_gpu(has_gpu)}"
        return Recommendation("real-time", None, False, reason)
    # Of those that keep up, one that moves the head shows more; then the larger face.
    best = max(live, key=lambda figure: (figure.moves_head, figure.side_px, figure.fps))
    slower = [figure for figure in figures if figure.moves_head and not is_live(figure)]
    reason = f"{best.engine} draws {best.fps:.3g} frames a second here, {best.ms_per_frame:.3g} ms each."
    if slower and not best.moves_head:
        names = " and ".join(f"{figure.engine} ({figure.fps:.2g} frames a second)" for figure in slower)
        reason += f" The head stays with the idle loop: {names} move it, but not in real time here.{_gpu(has_gpu)}"
    return Recommendation("real-time", best.engine, True, reason + missing(best))


def _best(
    need: str, figures: Sequence[Figure], merit: Callable[[Figure], float], praise: str, has_gpu: bool
) -> Recommendation:
    best = max(figures, key=lambda figure: (merit(figure), figure.fps), default=None)
    if best is None:
        return Recommendation(need, None, False, "No engine of that kind could be measured here.")
    live = is_live(best)
    reason = f"{best.engine} {praise}: {best.side_px} px, {best.ms_per_frame:.3g} ms a frame here."
    if not live:
        seconds = best.ms_per_frame * FRAMES_PER_SECOND / 1000
        reason += f" It is for films: a second of video takes {seconds:.3g} s to draw.{_gpu(has_gpu)}"
    return Recommendation(need, best.engine, live, reason + missing(best))


def _gpu(has_gpu: bool) -> str:
    return "" if has_gpu else " A GPU is missing, and would change that."
