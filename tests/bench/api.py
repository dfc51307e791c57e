"""What the REST API can do on one core: reads, writes and lists of entities and deltas for runtimes, while the control plane
grows; and a sync as decK does it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import httpx

from gateway_runtime.client import ConfigUpdate, HttpControlPlane
from gateway_runtime.identity import NodeIdentity
from gateway_runtime.spec import GatewaySpec
from tests.bench.installation import Api, address_of, own_stack
from tests.bench.processes import BenchError, usage_of
from tests.bench.report import machine, quantile, table, write_json
from tests.bench.requests import Client, Measured, Request
from tests.bench.scene import Bar, print_bars

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from tests.bench.installation import Address
    from tests.support.stack import Stack

SIZES = (1_000, 10_000, 50_000)
CONNECTIONS = 8
MOST_CPU_MS = {"GET": 1000 / 700, "POST": 1000 / 300}
"""700 reads and 300 writes per second and core."""
MOST_LIST_MS = 40.0
MOST_SYNC_SECONDS = 20.0
MOST_GROWTH = 1.25
"""What the largest control plane may cost over the smallest; it should be 1, and single measurements differ by a tenth and more."""
SYNCED = 1_000
"""Of each of services, routes and plugins."""
_PAGE = 1_000
_IMPORT_SECONDS = 600.0
_REGION = "us"


@dataclass(frozen=True, slots=True)
class Figure:
    """One operation at one size. `per_core`: what one core could do, from the API's CPU time."""

    entities: int
    operation: str
    requests: int
    per_second: float
    cpu_ms: float
    per_core: float
    p50_ms: float
    p99_ms: float

    @classmethod
    def of(cls, entities: int, operation: str, measured: Measured) -> Figure:
        cpu_ms = measured.cpu / len(measured.times) * 1e3
        return cls(
            entities=entities,
            operation=operation,
            requests=len(measured.times),
            per_second=round(len(measured.times) / measured.seconds, 1),
            cpu_ms=round(cpu_ms, 3),
            per_core=round(1e3 / cpu_ms, 1),
            p50_ms=round(quantile(measured.times, 0.5) * 1e3, 2),
            p99_ms=round(quantile(measured.times, 0.99) * 1e3, 2),
        )

    def cells(self) -> list[str]:
        """A row for people."""
        numbers = (f"{self.per_second:.0f}", f"{self.cpu_ms:.2f}", f"{self.per_core:.0f}")
        return [
            self.operation,
            f"{self.entities:,}",
            str(self.requests),
            *numbers,
            f"{self.p50_ms:.1f}",
            f"{self.p99_ms:.1f}",
        ]


def run(seconds: float, most: int, results: Path) -> dict[str, object]:
    """Measure, print and write api.json; returns the document."""
    if not 0.5 <= seconds <= 60 or not SIZES[0] <= most <= SIZES[-1]:
        raise BenchError(f"seconds 0.5 to 60, entities {SIZES[0]} to {SIZES[-1]}")
    with own_stack() as stack:
        figures, synced = asyncio.run(_measure(stack, seconds, [size for size in SIZES if size <= most]))
    head = ["", "entities", "requests", "per second", "API CPU ms", "per core", "p50 ms", "p99 ms"]
    print(f"\napi: {CONNECTIONS} connections, lists and deltas on one; {seconds:g} s each")
    print(table(head, [figure.cells() for figure in figures]))
    print(
        f"\nsync of {3 * SYNCED:,} entities, 10 at once: {synced.seconds:.1f} s, {synced.cpu:.1f} s of the API's CPU\n"
    )
    bars = [*_bars(figures), Bar(f"sync of {3 * SYNCED:,} entities", synced.seconds, MOST_SYNC_SECONDS, "s")]
    print_bars(bars)
    document: dict[str, object] = {
        "machine": machine(),
        "figures": [asdict(figure) for figure in figures],
        "sync": {"entities": 3 * SYNCED, "seconds": synced.seconds, "cpu_seconds": synced.cpu},
        "bars": [bar.document() for bar in bars],
    }
    write_json(results / "api.json", document)
    return document


def _bars(figures: Sequence[Figure]) -> list[Bar]:
    bars = [
        Bar(f"{item.operation} of {item.entities:,}: API CPU", item.cpu_ms, MOST_CPU_MS[item.operation], "ms")
        for item in figures
        if item.operation in MOST_CPU_MS
    ]
    lists = [item for item in figures if item.operation == "list"]
    bars += [Bar(f"list of {_PAGE:,} of {item.entities:,}: p50", item.p50_ms, MOST_LIST_MS, "ms") for item in lists]
    for operation in dict.fromkeys(item.operation for item in figures):
        own = [item for item in figures if item.operation == operation]
        if len(own) > 1:
            growth = own[-1].cpu_ms / own[0].cpu_ms
            bars.append(
                Bar(f"{operation}: CPU at {own[-1].entities:,} over {own[0].entities:,}", growth, MOST_GROWTH, "x")
            )
    return bars


async def _measure(stack: Stack, seconds: float, sizes: list[int]) -> tuple[list[Figure], Measured]:
    address, pid = address_of(stack.env), stack.processes()["api"]
    client = Client(address, pid)
    figures: list[Figure] = []
    async with Api(address) as api:
        synced = await _sync(api, client)
        for size in sizes:
            control_plane, ids = await _filled(api, address, size)
            services = f"/v2/control-planes/{control_plane}/core-entities/services"

            def read(number: int, services: str = services, ids: Sequence[str] = ids) -> Request:
                return Request("GET", f"{services}/{ids[number * 7919 % len(ids)]}", 200)

            def write(_: int, services: str = services) -> Request:
                return Request("POST", services, 201, json.dumps({"name": uuid4().hex, "host": "h"}).encode())

            def page(_: int, services: str = services) -> Request:
                return Request("GET", f"{services}?size={_PAGE}", 200)

            figures += [
                Figure.of(size, "GET", await client.repeat(read, seconds, CONNECTIONS)),
                Figure.of(size, "POST", await client.repeat(write, seconds, CONNECTIONS)),
                Figure.of(size, "list", await client.repeat(page, seconds, 1)),
                Figure.of(size, "delta", await _deltas(stack, api, control_plane, seconds)),
            ]
    return sorted(figures, key=lambda item: ("GET", "POST", "list", "delta").index(item.operation)), synced


async def _filled(api: Api, address: Address, size: int) -> tuple[str, list[str]]:
    """A control plane with so many services, made by one file; its id and theirs."""
    body = {"name": f"bench-{size}", "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": True}
    control_plane: str = (await api.call("POST", "/v2/control-planes", body))["id"]
    file = {"_format_version": "3.0", "services": [{"name": f"s-{number}", "host": "h"} for number in range(size)]}
    headers = {"Authorization": f"Bearer {address.token}"}
    begun = time.monotonic()
    async with httpx.AsyncClient(
        base_url=address.api, headers=headers, timeout=_IMPORT_SECONDS, trust_env=False
    ) as http:
        made = await http.post(f"/v2/control-planes/{control_plane}/core-entities/config", json=file)
    if made.status_code != 201:
        message = f"the import of {size} services: {made.status_code} {made.text[:300]}"
        raise BenchError(message)
    print(f"imported {size:,} services in {time.monotonic() - begun:.1f} s")
    return control_plane, [service["id"] for service in made.json()["services"]]


async def _deltas(stack: Stack, api: Api, control_plane: str, seconds: float) -> Measured:
    """The newest change of a control plane as a runtime fetches it, one after the other; from here on a gateway serves it."""
    await api.serve(control_plane)
    await api.host(control_plane)
    path = f"/v2/control-planes/{control_plane}/expected-config-version"
    version = int((await api.call("GET", path, None))["expected_config_version"])
    spec = await asyncio.to_thread(GatewaySpec.load, stack.state.root / "gateways" / _REGION / "spec.json", {})
    identity = NodeIdentity(spec.node_id, spec.node_certificate_file, spec.node_key_file)
    runtime = HttpControlPlane(spec.api_url, identity.assertion, ca_file=spec.api_ca_file)
    pid = stack.processes()["api"]
    found = Measured()
    async with contextlib.aclosing(runtime):
        await _one_delta(runtime, control_plane, version)  # by now the gateway has its snapshot, too
        await asyncio.sleep(2)
        cpu, begun = usage_of(pid).cpu_seconds, time.monotonic()
        while time.monotonic() < begun + seconds:
            asked = time.monotonic()
            await _one_delta(runtime, control_plane, version)
            found.times.append(time.monotonic() - asked)
        found.seconds, found.cpu = time.monotonic() - begun, usage_of(pid).cpu_seconds - cpu
    return found


async def _one_delta(runtime: HttpControlPlane, control_plane: str, version: int) -> None:
    async for answer in runtime.fetch({control_plane: version - 1}):
        if not isinstance(answer, ConfigUpdate) or answer.is_snapshot or answer.version != version:
            message = f"no delta to version {version}: {answer!r:.300}"
            raise BenchError(message)


async def _sync(api: Api, client: Client) -> Measured:
    """What decK sends for a file of services, a route and a plugin of each: all lists, then tier by tier, ten at once."""
    control_plane = (await api.call("POST", "/v2/control-planes", {"name": "bench-sync"}))["id"]
    base = f"/v2/control-planes/{control_plane}/core-entities"
    kinds = (
        "services",
        "routes",
        "plugins",
        "snis",
        "upstreams",
        "certificates",
        "consumers",
        "targets",
        "vaults",
        "acls",
    )
    whole = Measured()
    tiers = [[Request("GET", f"{base}/{kind}?size=1000", 200) for kind in kinds], *_tiers(base)]
    for tier in tiers:
        done = await client.send(iter(tier), 10)
        whole.times += done.times
        whole.seconds += done.seconds
        whole.cpu += done.cpu
    return whole


def _tiers(base: str) -> Iterator[list[Request]]:
    ids = [[str(uuid4()) for _ in range(SYNCED)] for _ in range(3)]

    def put(kind: str, identifier: str, body: dict[str, Any]) -> Request:
        content = json.dumps({"id": identifier, **body, "tags": ["bench"]}).encode()
        return Request("PUT", f"{base}/{kind}/{identifier}", 200, content)

    yield [put("services", own, {"name": f"s-{n}", "host": "h", "retries": 5}) for n, own in enumerate(ids[0])]
    yield [
        put("routes", own, {"name": f"r-{n}", "paths": [f"/{n}"], "service": {"id": ids[0][n]}})
        for n, own in enumerate(ids[1])
    ]
    yield [
        put("plugins", own, {"name": "rate-limiting", "config": {"minute": n + 1}, "route": {"id": ids[1][n]}})
        for n, own in enumerate(ids[2])
    ]
