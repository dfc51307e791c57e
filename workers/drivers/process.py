"""Runtimes as processes of this machine: one watchdog per region, which keeps one gateway running.

Watchdogs are detached: they, and the gateways even without them, outlive the worker that started them. Everything about a
region is below `<state>/gateways/<region>`: the spec, the node's certificate and key, its cache, process records.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final
from uuid import UUID, uuid4

from core import logging
from core.clock import Clock
from core.runtime.node_ca import Node, NodeCa, write_private
from schema.version import VERSION
from workers.drivers.base import DriverError, Observed, Pool
from workers.drivers.records import Record, find_started, read_alive

log = logging.get_logger("workers.drivers.process")

GRACE_SECONDS: Final = 10.0
"""How long a gateway may take to finish requests in flight."""
KILL_AFTER_SECONDS: Final = GRACE_SECONDS + 7.0
DEATH_SECONDS: Final = 5.0
"""How long the kernel may take to end a process that was killed."""
START_SECONDS: Final = 20.0
WATCHDOG_MODULE: Final = "gateway_runtime.watchdog"
GATEWAY_MODULE: Final = "gateway_runtime.main"
ROLES: Final = ("watchdog", "gateway")
_ALREADY_RUNNING: Final = 3


class ProcessDriver:
    """Starts, watches and ends the watchdogs of one state directory."""

    def __init__(self, state_dir: Path, node_ca: NodeCa, clock: Clock) -> None:
        self._state = state_dir.absolute()
        self._node_ca = node_ca
        self._clock = clock

    def observe(self, pool: Pool) -> Observed:
        home = self._home(pool.region)
        if not read_alive(home / "run", "watchdog"):
            return Observed("absent")
        node = Node(_node_id(home), pool.region)
        good = self._node_ca.are_good(node, home / "node.crt", home / "node.key", self._clock.now())
        started_with = _read_json(home / "started.json")
        return Observed("running", outdated=started_with != self._identity(pool), worn=not good)

    def prepare(self, pool: Pool) -> None:
        home = self._home(pool.region)
        try:
            home.parent.mkdir(mode=0o700, parents=True, exist_ok=True)  # a mode is for the last directory only
            home.mkdir(mode=0o700, exist_ok=True)
            node = Node(_node_id(home), pool.region)
            if self._node_ca.ensure_files(node, home / "node.crt", home / "node.key", self._clock.now()):
                log.info("node_certificate.issued", region=pool.region, node_id=str(node.node_id))
        except OSError as error:
            raise DriverError(f"region {pool.region}: {error}") from error

    def start(self, pool: Pool) -> None:
        home = self._home(pool.region)
        try:
            write_private(home / "spec.json", json.dumps(self._spec(pool), indent=2).encode())
            # The gateway goes on without its watchdog; the new one replaces it once its own gateway serves.
            _end(_processes(home, "watchdog"), time.monotonic())
            self._launch(home, pool.region)
            write_private(home / "started.json", json.dumps(self._identity(pool)).encode())
        except OSError as error:
            raise DriverError(f"region {pool.region}: {error}") from error
        log.info("watchdog.started", region=pool.region)

    def stop(self, region: str) -> None:
        _stop([self._home(region)], KILL_AFTER_SECONDS)
        log.info("watchdog.stopped", region=region)

    def regions(self) -> list[str]:
        """Regions that something runs for, wanted or not."""
        return [home.name for home in _homes(self._state) if _runs(home)]

    def _launch(self, home: Path, region: str) -> None:
        logs = self._state / "logs"
        logs.mkdir(mode=0o700, parents=True, exist_ok=True)
        command = [sys.executable, "-m", WATCHDOG_MODULE, "--detach", str(home / "spec.json")]
        descriptor = os.open(
            logs / f"gateway-{region}.log", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600
        )
        try:
            # The settings of the control plane, secrets among them, are none of the gateway's business.
            environment = {name: value for name, value in os.environ.items() if not name.startswith("SLUICE_")}
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                env=environment,
                start_new_session=True,
                timeout=START_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DriverError(f"region {region}: the watchdog did not come up within {START_SECONDS:.0f} s") from None
        finally:
            os.close(descriptor)
        if done.returncode not in {0, _ALREADY_RUNNING}:
            raise DriverError(f"region {region}: the watchdog ended with status {done.returncode}")

    def _spec(self, pool: Pool) -> dict[str, Any]:
        home = self._home(pool.region)
        return {
            "region": pool.region,
            "node_id": str(_node_id(home)),
            "listeners": [
                {"address": address, "tls": tls, "public_port": port, "proxy_protocol": pool.proxy_protocol}
                for address, tls, port in (
                    (pool.http_address, False, pool.public_http_port),
                    (pool.https_address, True, pool.public_https_port),
                )
            ],
            "status_address": pool.status_address,
            "api_url": pool.api_url,
            "node_certificate_file": str(home / "node.crt"),
            "node_key_file": str(home / "node.key"),
            "state_dir": str(home),
            "grace_seconds": GRACE_SECONDS,
        }

    def _identity(self, pool: Pool) -> dict[str, Any]:
        """What a running watchdog must have been started with to be left alone."""
        return {"version": VERSION, "spec": self._spec(pool)}

    def _home(self, region: str) -> Path:
        return self._state / "gateways" / region


def stop_all(state_dir: Path, *, hurry: bool = False) -> list[str]:
    """End every watchdog and gateway of a state directory, all at once; those that do not end in time are killed.

    In a `hurry`, nobody is given time. Returns: the regions that something ran for.
    """
    homes = _homes(state_dir.absolute())
    found = [home for home in homes if any(_processes(home, role) for role in ROLES)]
    if found:
        _stop(found, 0.0 if hurry else KILL_AFTER_SECONDS)
    return [home.name for home in found]


def _homes(state_dir: Path) -> Sequence[Path]:
    return sorted(path for path in (state_dir / "gateways").glob("*") if path.is_dir())


def _runs(home: Path) -> bool:
    return any(read_alive(home / "run", role) for role in ROLES)


def _processes(home: Path, role: str) -> list[Record]:
    """Processes that have recorded themselves, and those that have not: just started, or on a full disk."""
    recorded = read_alive(home / "run", role)
    module = WATCHDOG_MODULE if role == "watchdog" else GATEWAY_MODULE
    return list({record.pid: record for record in (*recorded, *find_started(module, home / "spec.json"))}.values())


def _stop(homes: Sequence[Path], grace_seconds: float) -> None:
    """All are told at once and share the time. Watchdogs are awaited first: they take their gateways along."""
    until = time.monotonic() + grace_seconds
    if grace_seconds > 0:
        for record in [record for home in homes for role in ROLES for record in _processes(home, role)]:
            record.send(signal.SIGTERM)
    for role in ROLES:
        _end([record for home in homes for record in _processes(home, role)], until)


def _end(records: Sequence[Record], until: float) -> None:
    """Wait for their end until then, and kill what is left."""
    _await_end(records, until)
    for record in records:
        record.send(signal.SIGKILL)
    _await_end(records, time.monotonic() + DEATH_SECONDS)


def _await_end(records: Sequence[Record], until: float) -> None:
    while any(record.alive for record in records) and time.monotonic() < until:
        time.sleep(0.02)


def _node_id(home: Path) -> UUID:
    """The region's node id; made once. Two processes that make it at once agree on the one that was first."""
    path = home / "node.id"
    if not path.exists():
        proposal = home / f".node.id.{uuid4().hex}"
        proposal.write_text(str(uuid4()), "ascii")
        try:
            with suppress(FileExistsError):
                path.hardlink_to(proposal)  # whole or not at all, unlike a file that is made and then written
        finally:
            proposal.unlink()
    try:
        return UUID(path.read_text("ascii"))
    except ValueError as error:
        raise DriverError(f"{path}: not a node id") from error


def _read_json(path: Path) -> object:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return None
