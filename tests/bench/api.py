"""What the REST API can do on one core: reads and writes of entities, while the control plane grows."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit
from uuid import uuid4

from tests.bench.installation import Api, address_of, own_stack
from tests.bench.processes import BenchError, usage_of
from tests.bench.report import machine, quantile, table, write_json

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.bench.installation import Address

SIZES = (100, 1_000, 10_000, 50_000)
CONNECTIONS = 8
BARS = {"GET": 700.0, "POST": 300.0}
"""Requests per second and core."""


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


def run(seconds: float, most: int, results: Path) -> dict[str, object]:
    """Measure, print and write api.json; returns the document."""
    if not 0.5 <= seconds <= 60 or not SIZES[0] <= most <= SIZES[-1]:
        raise BenchError(f"seconds 0.5 to 60, entities {SIZES[0]} to {SIZES[-1]}")
    with own_stack() as stack:
        address, pid = address_of(stack.env), stack.processes()["api"]
        figures = asyncio.run(_measure(address, pid, seconds, [size for size in SIZES if size <= most]))
    head = ["", "entities", "requests", "per second", "API CPU ms", "per core", "bar", "p50 ms", "p99 ms"]
    rows = [
        [
            figure.operation,
            str(figure.entities),
            str(figure.requests),
            f"{figure.per_second:.0f}",
            f"{figure.cpu_ms:.2f}",
            f"{figure.per_core:.0f}",
            f"{BARS[figure.operation]:.0f}",
            f"{figure.p50_ms:.1f}",
            f"{figure.p99_ms:.1f}",
        ]
        for figure in figures
    ]
    print(f"\napi: {CONNECTIONS} connections, {seconds:g} s each")
    print(table(head, rows))
    document: dict[str, object] = {
        "machine": machine(),
        "bars": BARS,
        "figures": [asdict(figure) for figure in figures],
    }
    write_json(results / "api.json", document)
    return document


async def _measure(address: Address, pid: int, seconds: float, sizes: list[int]) -> list[Figure]:
    figures: list[Figure] = []
    async with Api(address) as api:
        for size in sizes:
            body = {"name": f"bench-{size}", "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1"}
            control_plane = (await api.call("POST", "/v2/control-planes", body))["id"]
            base = f"/v2/control-planes/{control_plane}/core-entities"
            services = [{"name": f"s-{number}", "host": "h"} for number in range(size)]
            made = await api.call("POST", f"{base}/config", {"_format_version": "3.0", "services": services})
            ids = [service["id"] for service in made["services"]]
            one = _Load(address, pid, seconds)
            read = await one.run(
                200, lambda number, base=base, ids=ids: ("GET", f"{base}/services/{ids[number % len(ids)]}", b"")
            )
            figures.append(_figure(size, "GET", read, seconds))
            write = await one.run(201, lambda _, base=base: ("POST", f"{base}/services", _service()))
            figures.append(_figure(size, "POST", write, seconds))
    return figures


def _service() -> bytes:
    return json.dumps({"name": uuid4().hex, "host": "h"}).encode()


def _figure(size: int, operation: str, measured: tuple[list[float], float], seconds: float) -> Figure:
    times, cpu = measured
    cpu_ms = cpu / len(times) * 1e3
    return Figure(
        entities=size,
        operation=operation,
        requests=len(times),
        per_second=round(len(times) / seconds, 1),
        cpu_ms=round(cpu_ms, 3),
        per_core=round(1e3 / cpu_ms, 1),
        p50_ms=round(quantile(times, 0.5) * 1e3, 2),
        p99_ms=round(quantile(times, 0.99) * 1e3, 2),
    )


class _Load:
    """A closed loop of keep-alive connections that costs little itself; any other answer than the expected one ends it."""

    def __init__(self, address: Address, pid: int, seconds: float) -> None:
        target = urlsplit(address.api)
        self._host, self._port = target.hostname or "127.0.0.1", target.port or 80
        self._head = f"Host: {target.netloc}\r\nAuthorization: Bearer {address.token}\r\n"
        self._pid = pid
        self._seconds = seconds
        self._number = 0

    async def run(self, status: int, request: Callable[[int], tuple[str, str, bytes]]) -> tuple[list[float], float]:
        """Seconds of each request, and CPU seconds of the API in all."""
        times: list[float] = []
        cpu = usage_of(self._pid).cpu_seconds
        deadline = time.monotonic() + self._seconds
        await asyncio.gather(*(self._connection(status, request, times, deadline) for _ in range(CONNECTIONS)))
        return times, usage_of(self._pid).cpu_seconds - cpu

    async def _connection(
        self, status: int, request: Callable[[int], tuple[str, str, bytes]], times: list[float], deadline: float
    ) -> None:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            while time.monotonic() < deadline:
                self._number += 1
                method, path, body = request(self._number)
                content = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
                begun = time.monotonic()
                writer.write(f"{method} {path} HTTP/1.1\r\n{self._head}{content}\r\n".encode() + body)
                head = await reader.readuntil(b"\r\n\r\n")
                lines = head.decode().lower().split("\r\n")
                length = next(int(line[15:]) for line in lines if line.startswith("content-length:"))
                answer = await reader.readexactly(length)
                if lines[0].split()[1] != str(status):
                    message = f"{method} {path}: {lines[0]} {answer[:300]!r}"
                    raise BenchError(message)
                times.append(time.monotonic() - begun)
        finally:
            writer.close()
