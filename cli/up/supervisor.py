"""The running installation: what is started in which order, and how it ends."""

from __future__ import annotations

import asyncio
import hashlib
import importlib.util
import os
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from cli.configuration import LOOPBACK_NETWORKS, child_environment, completions
from cli.faults import Fault
from cli.up import environment_file, logs, postgres, probes, records, secrets, valkey
from cli.up.ports import Port, require_free
from cli.up.service import Service, ServiceSpec, run_once

if TYPE_CHECKING:
    from collections.abc import Callable

    from cli.up.state import StateDir
    from core.settings import Settings

_PACKAGES = Path(__file__).resolve().parents[2]
_CHILDREN = ("postgres", "valkey-broker", "valkey-counters", "migrate", "bootstrap", "api", "worker", "beat")
# A gateway that has lost its cache fetches every tenant anew: it may take long, but not without getting on.
_GATEWAY_SECONDS = 60.0


class Supervisor:
    """Starts, watches and ends every process of one machine's installation.

    Only the holder of the state directory's lock may make one.
    """

    def __init__(self, settings: Settings, state: StateDir, announce: Callable[[str], None]) -> None:
        self._settings = settings
        self._state = state
        self._announce = announce
        self._servers: list[Service] = []  # PostgreSQL and Valkey
        self._planes: list[Service] = []  # the API
        self._workers: list[Service] = []  # worker and beat
        self._rotation: asyncio.Task[None] | None = None
        self.new_credentials = False

    async def start(self) -> dict[str, str]:
        """Bring everything up. Returns what `.sluice/env` says.

        Raises: Fault: something does not start; the caller still has to call `stop`.
        """
        if self._settings.driver == "process":
            require_engine()
        await self._clean_up()
        require_free(ports(self._settings))
        self._rotation = asyncio.create_task(logs.keep_bounded(self._state.logs))
        own_key = self._settings.master_key is None
        secrets.ensure(self._state, own_master_key=own_key)
        await self._start_servers()
        environment = self._environment()
        await self._migrate(environment)
        published = await self._bootstrap(environment)
        await self._start_processes(environment)
        return published

    async def stop(self, *, hurry: bool = False) -> None:
        """End everything in order: who gives work, who serves, who stores."""
        await asyncio.gather(*(service.stop(hurry=hurry) for service in self._workers))
        await asyncio.gather(
            asyncio.to_thread(stop_gateways, self._state, hurry=hurry),
            *(service.stop(hurry=hurry) for service in self._planes),
        )
        await asyncio.gather(*(service.stop() for service in self._servers))
        if not self._state.socket_dir().is_relative_to(self._state.root):
            shutil.rmtree(self._state.socket_dir(), ignore_errors=True)
        if self._rotation is not None:
            self._rotation.cancel()

    async def _clean_up(self) -> None:
        strays = await asyncio.to_thread(records.stop_strays, self._state.services, self._state.logs, _CHILDREN)
        if strays:
            self._announce(f"ended what a killed `sluice up` left running: {', '.join(strays)}")
        await asyncio.to_thread(stop_gateways, self._state)

    async def _start_servers(self) -> None:
        starting: list[asyncio.Task[None]] = []
        async with asyncio.TaskGroup() as group:
            if self._settings.database_url is None:
                starting.append(group.create_task(self._start_postgres()))
            for role, url in (("broker", self._settings.broker_url), ("counters", self._settings.counters_url)):
                if url is None:
                    starting.append(group.create_task(self._launch(self._servers, valkey.service(self._state, role))))

    async def _start_postgres(self) -> None:
        server = postgres.EmbeddedPostgres(self._state)
        for remark in await asyncio.to_thread(server.prepare):
            self._announce(remark)
        await self._launch(self._servers, server.service())
        if not self._schema_mark().exists():
            await asyncio.to_thread(server.make_database)

    async def _launch(self, group: list[Service], spec: ServiceSpec) -> None:
        service = Service(spec, self._state, self._announce)
        group.append(service)
        await service.start()

    def _environment(self) -> dict[str, str]:
        found = completions(self._settings, self._state, os.environ)
        if "SLUICE_UPSTREAM_ALLOW" not in os.environ:
            found["upstream_allow"] = LOOPBACK_NETWORKS  # a user's first backend is on this very machine
        return child_environment(found, os.environ)

    async def _migrate(self, environment: dict[str, str]) -> None:
        """Skipped when our own database has seen exactly these migrations; an external one is always asked."""
        digest = _migrations_digest()
        mark = self._schema_mark()
        embedded = self._settings.database_url is None
        if embedded and mark.exists() and mark.read_text().strip() == digest:
            return
        await run_once("migrate", [*_command(), "migrate"], self._state, environment)
        if embedded:
            mark.write_text(digest + "\n")

    async def _bootstrap(self, environment: dict[str, str]) -> dict[str, str]:
        """Make the first organization, or find it, and write `.sluice/env`.

        Our own database: skipped while the file holds the credentials; a lost file means new ones, since none can be
        read back. An external database: asked every time, and its administrator is left alone.
        """
        known = environment_file.read(self._state)
        embedded = self._settings.database_url is None
        if not (embedded and environment_file.complete(known)):
            argv = [*_command(), "bootstrap", *(["--renew"] if embedded else [])]
            found = environment_file.parse(await run_once("bootstrap", argv, self._state, environment))
            self.new_credentials = "SLUICE_PAT" in found
            if found.get("SLUICE_ORG_ID") != known.get("SLUICE_ORG_ID"):
                known = {}
            known |= found
        known |= environment_file.addresses(self._settings)
        environment_file.write(self._state, known)
        return known

    async def _start_processes(self, environment: dict[str, str]) -> None:
        settings = self._settings
        api = ServiceSpec(
            name="api",
            argv=[*_command(), "api", "--development-tls"],
            ready=lambda: probes.http_ok(_reachable(settings.api_host), settings.api_listen_port, "/readyz"),
            environment=environment,
            gives_way=True,
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(self._launch(self._planes, api))
            for name in ("worker", "beat"):
                spec = ServiceSpec(
                    name=name,
                    argv=[*_command(), name],
                    ready=_at_once,
                    environment=environment,
                    gives_way=name != "worker",  # whose children are the gateways
                )
                group.create_task(self._launch(self._workers, spec))
            if settings.driver == "process":
                for region in settings.listening_regions:
                    group.create_task(self._await_gateway(region.name, region.status_port))

    async def _await_gateway(self, region: str, status_port: int) -> None:
        progress: tuple[int, int] | None = None
        while not await probes.until(
            lambda: probes.http_ok("127.0.0.1", status_port, "/status/ready"), _GATEWAY_SECONDS
        ):
            before, progress = progress, await probes.gateway_progress("127.0.0.1", status_port)
            if progress is not None and progress != before:
                continue
            reason = logs.last_line(self._state.logs, "worker")
            raise Fault(f"the gateway of region {region} is not ready after {_GATEWAY_SECONDS:.0f} s; worker: {reason}")

    def _schema_mark(self) -> Path:
        return self._state.data / "schema"


def ports(settings: Settings) -> list[Port]:
    """Every TCP port that the installation will listen on."""
    host = _reachable(settings.api_host)
    found = [
        Port(host, settings.api_listen_port, "API over HTTP"),
        Port(host, settings.api_listen_tls_port, "API over HTTPS"),
    ]
    if settings.driver == "process":
        for region in settings.listening_regions:
            found += [
                Port("127.0.0.1", region.http_port, f"gateway {region.name} over HTTP"),
                Port("127.0.0.1", region.https_port, f"gateway {region.name} over HTTPS"),
                Port("127.0.0.1", region.status_port, f"status of gateway {region.name}"),
            ]
    return found


def require_engine() -> None:
    """Raises: Fault: the gateways' engine was not built."""
    if importlib.util.find_spec("gateway_runtime._engine") is None:
        raise Fault("the engine is not built (gateway_runtime._engine is missing): run `make up`")


def stop_gateways(state: StateDir, *, hurry: bool = False) -> None:
    """End gateways and their watchdogs, which the worker started as processes of their own."""
    from workers.drivers.process import stop_all

    stop_all(state.root, hurry=hurry)


async def _at_once() -> bool:
    """For a process that listens nowhere; the gateways it starts show that it works."""
    return True


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared, not bound


def _command() -> list[str]:
    return [sys.executable, "-m", "cli", "--traceback"]


def _migrations_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted((_PACKAGES / "migrations" / "versions").glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()


async def supervise(settings: Settings, state: StateDir, announce: Callable[[str], None]) -> None:
    """Run the installation until SIGINT, SIGTERM or SIGHUP; a second signal does not wait for anyone.

    Raises: Fault: it could not be started. Whatever was started is ended in every case.
    """
    from cli.up.ready import ready_block

    loop = asyncio.get_running_loop()
    asked, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if asked.is_set() else asked).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    began = time.monotonic()
    supervisor = Supervisor(settings, state, announce)
    start = asyncio.create_task(supervisor.start())
    stop_asked = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({start, stop_asked}, return_when=asyncio.FIRST_COMPLETED)
        if start.done():
            published = _result(start)
            announce(
                ready_block(
                    settings, state, published, time.monotonic() - began, new_credentials=supervisor.new_credentials
                )
            )
            await stop_asked
        announce("stopping …")
    finally:
        start.cancel()
        await asyncio.wait({start})
        await _stop(supervisor, hurry)
        stop_asked.cancel()


async def _stop(supervisor: Supervisor, hurry: asyncio.Event) -> None:
    stopping = asyncio.create_task(supervisor.stop())
    hurried = asyncio.create_task(hurry.wait())
    await asyncio.wait({stopping, hurried}, return_when=asyncio.FIRST_COMPLETED)
    if not stopping.done():
        await supervisor.stop(hurry=True)
    hurried.cancel()
    await stopping


def _result(task: asyncio.Task[dict[str, str]]) -> dict[str, str]:
    """The task's result; of several failures that came together, the first one that is ours to tell."""
    try:
        return task.result()
    except ExceptionGroup as group:
        raise _first_fault(group) from group


def _first_fault(group: ExceptionGroup[Exception]) -> Exception:
    faults, _ = group.split(Fault)
    error: Exception = faults or group
    while isinstance(error, ExceptionGroup):
        error = error.exceptions[0]  # type: ignore[assignment]
    return error
