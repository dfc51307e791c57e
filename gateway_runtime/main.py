"""One gateway process: `sluice gateway` and `python -m gateway_runtime.main [spec.json]`.

Order of start: cached configuration into the engine, then the listeners, then the control plane. So a gateway whose control
plane is gone serves what it knew, and no client meets an empty router that is about to be filled.
"""

import asyncio
import contextlib
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import structlog

from gateway_runtime import logs
from gateway_runtime.acks import AckBox
from gateway_runtime.cache import LastKnownGood
from gateway_runtime.client import ControlPlane, HttpControlPlane
from gateway_runtime.health import HealthAgent
from gateway_runtime.identity import IdentityError, NodeIdentity
from gateway_runtime.processes import record_path, write_record
from gateway_runtime.reports import GatewayEngine
from gateway_runtime.spec import GatewaySpec, SpecError, split_address
from gateway_runtime.status import StatusServer
from gateway_runtime.sync import Sync
from gateway_runtime.telemetry import Telemetry
from gateway_runtime.watchdog import GATEWAY_ROLE, RUN_DIRECTORY
from schema.version import VERSION

log = structlog.stdlib.get_logger(__name__)

EXIT_BAD_SPEC: Final = 2
EXIT_CANNOT_BIND: Final = 4


class Gateway:
    """The parts of one gateway process, put together."""

    def __init__(
        self, spec: GatewaySpec, engine: GatewayEngine, control_plane: ControlPlane, cache: LastKnownGood
    ) -> None:
        self._spec = spec
        self._engine = engine
        self._control_plane = control_plane
        self._cache = cache
        self._acks = AckBox(str(spec.node_id), control_plane)
        self._sync = Sync(engine, control_plane, cache, self._acks)
        self._health = HealthAgent(str(spec.node_id), engine, control_plane, self._sync)
        self.telemetry = Telemetry(spec, VERSION, engine, self._sync)
        self.addresses: list[str] = []
        self.status_address: tuple[str, int] | None = None

    async def run(self, stop: asyncio.Event) -> None:
        """Serve until `stop` is set, then drain for at most `grace_seconds`.

        Raises: OSError: a listener cannot be bound.
        """
        run_directory = self._spec.state_dir / RUN_DIRECTORY
        _record(run_directory, ready=False)
        status = StatusServer(
            {
                "/status": self.telemetry.status,
                "/status/ready": self.telemetry.readiness,
                "/metrics": self.telemetry.metrics,
            },
            {"/metrics": self.telemetry.metrics_of},
        )
        try:
            await asyncio.to_thread(self._sync.load_cache)
            self.addresses = await asyncio.to_thread(self._engine.start)
            self.status_address = await status.start(*split_address(self._spec.status_address))
            self.telemetry.serving = True
            log.info("gateway.started", region=self._spec.region, addresses=self.addresses)
            agent = asyncio.create_task(self._run_agent(run_directory))
            stopper = asyncio.create_task(stop.wait())
            await asyncio.wait({agent, stopper}, return_when=asyncio.FIRST_COMPLETED)
            self.telemetry.stopping = True
            stopper.cancel()
            # Configuration stays current while requests in flight finish.
            await asyncio.to_thread(self._engine.stop, self._spec.grace_seconds)
            agent.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await agent
        finally:
            await status.stop()
            await asyncio.to_thread(self._engine.stop, 0.0)
            await asyncio.to_thread(self._cache.close)
            _forget(run_directory)
            log.info("gateway.stopped")

    async def _run_agent(self, run_directory: Path) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._sync.run())
            group.create_task(self.telemetry.send_heartbeats(self._control_plane))
            group.create_task(self._health.run())
            group.create_task(self._announce_ready(run_directory))

    async def _announce_ready(self, run_directory: Path) -> None:
        await self._sync.usable.wait()
        _record(run_directory, ready=True)
        log.info("gateway.ready")


def _record(run_directory: Path, *, ready: bool) -> None:
    """Tell watchdog and driver about this process. On a full disk it serves without having told."""
    try:
        write_record(run_directory, GATEWAY_ROLE, ready=ready)
    except OSError as error:
        log.error("gateway.not_recorded", error=str(error))  # noqa: TRY400 - no trace needed


def _forget(run_directory: Path) -> None:
    with contextlib.suppress(OSError):
        record_path(run_directory, GATEWAY_ROLE).unlink(missing_ok=True)


async def serve(spec: GatewaySpec, make_engine: Callable[[bytes], GatewayEngine]) -> None:
    """Run one gateway in the current event loop until SIGTERM or SIGINT.

    Raises: SpecError, IdentityError: bad settings. OSError: a listener cannot be bound.
    """
    identity = NodeIdentity(spec.node_id, spec.node_certificate_file, spec.node_key_file)
    engine = make_engine(spec.engine_options(VERSION))
    cache = LastKnownGood(spec.state_dir / "cache", identity.derive_key)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    client = HttpControlPlane(spec.api_url, identity.assertion, ca_file=spec.api_ca_file)
    async with contextlib.aclosing(client):
        await Gateway(spec, engine, client, cache).run(stop)


def _raise_descriptor_limit() -> None:
    """Take all the descriptors the system allows: every connection is one, and the engine derives its caps from them."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def run(spec_path: Path | None) -> int:
    """Entry of `sluice gateway`: settings from the file, if one is named, and from `SLUICE_GATEWAY_*`.

    Returns: exit status: 0 after a graceful stop, 2 for bad settings, 4 when a listener cannot be bound.
    """
    from gateway_runtime.engine import Engine  # the compiled module; tests run without it

    logs.configure()
    _raise_descriptor_limit()
    try:
        spec = GatewaySpec.load(spec_path)
        asyncio.run(serve(spec, Engine))
    except (SpecError, IdentityError, ValueError) as error:
        sys.stderr.write(f"sluice gateway: {error}\n")
        return EXIT_BAD_SPEC
    except OSError as error:
        sys.stderr.write(f"sluice gateway: {error}\n")
        return EXIT_CANNOT_BIND
    return 0


def main(arguments: Sequence[str]) -> int:
    """Entry of `python -m gateway_runtime.main`."""
    if len(arguments) > 1:
        sys.stderr.write("usage: python -m gateway_runtime.main [spec.json]\n")
        return EXIT_BAD_SPEC
    return run(Path(arguments[0]) if arguments else None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
