"""Settings as a command sees them: what the environment says, completed by the local installation's own files."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cli.faults import Fault
from cli.up.state import StateDir
from schema.environment import is_published

if TYPE_CHECKING:
    from collections.abc import Mapping

    from core.settings import Settings

LOOPBACK_NETWORKS = "127.0.0.0/8,::1/128"


def read_settings() -> Settings:
    """Settings of the environment alone.

    Raises: Fault (exit code 2): a name or value is wrong.
    """
    from core.errors import SettingsError
    from core.settings import load_settings

    try:
        return load_settings()
    except SettingsError as error:
        raise Fault(str(error), exit_code=2) from error


def local_settings() -> Settings:
    """Settings for a command that joins a local installation: its embedded servers and secrets fill what is not set."""
    settings = read_settings()
    state = StateDir.at(settings.state_dir)
    return settings.with_changes(**completions(settings, state, os.environ))


def completions(settings: Settings, state: StateDir, environ: Mapping[str, str]) -> dict[str, str]:
    """Values, by field name, that the state directory has for settings that the environment leaves open."""
    from cli.up import postgres, secrets, valkey

    found: dict[str, str] = {"state_dir": str(state.root)}
    if settings.database_url is None and (state.data / "postgres").is_dir():
        found["database_url"] = postgres.database_url(state)
    if settings.broker_url is None and (state.data / "valkey-broker").is_dir():
        found["broker_url"] = valkey.broker_url(state)
    if settings.counters_url is None and (state.data / "valkey-counters").is_dir():
        found["counters_url"] = valkey.counters_url(state)
    if "SLUICE_API_URL" not in environ:
        found["api_url"] = f"http://127.0.0.1:{settings.api_listen_port}"
    if settings.master_key is None and secrets.master_key_file(state).exists():
        found["master_key"] = secrets.master_key_file(state).read_text().strip()
    node_ca = secrets.node_authority(state)
    if settings.node_ca_cert_file is None and node_ca.certificate_file.exists():
        found["node_ca_cert_file"] = str(node_ca.certificate_file)
        found["node_ca_key_file"] = str(node_ca.key_file)
    return found


def child_environment(found: Mapping[str, str], environ: Mapping[str, str]) -> dict[str, str]:
    """A whole environment for a child process: ours, without what is published to users, with `found` as settings."""
    # A child has no use for what users are told, and their token is none of its business.
    kept = {name: value for name, value in environ.items() if not is_published(name)}
    return kept | {f"SLUICE_{name.upper()}": value for name, value in found.items()}
