"""The published checkpoints visavis knows: what each is, where it can be had, and on what terms.

A new engine adds entries here and a function that checks a file (see ``Checkpoint.checker``). Repositories are
mirrors by others unless an entry says so: what makes them safe is the sha256, and a file is only ever read as tensors.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from models.errors import CheckpointError
from models.hub import HubFile


@dataclass(frozen=True)
class Licence:
    """Terms of use."""

    name: str
    """SPDX name, or the terms in a word."""
    terms: str
    """What one accepts, in a sentence or two."""


@dataclass(frozen=True)
class PublishedFile:
    """One file of a checkpoint."""

    name: str
    megabytes: int
    """About how large it is."""
    sources: tuple[HubFile, ...]
    """Where to fetch it, tried in this order."""
    sha256: str | None = None
    """None where none is known: the first pull's is then recorded, and enforced from then on."""


@dataclass(frozen=True)
class Checkpoint:
    """One or more files that belong together."""

    name: str
    engine: str
    """The engine that runs it."""
    title: str
    licence: Licence
    files: tuple[PublishedFile, ...]
    checker: tuple[str, str]
    """Module and function, file -> what it holds; raises CheckpointError where that cannot be used."""
    origin: str
    """The authors' own page."""
    draws: bool = True
    """Whether a server can be started with it; False for what is of use in training or offline only."""

    def check(self, path: Path) -> str:
        """What a file of this checkpoint holds, read whole and strictly.

        Raises:
            CheckpointError: it is damaged or of another architecture.
        """
        module, function = self.checker
        checker: Callable[[Path], str] = getattr(import_module(module), function)
        return checker(path)


_WAV2LIP_LICENCE = Licence(
    "non-commercial",
    "Wav2Lip's authors give these weights for personal, research and non-commercial use only: they were trained on "
    "the LRS2 data set, and any commercial use of them, or of what they draw, is prohibited.",
)


def _wav2lip(
    name: str, title: str, file: str, megabytes: int, sha256: str | None, *sources: tuple[str, str]
) -> Checkpoint:
    return Checkpoint(
        name=name,
        engine="wav2lip",
        title=title,
        licence=_WAV2LIP_LICENCE,
        files=(PublishedFile(file, megabytes, tuple(HubFile(*source) for source in sources), sha256),),
        checker=("models.wav2lip.published", "check"),
        origin="github.com/Rudrabha/Wav2Lip",
        draws=name in ("wav2lip", "wav2lip-gan"),
    )


_LIVEPORTRAIT_LICENCE = Licence(
    "MIT", "KwaiVGI gives these weights under the MIT licence: any use, as long as its notice stays with them."
)
_LIVEPORTRAIT_FILES = (
    ("appearance_feature_extractor", "base_models", 4),
    ("motion_extractor", "base_models", 113),
    ("warping_module", "base_models", 182),
    ("spade_generator", "base_models", 222),
    ("stitching_retargeting_module", "retargeting_models", 3),
)


def _liveportrait() -> Checkpoint:
    repository = "KwaiVGI/LivePortrait"
    return Checkpoint(
        name="liveportrait",
        engine="liveportrait",
        title="LivePortrait, all five networks for people",
        licence=_LIVEPORTRAIT_LICENCE,
        files=tuple(
            PublishedFile(f"{stem}.pth", megabytes, (HubFile(repository, f"liveportrait/{folder}/{stem}.pth"),))
            for stem, folder, megabytes in _LIVEPORTRAIT_FILES
        ),
        checker=("models.liveportrait.weights", "check"),
        origin="github.com/KwaiVGI/LivePortrait",
    )


def _liveportrait_landmarks() -> Checkpoint:
    source = HubFile("KwaiVGI/LivePortrait", "liveportrait/landmark.onnx")
    return Checkpoint(
        name="liveportrait-landmarks",
        engine="liveportrait",
        title="LivePortrait's landmark model, which retargeting eyes and lips needs",
        licence=_LIVEPORTRAIT_LICENCE,
        files=(PublishedFile("landmark.onnx", 115, (source,)),),
        checker=("models.liveportrait.landmark_model", "check"),
        origin="github.com/KwaiVGI/LivePortrait",
        draws=False,
    )


_SADTALKER_LICENCE = Licence(
    "Apache-2.0",
    "SadTalker's authors give code and weights under Apache-2.0, except third-party parts: the expression basis the "
    "coefficients refer to and the audio encoder the weights were started from are for non-commercial research.",
)
_SADTALKER_REPO = "vinthony/SadTalker-V002rc"


def _sadtalker(name: str, size_px: int, sha256: str) -> Checkpoint:
    files = (
        (f"SadTalker_V0.0.2_{size_px}.safetensors", 725, sha256),
        ("mapping_00229-model.pth.tar", 156, "62a1e06006cc963220f6477438518ed86e9788226c62ae382ddc42fbcefb83f1"),
        ("mapping_00109-model.pth.tar", 156, "84a8642468a3fcfdd9ab6be955267043116c2bec2284686a5262f1eaf017f64c"),
    )
    return Checkpoint(
        name=name,
        engine="sadtalker",
        title=f"SadTalker, films of a picture that speaks, drawn at {size_px} pixels",
        licence=_SADTALKER_LICENCE,
        files=tuple(
            PublishedFile(file, megabytes, (HubFile(_SADTALKER_REPO, file),), digest)
            for file, megabytes, digest in files
        ),
        checker=("models.sadtalker.weights", "check"),
        origin="github.com/OpenTalker/SadTalker",
        draws=False,
    )


CHECKPOINTS: dict[str, Checkpoint] = {
    checkpoint.name: checkpoint
    for checkpoint in (
        _wav2lip(
            "wav2lip",
            "Wav2Lip, the generator with the more accurate lips",
            "wav2lip.pth",
            436,
            "b78b681b68ad9fe6c6fb1debc6ff43ad05834a8af8a62ffc4167b7b34ef63c37",
            ("numz/wav2lip_studio", "Wav2lip/wav2lip.pth"),
            ("Nekochu/Wav2Lip", "wav2lip.pth"),
        ),
        _wav2lip(
            "wav2lip-gan",
            "Wav2Lip, the generator with the sharper picture",
            "wav2lip_gan.pth",
            436,
            "ca9ab7b7b812c0e80a6e70a5977c545a1e8a365a6c49d5e533023c034d7ac3d8",
            ("numz/wav2lip_studio", "Wav2lip/wav2lip_gan.pth"),
            ("camenduru/Wav2Lip", "checkpoints/wav2lip_gan.pth"),
        ),
        _wav2lip(
            "wav2lip-expert",
            "Wav2Lip's lip-sync expert, for training",
            "lipsync_expert.pth",
            197,
            "9b9936c721696446eeed353032cab242a8cf0eed8c46cde540366f6ae5493be5",
            ("Nekochu/Wav2Lip", "lipsync_expert.pth"),
            ("camenduru/Wav2Lip", "checkpoints/lipsync_expert.pth"),
        ),
        _wav2lip(
            "wav2lip-disc",
            "Wav2Lip's quality discriminator, for training",
            "visual_quality_disc.pth",
            169,
            None,
            ("Nekochu/Wav2Lip", "visual_quality_disc.pth"),
        ),
        _liveportrait(),
        _liveportrait_landmarks(),
        _sadtalker("sadtalker", 256, "c211f5d6de003516bf1bbda9f47049a4c9c99133b1ab565c6961e5af16477bff"),
        _sadtalker("sadtalker-512", 512, "0e063f7ff5258240bdb0f7690783a7b1374e6a4a81ce8fa33456f4cd49694340"),
    )
}


def find(name: str) -> Checkpoint:
    """A checkpoint by name.

    Raises:
        CheckpointError: there is none of that name.
    """
    if name not in CHECKPOINTS:
        raise CheckpointError(f"There is no checkpoint '{name}'; choose one of: {', '.join(CHECKPOINTS)}.")
    return CHECKPOINTS[name]
