"""`python -m tests.bench.runtime PLACE PORT TLS_PORT THREADS SHEDS`: a whole runtime, agent and engine, with tenants on command.

Commands are JSON objects, one a line, on standard input; each is answered with one line on standard output, in order. The
first line says that it listens. It ends with its standard input.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import resource
import sys
import threading
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from gateway_runtime import logs
from gateway_runtime.cache import LastKnownGood
from gateway_runtime.engine import Engine
from gateway_runtime.main import Gateway
from gateway_runtime.spec import GatewaySpec, Listener
from schema.version import VERSION
from tests.bench.tenants import ManyTenants, Shape

_PATIENCE_SECONDS = 300.0
_WAITS_KEPT = 5_000


class WatchedEngine:
    """The engine, and when it took which version: from then on every new request sees it."""

    def __init__(self, options: bytes) -> None:
        self._engine = Engine(options)
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[str, list[tuple[int, asyncio.Future[float]]]] = {}
        self.start = self._engine.start
        self.stop = self._engine.stop
        self.remove = self._engine.remove
        self.versions = self._engine.versions
        self.stats = self._engine.stats
        self.health = self._engine.health
        self.set_target_health = self._engine.set_target_health
        self.live: dict[str, tuple[int, float]] = {}

    def apply(self, update: bytes) -> bytes:
        """As the engine does."""
        report = self._engine.apply(update)
        told = json.loads(report)
        if told["accepted"]:
            key, version, now = told["control_plane_id"], told["version"], time.monotonic()
            self.live[key] = (version, now)
            self._loop.call_soon_threadsafe(self._tell, key, version, now)
        return report

    def when(self, key: str, version: int) -> asyncio.Future[float]:
        """The time at which it has taken a version, or a later one."""
        result: asyncio.Future[float] = self._loop.create_future()
        live, since = self.live.get(key, (-1, 0.0))
        if live >= version:
            result.set_result(since)
        else:
            self._waiting.setdefault(key, []).append((version, result))
        return result

    def _tell(self, key: str, version: int, now: float) -> None:
        waiting = self._waiting.pop(key, [])
        for wanted, result in waiting:
            if wanted <= version and not result.done():
                result.set_result(now)
        if later := [item for item in waiting if item[0] > version]:
            self._waiting[key] = later


class Runtime:
    """Carries out commands."""

    def __init__(self, engine: WatchedEngine, control_plane: ManyTenants) -> None:
        self._engine = engine
        self._control_plane = control_plane
        self._churn: asyncio.Task[dict[str, Any]] | None = None
        self._churning = False

    async def do(self, command: dict[str, Any]) -> dict[str, Any]:
        """`assign`, `remove`, `churn_begin`, `churn_end` or `stats`; see there."""
        action = getattr(self, f"_{command.pop('do')}")
        answer: dict[str, Any] = await action(**command)
        return answer

    async def _assign(self, first: int, count: int, shape: dict[str, Any]) -> dict[str, Any]:
        """New tenants; answers when all of them are live."""
        started = time.monotonic()
        wanted = Shape(**shape)
        keys = [self._control_plane.assign(number, wanted) for number in range(first, first + count)]
        for key in keys:
            await self._until_live(key, 1)
        return {"seconds": round(time.monotonic() - started, 3)}

    async def _remove(self, first: int, count: int) -> dict[str, Any]:
        """Fewer tenants; answers when the engine has let go of them."""
        for number in range(first, first + count):
            self._control_plane.remove(number)
        wanted = self._control_plane.assigned
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while json.loads(self._engine.versions()).keys() - wanted:
            if time.monotonic() > deadline:
                raise TimeoutError("tenants stay")
            await asyncio.sleep(0.02)
        for key in self._engine.live.keys() - wanted:
            del self._engine.live[key]
        return {}

    async def _churn_begin(self, first: int, count: int, rate: float) -> dict[str, Any]:
        """Change tenants in turn, so often per second, until `churn_end`."""
        self._churning = True
        self._churn = asyncio.create_task(self._change(first, count, rate))
        return {}

    async def _churn_end(self) -> dict[str, Any]:
        """How many changes there were, and the seconds from each to its effect, of the last ones."""
        assert self._churn is not None
        self._churning = False
        return await self._churn

    async def _change(self, first: int, count: int, rate: float) -> dict[str, Any]:
        begun = time.monotonic()
        waits: list[asyncio.Task[float]] = []
        seconds_each: list[float] = []
        changes = 0
        async with asyncio.TaskGroup() as group:
            while self._churning:
                key, version = self._control_plane.change(first + changes % count, changes)
                waits.append(group.create_task(self._until_live(key, version)))
                changes += 1
                seconds_each += [task.result() for task in waits if task.done()]
                waits = [task for task in waits if not task.done()]
                del seconds_each[:-_WAITS_KEPT]
                await asyncio.sleep(max(0.0, begun + changes / rate - time.monotonic()))
            seconds = time.monotonic() - begun
        seconds_each += [task.result() for task in waits]
        return {"changes": changes, "per_second": round(changes / seconds, 1), "seconds": seconds_each}

    async def _until_live(self, key: str, version: int) -> float:
        """Seconds from now until the engine has taken a version, or a later one."""
        begun = time.monotonic()
        async with asyncio.timeout(_PATIENCE_SECONDS):
            return max(0.0, await self._engine.when(key, version) - begun)

    async def _stats(self) -> dict[str, Any]:
        """Counters of the process, and what runs in the agent."""
        counters = json.loads(self._engine.stats())
        tenants = counters.pop("tenants")
        return counters | {
            "tenants": len(tenants),
            "requests_shed": sum(tenant["requests_shed_total"] for tenant in tenants.values()),
            "agent_tasks": len(asyncio.all_tasks()),
            "agent_threads": threading.active_count(),
        }


async def serve(place: Path, port: int, tls_port: int, threads: int, *, sheds: bool) -> None:
    """Run until standard input ends. Without `sheds` nothing is shed: other work on the machine causes delays, too."""
    listeners = (Listener(address=f"127.0.0.1:{port}"), Listener(address=f"127.0.0.1:{tls_port}", tls=True))
    spec = GatewaySpec(
        region="bench",
        node_id=UUID(int=1),
        listeners=listeners,
        status_address="127.0.0.1:0",
        api_url="http://127.0.0.1:1",
        api_ca_file=None,
        node_certificate_file=place / "none",
        node_key_file=place / "none",
        state_dir=place,
        threads=threads,
        grace_seconds=0.0,
        certificate_file=None,
        certificate_key_file=None,
        limits={} if sheds else {"max_delay_ms": 0},
    )
    engine = WatchedEngine(spec.engine_options(VERSION))
    control_plane = ManyTenants()
    stop = asyncio.Event()
    disk = LastKnownGood(place / "cache", lambda purpose, salt: hashlib.sha256(purpose.encode() + salt).digest())
    gateway = asyncio.create_task(Gateway(spec, engine, control_plane, disk).run(stop))
    commands = asyncio.create_task(_listen(Runtime(engine, control_plane)))
    await asyncio.wait({gateway, commands}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    await gateway
    commands.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await commands


async def _listen(runtime: Runtime) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        print(json.dumps(await runtime.do(json.loads(line))), flush=True)


def main(words: list[str]) -> int:
    place, port, tls_port, threads, sheds = words
    logs.configure()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    asyncio.run(serve(Path(place), int(port), int(tls_port), int(threads), sheds=sheds == "true"))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
