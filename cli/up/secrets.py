"""Secrets of one installation, made once, readable by their owner only."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cli.faults import Fault
from cli.up.certificates import Authority
from cli.up.state import write_private

if TYPE_CHECKING:
    from pathlib import Path

    from cli.up.state import StateDir

_API_NAMES = ("localhost", "api.localhost", "*.api.localhost", "127.0.0.1", "::1")


def master_key_file(state: StateDir) -> Path:
    return state.secrets / "master.key"


def node_authority(state: StateDir) -> Authority:
    """Signs the certificates of gateway runtimes."""
    return Authority(state.secrets / "node-ca.pem", state.secrets / "node-ca.key")


def ensure(state: StateDir, *, own_master_key: bool) -> None:
    """Make what the installation's processes share.

    `own_master_key` says that no master key comes from outside.
    Raises: Fault: the master key is gone while the data it sealed is still there.
    """
    if own_master_key and not master_key_file(state).exists():
        if (state.data / "postgres").exists() and state.env_file.exists():
            raise Fault(
                f"{master_key_file(state)} is missing but the data it sealed is there: restore it, or remove {state.root}"
            )
        from core.crypto import new_master_key

        write_private(master_key_file(state), new_master_key() + "\n")
    node_authority(state).ensure("Sluice node CA")


def ensure_api_certificate(state: StateDir, names: tuple[str, ...]) -> tuple[Path, Path]:
    """Make or renew the API's development certificate, and the CA that users may trust for it (`<state>/ca.pem`).

    Returns: certificate chain and private key, PEM.
    """
    state.secrets.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = Authority(state.ca_file, state.secrets / "ca.key")
    authority.ensure("Sluice development CA")
    certificate_file, key_file = state.secrets / "api.pem", state.secrets / "api.key"
    authority.ensure_server(certificate_file, key_file, (*_API_NAMES, *names))
    return certificate_file, key_file
