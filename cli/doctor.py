"""`sluice doctor`: what of this machine and this installation is as it should be, one line per check."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cli.configuration import local_settings, read_settings
from cli.faults import Fault
from cli.up import postgres, records, valkey
from cli.up.ports import taken
from cli.up.state import StateDir
from schema.version import VERSION

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from core.settings import Settings

_TIMEOUT_SECONDS = 3


@dataclass(frozen=True)
class Finding:
    """One line of the report. Only `bad` findings make the command fail; `note` is for what is merely worth knowing."""

    level: str
    subject: str
    text: str


def examine() -> bool:
    """Print all findings. Returns whether none was bad."""
    try:
        given, settings = read_settings(), local_settings()
    except Fault as fault:
        _print(Finding("bad", "settings", str(fault)))
        return False
    state = StateDir.at(settings.state_dir)
    running = any(record.alive() for record in records.read_all(state.services))
    good = True
    for finding in _findings(given, settings, state, running=running):
        _print(finding)
        good = good and finding.level != "bad"
    return good


def _findings(given: Settings, settings: Settings, state: StateDir, *, running: bool) -> Iterator[Finding]:
    """`given` is what the environment says; `settings` adds what the local installation has."""
    yield Finding("ok", "sluice", f"{VERSION} on Python {sys.version.split()[0]}")
    yield _tool("cargo", "needed to build the engine from source")
    yield _engine()
    yield _embedded("postgres", given.database_url is None, postgres.binaries)
    yield _embedded("valkey", None in {given.broker_url, given.counters_url}, valkey.binary)
    yield _state(state)
    yield from _ports(settings, running=running)
    if running or settings.database_url is not None:
        yield _database(settings)
        yield _server("broker", settings.broker_url.get_secret_value() if settings.broker_url else None)
        yield _server("counters", settings.counters_url.get_secret_value() if settings.counters_url else None)
    else:
        yield Finding("note", "services", "nothing runs here; `sluice up` starts it")


def _print(finding: Finding) -> None:
    print(f"{finding.level:<5}{finding.subject:<12}{finding.text}")


def _tool(name: str, purpose: str) -> Finding:
    path = shutil.which(name)
    if path is None:
        return Finding("note", name, f"not found; {purpose}")
    result = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
    return Finding("ok", name, result.stdout.strip() or path)


def _engine() -> Finding:
    found = importlib.util.find_spec("gateway_runtime._engine")
    if found is None or not found.origin:
        return Finding("bad", "engine", "gateway_runtime._engine is not built: run `make up`, or install a wheel")
    # In a process of its own: a module built for another interpreter may not fail politely.
    argv = [sys.executable, "-c", "import gateway_runtime._engine"]
    result = subprocess.run(argv, capture_output=True, text=True, check=False)
    if result.returncode:
        return Finding("bad", "engine", (result.stderr.strip().splitlines() or ["does not load"])[-1])
    return Finding("ok", "engine", Path(found.origin).name)


def _embedded(subject: str, wanted: bool, find: Callable[[], Path]) -> Finding:
    if not wanted:
        return Finding("ok", subject, "not embedded: its address is set")
    try:
        return Finding("ok", subject, f"embedded, {find()}")
    except Fault as fault:
        return Finding("bad", subject, str(fault))


def _state(state: StateDir) -> Finding:
    if not state.root.exists():
        return Finding("note", "state", f"{state.root} is not there yet")
    try:
        state.refuse_newer(VERSION)
    except Fault as fault:
        return Finding("bad", "state", str(fault))
    if not os.access(state.root, os.W_OK):
        return Finding("bad", "state", f"{state.root} is not writable")
    free_megabytes = shutil.disk_usage(state.root).free // 2**20
    level = "ok" if free_megabytes >= 500 else "bad"
    return Finding(level, "state", f"{state.root}, {free_megabytes} MB free")


def _ports(settings: Settings, *, running: bool) -> Iterator[Finding]:
    from cli.up.supervisor import ports

    for port in ports(settings):
        subject, used = f"port {port.number}", taken(port)
        if running:
            level, text = ("ok", "served") if used else ("bad", "nobody listens")
        else:
            level, text = ("bad", "taken by another program") if used else ("ok", "free")
        yield Finding(level, subject, f"{port.purpose}, {text}")


def _database(settings: Settings) -> Finding:
    from core.errors import OperatorError
    from migrations.runner import check

    try:
        check(settings.require_database_url())
    except OperatorError as error:
        return Finding("bad", "database", str(error))
    return Finding("ok", "database", "reachable, at this version's schema")


def _server(subject: str, url: str | None) -> Finding:
    import redis

    if url is None:
        return Finding("bad", subject, "no address")
    try:
        with redis.Redis.from_url(
            url.replace("redis+socket://", "unix://"),
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
        ) as client:
            found = client.info("server")
    except (redis.RedisError, ValueError) as error:
        return Finding("bad", subject, f"not reachable ({type(error).__name__})")
    assert isinstance(found, dict)
    return Finding("ok", subject, f"reachable, version {found.get('valkey_version', found.get('redis_version'))}")
