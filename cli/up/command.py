"""The `sluice up` command around its supervisor."""

from __future__ import annotations

import asyncio
import contextlib

from cli.configuration import read_settings
from cli.up.state import StateDir
from cli.up.supervisor import supervise
from schema.version import VERSION


def run_up() -> None:
    """Run until interrupted.

    Raises: Fault: it cannot start; nothing is left running then.
    """
    settings = read_settings()
    state = StateDir.at(settings.state_dir)
    state.refuse_newer(VERSION)
    with state.locked():
        state.prepare(VERSION)
        announce(f"Sluice {VERSION}, state in {state.root}")
        asyncio.run(supervise(settings, state, announce))
    announce("stopped")


def announce(line: str) -> None:
    """Tell the user; a terminal that has gone away must not end the supervision."""
    with contextlib.suppress(OSError, ValueError):
        print(line, flush=True)
