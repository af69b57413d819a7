"""Engine name -> lazy loader. A new engine is a folder in ``models`` and a line here."""

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

from models.engine import Engine
from models.errors import CheckpointError, VisavisError
from models.runtime.names import DeviceName, RuntimeName
from models.store import located

_LOADERS: dict[str, tuple[str, str]] = {
    "wav2lip": ("models.wav2lip.engine", "load_engine"),
    "liveportrait": ("models.liveportrait.engine", "load_engine"),
    "probe": ("models.probe.engine", "load_engine"),
}


_WEIGHTS: dict[str, tuple[Path, bool]] = {
    "wav2lip": (Path(__file__).parent / "assets" / "wav2lip.safetensors", False),
    "liveportrait": (Path("liveportrait"), True),
}
"""What an engine takes where no weights are named, a file or a pulled checkpoint, and whether it is a folder."""
_SUFFIXES = (".safetensors", ".pth", ".pt")

MEASURING = frozenset({"probe"})
"""Engines that draw no face; they can be asked for by name but are not offered to visitors."""


def engine_names() -> tuple[str, ...]:
    """The engines that can be asked for."""
    return tuple(_LOADERS)


def load_engine(
    name: str, weights: Path | None = None, runtime: RuntimeName = "auto", device: DeviceName = "auto"
) -> Engine:
    """Import and build an engine.

    ``weights`` are a file, or a pulled checkpoint's name; None takes the shipped ones. A ``runtime`` or ``device``
    that this machine does not have is replaced, and the log says by what.

    Raises:
        VisavisError: no engine of that name.
        CheckpointError: its weights are missing or damaged.
    """
    if name not in _LOADERS:
        raise VisavisError(f"There is no engine '{name}'; choose one of: {', '.join(_LOADERS)}.")
    module, function = _LOADERS[name]
    loader: Callable[..., Engine] = getattr(import_module(module), function)
    return loader(located(weights), runtime=runtime, device=device)


def weights_files(name: str, weights: Path | None = None) -> tuple[Path, ...]:
    """The files of weights that ``load_engine`` would read; none for an engine that has no network.

    Raises:
        VisavisError: no engine of that name.
        CheckpointError: they are missing, or a file where a folder is needed, or the other way round.
    """
    if name not in _LOADERS:
        raise VisavisError(f"There is no engine '{name}'; choose one of: {', '.join(_LOADERS)}.")
    if name not in _WEIGHTS:
        return ()
    usual, is_folder = _WEIGHTS[name]
    found = located(weights or usual)
    if found is not None and is_folder and found.is_dir():
        return tuple(sorted(path for path in found.rglob("*") if path.suffix in _SUFFIXES))
    if found is not None and not is_folder and found.is_file():
        return (found,)
    kind = "a folder" if is_folder else "a file"
    raise CheckpointError(
        f"Engine '{name}' takes {kind} of weights, and {(weights or usual).name} is none; name another."
    )
