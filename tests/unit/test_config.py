"""Settings: layers, refusals."""

from pathlib import Path

import pytest

from models.liveportrait.live_settings import LiveSettings
from server.config import SettingsError, load_settings, parse_override
from server.turn import ice_servers


def test_yaml_then_environment_then_flags(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my.yaml"
    file.write_text("http:\n  port: 1000\n  host: 0.0.0.0\nsessions:\n  max_sessions: 3\n")
    monkeypatch.setenv("VISAVIS_HTTP__PORT", "2000")
    monkeypatch.setenv("VISAVIS_ICE__HOST_ADDRESSES", '["127.0.0.1"]')
    settings = load_settings(file, parse_override("sessions.max_sessions=5"))
    assert (settings.http.port, settings.http.host, settings.sessions.max_sessions) == (2000, "0.0.0.0", 5)
    assert settings.ice.host_addresses == ("127.0.0.1",)
    assert settings.sessions.connect_timeout_s == 15


@pytest.mark.parametrize("text", ["http.port=99999", "http.prot=1", "sessions.max_sessions=none", "colour=red"])
def test_a_bad_setting_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match=text.partition("=")[0]):
        load_settings(overrides=parse_override(text))


def test_missing_file_and_malformed_flag(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no settings file"):
        load_settings(tmp_path / "none.yaml")
    with pytest.raises(SettingsError, match="key=value"):
        parse_override("port")


def test_turn_credentials_expire() -> None:
    settings = load_settings(
        overrides={"ice": {"turn_urls": ["turn:example.org"], "turn_secret": "s", "stun_urls": ["stun:example.org"]}}
    )
    stun, turn = ice_servers(settings.ice, now_unix_s=1000.0)
    assert stun == {"urls": ["stun:example.org"]}
    assert turn["username"] == "4600:visavis"
    assert turn["credential"] == "q0ttSvbrMDXo/zBTbaoAbwDxh/M="


def test_weights_belong_to_the_default_engine_and_options_to_theirs(tmp_path: Path) -> None:
    chosen = {"name": "liveportrait", "weights": tmp_path, "liveportrait": {"region": "lip", "multiplier": 0.5}}
    engine = load_settings(overrides={"engine": chosen}).engine
    assert engine.weights_of("liveportrait") == tmp_path
    assert engine.weights_of("wav2lip") is None
    live = LiveSettings(**engine.loading("liveportrait")["options"]["live"])
    assert live == LiveSettings(region="lip", multiplier=0.5)
    assert engine.loading("wav2lip")["options"] == {}


def test_the_defaults_of_a_live_portrait_are_the_engine_s_own() -> None:
    assert LiveSettings(**load_settings().engine.liveportrait.model_dump()) == LiveSettings()
    with pytest.raises(SettingsError, match=r"engine\.liveportrait\.region"):
        load_settings(overrides=parse_override("engine.liveportrait.region=nose"))
