"""`.sluice/env`: what a user's shell needs to know, as `KEY=VALUE` lines that a shell can source."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from cli.up.state import write_private

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.up.state import StateDir
    from core.settings import Settings

# Given once by the bootstrap; the addresses are written anew at every start.
_CREDENTIALS = ("SLUICE_PAT", "SLUICE_ORG_ID", "SLUICE_ADMIN_EMAIL", "SLUICE_ADMIN_PASSWORD")


def read(state: StateDir) -> dict[str, str]:
    """What the file says; empty when there is none."""
    try:
        return parse(state.env_file.read_text())
    except FileNotFoundError:
        return {}


def parse(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in text.splitlines():
        name, separator, value = line.strip().partition("=")
        if separator and not name.startswith("#"):
            values[name] = "".join(shlex.split(value))
    return values


def complete(values: Mapping[str, str]) -> bool:
    """Whether all that only the bootstrap knows is there."""
    return all(values.get(name) for name in _CREDENTIALS)


def addresses(settings: Settings) -> dict[str, str]:
    """Where API, console and the regions' gateways are. Numeric, since not every resolver knows `*.localhost`."""
    api = f"http://127.0.0.1:{settings.api_listen_port}"
    gateways = {
        f"SLUICE_GATEWAY_{region.name.upper().replace('-', '_')}": f"http://127.0.0.1:{region.client_http_port}"
        for region in settings.listening_regions
    }
    return {"SLUICE_API": api, "SLUICE_CONSOLE": f"{api}/", **gateways}


def render(values: Mapping[str, str]) -> str:
    """Lines in a stable order, quoted for a shell where needed."""
    order = ["SLUICE_API", *_CREDENTIALS, "SLUICE_CONSOLE"]
    names = [name for name in order if name in values] + sorted(set(values) - set(order))
    return "".join(f"{name}={shlex.quote(values[name])}\n" for name in names)


def write(state: StateDir, values: Mapping[str, str]) -> None:
    """Replace the file, readable by its owner only."""
    write_private(state.env_file, render(values))
