"""What commands and children get as settings."""

from pathlib import Path

import pytest

from cli.configuration import child_environment, completions, read_settings
from cli.faults import Fault
from cli.up import secrets
from cli.up.state import StateDir
from core.settings import load_settings


@pytest.fixture
def state(tmp_path: Path) -> StateDir:
    state = StateDir.at(tmp_path)
    state.prepare("0.1.0")
    return state


def test_children_do_not_inherit_what_is_published_to_users() -> None:
    given = {
        "PATH": "/bin",
        "SLUICE_PAT": "kpat_x",
        "SLUICE_GATEWAY_US": "http://x",
        "SLUICE_GATEWAY_DOMAIN": "gw.test",
    }
    assert child_environment({"api_url": "http://y"}, given) == {
        "PATH": "/bin",
        "SLUICE_GATEWAY_DOMAIN": "gw.test",
        "SLUICE_API_URL": "http://y",
    }


def test_an_installation_fills_what_is_not_set(state: StateDir) -> None:
    secrets.ensure(state, own_master_key=True)
    (state.data / "postgres").mkdir()
    settings = load_settings({"SLUICE_PORT_OFFSET": "10", "SLUICE_BROKER_URL": "redis://broker"})
    found = completions(settings, state, {})
    assert found["database_url"].startswith("postgresql+psycopg://sluice@/sluice?host=/")
    assert found["api_url"] == "http://127.0.0.1:8090"
    assert found["state_dir"] == str(state.root)
    assert Path(found["node_ca_cert_file"]).exists()
    assert "broker_url" not in found
    assert settings.with_changes(**found).require_master_key()


def test_nothing_is_invented_where_nothing_is(state: StateDir) -> None:
    assert set(completions(load_settings({}), state, {"SLUICE_API_URL": "http://x"})) == {"state_dir"}


def test_a_lost_master_key_is_noticed(state: StateDir) -> None:
    (state.data / "postgres").mkdir()
    state.env_file.write_text("SLUICE_PAT=x\n")
    with pytest.raises(Fault, match=r"master\.key is missing"):
        secrets.ensure(state, own_master_key=True)


def test_a_wrong_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLUICE_PORT_OFSET", "1")
    with pytest.raises(Fault, match="SLUICE_PORT_OFSET") as caught:
        read_settings()
    assert caught.value.exit_code == 2
