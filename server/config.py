"""Settings: configs/default.yaml < your YAML < environment < flags. Read once, validated once, frozen."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    YamlConfigSettingsSource,
)

from models.errors import VisavisError
from models.runtime.names import DeviceName, RuntimeName
from server.paths import CONFIGS, own_avatars, own_jobs, own_recordings


class SettingsError(VisavisError):
    """A setting is unknown or has a value that cannot be."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(_Section):
    """The HTTP listener."""

    host: str
    port: int = Field(ge=0, le=65535)
    tls_certificate: Path | None
    tls_key: Path | None
    max_offer_bytes: int = Field(ge=1024)


class IceSettings(_Section):
    """How peers reach us."""

    host_addresses: tuple[str, ...]
    port_range: tuple[int, int] | None
    stun_urls: tuple[str, ...]
    turn_urls: tuple[str, ...]
    turn_secret: str | None
    turn_credential_s: int = Field(gt=0)


class SessionSettings(_Section):
    """How many sessions, and when one is given up."""

    max_sessions: int = Field(ge=1)
    connect_timeout_s: float = Field(gt=0)
    vanish_timeout_s: float = Field(gt=0)


class AvatarSettings(_Section):
    """Which faces there are."""

    default: str
    folders: tuple[Path, ...]
    own_folder: Path | None
    most_loaded: int = Field(ge=1)
    uploads: Literal["loopback", "everyone", "nobody"]
    max_own: int = Field(ge=1)
    max_upload_bytes: int = Field(ge=1024)
    max_megapixels: float = Field(gt=0)
    max_clip_s: float = Field(gt=0)
    make_timeout_s: float = Field(gt=0)

    @property
    def own(self) -> Path:
        """The folder that added avatars go to."""
        return self.own_folder or own_avatars()


class LivePortraitSettings(_Section):
    """How LivePortrait animates live; the fields of ``models.liveportrait.live_settings.LiveSettings``."""

    face_px: Literal[128, 256]
    relative: bool
    stitching: bool
    region: Literal["all", "exp", "pose", "lip", "eyes"]
    multiplier: float = Field(ge=0, le=2)
    normalize_lip: bool
    eye_retargeting: bool
    lip_retargeting: bool
    camera_cutoff_hz: float = Field(gt=0, le=25)
    camera_beta: float = Field(ge=0, le=10)


class EngineSettings(_Section):
    """What draws the face."""

    name: str
    weights: Path | None
    device: DeviceName
    runtime: RuntimeName
    threads: int | None = Field(ge=1)
    max_batch: int = Field(ge=1)
    liveportrait: LivePortraitSettings

    def weights_of(self, name: str) -> Path | None:
        """An engine's weights: those that are set belong to the default engine, not to another one of an offer."""
        return self.weights if name == self.name else None

    def loading(self, name: str) -> dict[str, Any]:
        """The keyword arguments of ``models.registry.load_engine`` for an engine."""
        options = {"live": self.liveportrait.model_dump()} if name == "liveportrait" else {}
        how = {"runtime": self.runtime, "device": self.device, "options": options}
        return {"weights": self.weights_of(name)} | how


class PlayoutSettings(_Section):
    """When frames leave."""

    render_budget_ms: float = Field(ge=10, le=1000)


class JobSettings(_Section):
    """Offline renders: where they are kept, and how much of them."""

    folder: Path | None
    workers: int = Field(ge=0, le=64)
    backend: Literal["local", "ray"]
    ray_address: str | None
    ray_gpus: float = Field(ge=0)
    max_waiting: int = Field(ge=1)
    max_upload_bytes: int = Field(ge=1024)
    max_sound_s: float = Field(gt=0)
    chunk_frames: int = Field(ge=8, multiple_of=8)
    lease_s: float = Field(ge=1)
    max_attempts: int = Field(ge=1)
    keep_s: float = Field(gt=0)
    sadtalker_weights: Path | None
    enhancer: Path | None

    @property
    def place(self) -> Path:
        """The folder jobs are kept in."""
        return self.folder or own_jobs()


class RecordingSettings(_Section):
    """Live sessions that are recorded: whether, where, and how much of them."""

    allow: Literal["loopback", "everyone", "nobody"]
    folder: Path | None
    max_s: float = Field(ge=1)
    max_bytes: int = Field(ge=0)
    keep_s: float = Field(gt=0)

    @property
    def place(self) -> Path:
        """The folder recordings are kept in."""
        return self.folder or own_recordings()


class Settings(BaseSettings):
    """All of it; configs/default.yaml explains each key."""

    model_config = SettingsConfigDict(env_prefix="VISAVIS_", env_nested_delimiter="__", frozen=True, extra="forbid")

    http: HttpSettings
    ice: IceSettings
    sessions: SessionSettings
    avatars: AvatarSettings
    engine: EngineSettings
    playout: PlayoutSettings
    jobs: JobSettings
    recordings: RecordingSettings
    log_level: Literal["debug", "info", "warning", "error"]


def load_settings(config: Path | None = None, overrides: dict[str, Any] | None = None) -> Settings:
    """Read and validate the settings.

    Args:
        config: the user's own YAML file.
        overrides: nested mapping of what flags set; wins over everything.

    Raises:
        SettingsError: naming the key and what it may be.
    """
    files = [CONFIGS / "default.yaml"]
    if config is not None:
        if not config.is_file():
            raise SettingsError(f"There is no settings file {config}; check the path after --config.")
        files.append(config)

    class Layered(Settings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,
            file_secret_settings: PydanticBaseSettingsSource,
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            layers = [YamlConfigSettingsSource(settings_cls, yaml_file=path) for path in reversed(files)]
            return (init_settings, env_settings, *layers)

    try:
        return Layered(**(overrides or {}))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise SettingsError(f"Setting '{key}': {first['msg']}; configs/default.yaml lists them all.") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"{config} is not valid YAML: {error}") from error


def parse_override(text: str) -> dict[str, Any]:
    """``playout.render_budget_ms=60`` as a nested mapping; the value is read as YAML.

    Raises:
        SettingsError: it is not of the form key=value.
    """
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise SettingsError(f"--set takes key=value, such as http.port=9000, not '{text}'.")
    nested: Any = yaml.safe_load(value)
    for part in reversed(key.split(".")):
        nested = {part: nested}
    return dict(nested)


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """``over`` laid over ``base``, mapping by mapping."""
    merged = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged
