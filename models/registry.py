"""Engine name -> lazy loader. A new engine is a folder in ``models`` and a line here."""

from collections.abc import Callable, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from models.engine import Engine
from models.errors import CheckpointError, VisavisError
from models.runtime.names import DeviceName, RuntimeName
from models.store import located

_LOADERS: dict[str, tuple[str, str]] = {
    "wav2lip": ("models.wav2lip.engine", "load_engine"),
    "liveportrait": ("models.liveportrait.engine", "load_engine"),
    "probe": ("models.probe.engine", "load_engine"),
}
_FOLDERS: dict[str, tuple[str, str]] = {"liveportrait": ("models.liveportrait.files", "weights_folder")}
"""What finds the folder of weights of engines that come without, and raises CheckpointError where there is none."""
_SHIPPED = {"wav2lip": Path(__file__).parent / "assets" / "wav2lip.safetensors"}
_SUFFIXES = (".safetensors", ".pth", ".pt")

MEASURING = frozenset({"probe"})
"""Engines that draw no face; they can be asked for by name but are not offered to visitors."""


def engine_names() -> tuple[str, ...]:
    """The engines that can be asked for."""
    return tuple(_LOADERS)


def weights_files(name: str, weights: Path | None = None) -> tuple[Path, ...]:
    """The files of weights that ``load_engine`` would read; none for an engine that has no network.

    Raises:
        VisavisError: no engine of that name.
        CheckpointError: they are missing, or a file where a folder is needed, or the other way round; the message names
            the command that mends it.
    """
    _check(name)
    found = located(weights)
    if name in _FOLDERS:
        module, function = _FOLDERS[name]
        folder: Path = getattr(import_module(module), function)(found)
        return tuple(sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES))
    file = found or _SHIPPED.get(name)
    if file is None:
        return ()
    if not file.is_file():
        raise CheckpointError(f"Engine '{name}' takes a file of weights, and {file.name} is none; name another.")
    return (file,)


def missing_weights(name: str, weights: Path | None = None) -> str:
    """Why an engine could not be loaded, and the command that mends it; empty where its weights are here.

    Files are looked for, not read. ``weights`` as for ``load_engine``.
    """
    try:
        weights_files(name, weights)
    except CheckpointError as error:
        return str(error)
    return ""


def load_engine(
    name: str,
    weights: Path | None = None,
    runtime: RuntimeName = "auto",
    device: DeviceName = "auto",
    options: Mapping[str, Any] | None = None,
) -> Engine:
    """Import and build an engine.

    ``weights`` are a file, or a pulled checkpoint's name; None takes the shipped ones. A ``runtime`` or ``device``
    that this machine does not have is replaced, and the log says by what. ``options`` are keywords that this engine's
    own ``load_engine`` takes besides.

    Raises:
        VisavisError: no engine of that name.
        CheckpointError: its weights are missing or damaged.
    """
    _check(name)
    module, function = _LOADERS[name]
    loader: Callable[..., Engine] = getattr(import_module(module), function)
    return loader(located(weights), runtime=runtime, device=device, **(options or {}))


def _check(name: str) -> None:
    if name not in _LOADERS:
        raise VisavisError(f"There is no engine '{name}'; choose one of: {', '.join(_LOADERS)}.")
