"""What changes cost the traffic of a large tenant, and how long each takes to be live.

Twice: with everything, changes through the API of a running installation; and with the runtime alone, whose control plane is
made up, so that what the API takes of the machine is not in it.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.bench.installation import Address, Api, at_once, installation
from tests.bench.load import ROOT, Load, build_tools
from tests.bench.processes import OTHER_CORE, BenchError, Pinned, free_ports
from tests.bench.report import machine, quantile, table, write_json
from tests.bench.scene import Bar, Scene, print_bars
from tests.bench.tenants import PATH, SECRET, SPARE, Shape
from tests.bench.traffic import Client, TrafficError

_WRITERS = 8
_PROBE_EVERY = 5
_PROBE_SECONDS = 0.005
_PATIENCE_SECONDS = 30.0
_OTHERS = 3
"""Entities that are no spare routes: service, route, plugin."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much: entities of the tenant, changes and requests per second, and turns of so many seconds, quiet and not."""

    entities: int = 10_000
    changes: float = 50.0
    rate: int = 1_000
    rounds: int = 5
    seconds: float = 6.0

    def check(self) -> None:
        """Raises: BenchError: more than one machine should bear."""
        if not (10 <= self.entities <= 50_000 and 1 <= self.rounds <= 50 and 1 <= self.seconds <= 60):
            raise BenchError("entities 10 to 50000, rounds 1 to 50, seconds 1 to 60")


@dataclass(slots=True)
class Series:
    """Over all turns: traffic's p99 in microseconds without and with changes, and seconds of the changes.

    `answered`: until the API had said yes; `live`: from then until the gateway did as told; both of single changes.
    """

    quiet: list[float] = field(default_factory=list)
    busy: list[float] = field(default_factory=list)
    answered: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    per_second: list[float] = field(default_factory=list)
    failed: int = 0

    def take(self, report: dict[str, Any], *, busy: bool) -> None:
        """One report of the load generator."""
        self.failed += report["unexpected"] + report["failures"]
        (self.busy if busy else self.quiet).append(report["latency_us"]["p99"])

    def document(self) -> dict[str, Any]:
        """All figures, in microseconds for traffic and milliseconds for changes."""
        return {
            "quiet_p99_us": self.quiet,
            "busy_p99_us": self.busy,
            "p99_ratio": round(statistics.median(self.busy) / statistics.median(self.quiet), 3),
            "failed_requests": self.failed,
            "changes_per_second": round(statistics.mean(self.per_second), 1),
            "accept_ms": _milliseconds(self.answered),
            "propagation_ms": _milliseconds(self.live),
        }


def run(plan: Plan, results: Path) -> dict[str, object]:
    """Measure, print and write churn.json; returns the document."""
    plan.check()
    tool = build_tools()
    variants = {"runtime": _runtime(plan, tool).document(), "installation": _installation(plan, tool).document()}
    bars = [
        bar
        for name, figures in variants.items()
        for bar in (
            Bar(f"{name}: p99 of the quiet one", figures["p99_ratio"], 1.2, "x"),
            Bar(f"{name}: change live, p99", figures["propagation_ms"]["p99"], 500, "ms"),
            Bar(f"{name}: requests failed", figures["failed_requests"], 0, ""),
        )
    ]
    rows = [
        [
            name,
            f"{figures['changes_per_second']}",
            f"{statistics.median(figures['quiet_p99_us']):.0f}",
            f"{statistics.median(figures['busy_p99_us']):.0f}",
            *(f"{figures['accept_ms'].get(share, 0):.1f}" for share in ("p50", "p99")),
            *(f"{figures['propagation_ms'][share]:.1f}" for share in ("p50", "p99", "longest")),
        ]
        for name, figures in variants.items()
    ]
    print(f"\nchurn: {plan.entities} entities, {plan.changes:g} changes/s wanted, {plan.rate} requests/s")
    head = ["", "changes/s", "quiet p99 µs", "busy p99 µs", "accept p50 ms", "p99", "live p50 ms", "p99", "longest"]
    print(table(head, rows))
    print_bars(bars)
    document: dict[str, object] = {
        "machine": machine(),
        "plan": asdict(plan),
        "variants": variants,
        "bars": [bar.document() for bar in bars],
    }
    write_json(results / "churn.json", document)
    return document


def _runtime(plan: Plan, tool: Path) -> Series:
    """The runtime alone: changes are announced and fetched as ever, but nobody has to store them."""
    series = Series()
    with Scene(tool) as scene:
        scene.assign(0, 1, Shape(scene.backend(), spare_routes=plan.entities - _OTHERS))
        scene.ask(1.0, first=0, hosts=1, connections=32, rate=plan.rate)
        for number in range(2 * plan.rounds):
            busy = number % 2 == 1
            if busy:
                scene.runtime.do("churn_begin", first=0, count=1, rate=plan.changes)
            series.take(scene.ask(plan.seconds, first=0, hosts=1, connections=32, rate=plan.rate), busy=busy)
            if busy:
                told = scene.runtime.do("churn_end")
                series.per_second.append(told["per_second"])
                series.live += told["seconds"]
    return series


def _installation(plan: Plan, tool: Path) -> Series:
    with installation() as address:
        return asyncio.run(_Churn(plan, tool, address).run())


class _Churn:
    """One tenant of an installation."""

    def __init__(self, plan: Plan, tool: Path, address: Address) -> None:
        self._plan = plan
        self._tool = tool
        self._address = address
        self._series = Series()
        self._routes: list[str] = []
        self._service = ""
        self._host = ""
        self._changes = 0

    async def run(self) -> Series:
        """Everything, and the tenant's end."""
        (port,) = free_ports(1)
        command = [str(self._tool), "backend", "--listen", f"127.0.0.1:{port}", "--expect-secret", SECRET]
        with tempfile.TemporaryDirectory(prefix="sluice-bench-") as place:
            log = Path(place) / "backend.log"
            with Pinned("backend", OTHER_CORE, command, log, ROOT) as backend:
                backend.wait_for_port(port)
                async with Api(self._address) as api:
                    control_plane = await api.gateway(f"bench-{secrets.token_hex(6)}")
                    try:
                        self._host = await api.host(control_plane)
                        await self._furnish(api, control_plane, port)
                        await self._turns(api, control_plane)
                    finally:
                        await api.call("DELETE", f"/v2/control-planes/{control_plane}", None)
        return self._series

    async def _furnish(self, api: Api, control_plane: str, port: int) -> None:
        """As many entities as the plan says; returns when the last one is live."""
        entities = f"/v2/control-planes/{control_plane}/core-entities"
        service = await api.call("POST", f"{entities}/services", {"name": "backend", "url": f"http://127.0.0.1:{port}"})
        self._service = service["id"]
        routes = f"{entities}/services/{self._service}/routes"
        traffic = await api.call("POST", routes, {"name": "traffic", "paths": [PATH], "strip_path": False})
        value = {"headers": [f"Authorization:{SECRET}"]}
        plugin = {"name": "request-transformer", "config": {"replace": value, "add": value}}
        await api.call("POST", f"{entities}/routes/{traffic['id']}/plugins", plugin)
        count = self._plan.entities - _OTHERS

        async def make(number: int) -> None:
            made = await api.call("POST", routes, {"name": f"spare-{number}", "paths": [_path(number)]})
            self._routes.append(made["id"])

        await at_once((make(number) for number in range(count)), _WRITERS)
        gateway = Client(self._address.gateway, self._host)
        await self._until_live(gateway, _path(count - 1))
        await gateway.close()

    async def _turns(self, api: Api, control_plane: str) -> None:
        await asyncio.to_thread(self._traffic(1.0).result)
        for number in range(2 * self._plan.rounds):
            load = self._traffic(self._plan.seconds)
            if number % 2 == 1:
                await self._change_for(self._plan.seconds, api, control_plane)
            self._series.take(await asyncio.to_thread(load.result), busy=number % 2 == 1)

    def _traffic(self, seconds: float) -> Load:
        address = self._address.gateway.removeprefix("http://").rstrip("/")
        command = [str(self._tool), "load", "--address", address, "--host", self._host, "--path", PATH]
        command += ["--connections", "32", "--rate", str(self._plan.rate), "--seconds", str(seconds)]
        return Load(command, seconds)

    async def _change_for(self, seconds: float, api: Api, control_plane: str) -> None:
        """Changes fall due at fixed times; a slow API makes them late, and then there are fewer."""
        begun = time.monotonic()
        due = begun
        wanted = int(seconds * self._plan.changes)
        room = asyncio.Semaphore(_WRITERS)
        started = 0
        async with asyncio.TaskGroup() as group:
            for _ in range(wanted):
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                await room.acquire()
                if time.monotonic() > begun + seconds:
                    room.release()
                    break
                due += 1 / self._plan.changes
                started += 1
                self._changes += 1
                group.create_task(self._change(api, control_plane, self._changes, room))
        self._series.per_second.append(started / seconds)

    async def _change(self, api: Api, control_plane: str, number: int, room: asyncio.Semaphore) -> None:
        path = _path(number, "changed-")
        index = number * 7919 % len(self._routes)
        route = f"/v2/control-planes/{control_plane}/core-entities/routes/{self._routes[index]}"
        body = {"name": f"changed-{index}", "paths": [path], "service": {"id": self._service}}
        begun = time.monotonic()
        try:
            await api.call("PUT", route, body)
        finally:
            room.release()
        accepted = time.monotonic()
        self._series.answered.append(accepted - begun)
        if number % _PROBE_EVERY == 0:
            gateway = Client(self._address.gateway, self._host)
            await self._until_live(gateway, path)
            self._series.live.append(time.monotonic() - accepted)
            await gateway.close()

    async def _until_live(self, gateway: Client, path: str) -> None:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            # The backend refuses what lacks the secret: any answer of its own means that the route is there.
            try:
                if await gateway.status(path) != 404:
                    return
            except TrafficError as error:
                raise BenchError(str(error)) from None
            await asyncio.sleep(_PROBE_SECONDS)
        message = f"not live after {_PATIENCE_SECONDS:g} s"
        raise BenchError(message)


def _path(number: int, kind: str = "") -> str:
    """Of one width: a path that begins like another one's would be served by that one's route before its own is there."""
    return f"{SPARE}/{kind}{number:08}"


def _milliseconds(seconds: list[float]) -> dict[str, float]:
    if not seconds:
        return {}
    shares = (("p50", 0.5), ("p99", 0.99), ("longest", 1.0))
    return {name: round(quantile(seconds, share) * 1e3, 2) for name, share in shares}
