"""`.sluice/env`: the contract with users' shells."""

import stat
import subprocess
from pathlib import Path

from cli.up import environment_file
from cli.up.state import StateDir
from core.settings import load_settings

VALUES = {
    "SLUICE_GATEWAY_US": "http://127.0.0.1:8000",
    "SLUICE_PAT": "kpat_abc",
    "SLUICE_ADMIN_PASSWORD": "it's $HOME",
    "SLUICE_API": "http://127.0.0.1:8080",
    "SLUICE_ORG_ID": "1",
    "SLUICE_ADMIN_EMAIL": "a@b.c",
}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    state = StateDir(tmp_path)
    environment_file.write(state, VALUES)
    assert environment_file.read(state) == VALUES
    assert stat.S_IMODE(state.env_file.stat().st_mode) == 0o600


def test_a_shell_reads_the_same(tmp_path: Path) -> None:
    environment_file.write(StateDir(tmp_path), VALUES)
    script = '. ./env; printf %s "$SLUICE_ADMIN_PASSWORD"'
    result = subprocess.run(["sh", "-c", script], cwd=tmp_path, capture_output=True, text=True)
    assert result.stdout == VALUES["SLUICE_ADMIN_PASSWORD"]


def test_no_file_is_no_values(tmp_path: Path) -> None:
    assert environment_file.read(StateDir(tmp_path)) == {}
    assert not environment_file.complete({})


def test_it_is_complete_with_all_credentials_only() -> None:
    assert environment_file.complete(VALUES)
    assert not environment_file.complete(VALUES | {"SLUICE_PAT": ""})


def test_addresses_follow_the_offset() -> None:
    settings = load_settings({"SLUICE_PORT_OFFSET": "1000"})
    assert environment_file.addresses(settings) == {
        "SLUICE_API": "http://127.0.0.1:9080",
        "SLUICE_CONSOLE": "http://127.0.0.1:9080/",
        "SLUICE_GATEWAY_US": "http://127.0.0.1:9000",
        "SLUICE_GATEWAY_EU": "http://127.0.0.1:9100",
    }
