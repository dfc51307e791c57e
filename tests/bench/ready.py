"""How long people wait: from the creation of a serverless gateway to its first answer, and from a change to its effect.

Each run makes a control plane, asks for a serverless gateway in region us, adds service, route and a plugin that injects a
secret, and asks the gateway until the backend answers with the secret in its hands. Then it changes the secret and asks until the
backend sees the new one; answers other than 200 on the way count as dropped. Then it deletes what it made.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import httpx

from tests.bench.installation import PATIENCE_SECONDS, POLL_SECONDS, Address, Api, installation
from tests.bench.processes import BenchError
from tests.bench.report import machine, quantile, table, write_json
from tests.conformance.echo import Backends

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(slots=True)
class Waits:
    """Seconds, one per run; `dropped` counts answers other than 200 while a secret changed."""

    ready: list[float] = field(default_factory=list)
    live: list[float] = field(default_factory=list)
    dropped: int = 0


def run(runs: int, results: Path) -> dict[str, object]:
    """Measure against the stack that runs, or against one of our own; print and write ready.json."""
    if not 1 <= runs <= 2000:
        raise BenchError("runs 1 to 2000")
    with installation() as address:
        waits = asyncio.run(_measure(address, runs))
    figures = {"create_to_200": _figures(waits.ready), "change_to_live": _figures(waits.live)}
    rows = [
        [name, *(f"{row[key] * 1000:.0f}" for key in ("p50", "p99", "longest"))]
        for name, row in (
            ("create -> first 200", figures["create_to_200"]),
            ("change -> live", figures["change_to_live"]),
        )
    ]
    print(f"\nready: {runs} runs, {waits.dropped} requests dropped while secrets changed")
    print(table(["", "p50 ms", "p99 ms", "longest ms"], rows))
    document: dict[str, object] = {"machine": machine(), "runs": runs, "dropped": waits.dropped, "seconds": figures}
    write_json(results / "ready.json", document)
    return document


def _figures(seconds: list[float]) -> dict[str, float]:
    return {
        "p50": round(quantile(seconds, 0.5), 4),
        "p99": round(quantile(seconds, 0.99), 4),
        "longest": round(max(seconds), 4),
    }


async def _measure(stack: Address, runs: int) -> Waits:
    waits = Waits()
    async with (
        Backends({"$upstream"}) as backends,
        Api(stack) as api,
        httpx.AsyncClient(base_url=stack.gateway, timeout=30, trust_env=False) as gateway,
    ):
        host, port = backends.addresses["$upstream"]
        client = _Client(api, gateway, f"http://{host}:{port}")
        # One run before the first measured one: lazily made connections and imports are nobody's wait.
        for number in range(runs + 1):
            one = Waits()
            await client.run(one)
            if number:
                waits.ready += one.ready
                waits.live += one.live
                waits.dropped += one.dropped
            backends.record.requests.clear()
    return waits


class _Client:
    def __init__(self, api: Api, gateway: httpx.AsyncClient, backend: str) -> None:
        self._api = api
        self._gateway = gateway
        self._backend = backend

    async def run(self, waits: Waits) -> None:
        """One run, measured into `waits`; deletes what it made, whatever happens."""
        started = time.monotonic()
        name = f"bench-{secrets.token_hex(6)}"
        control_plane = await self._api.gateway(name)
        try:
            await self._use(control_plane, started, waits)
        finally:
            await self._api.call("DELETE", f"/v2/control-planes/{control_plane}", None)

    async def _use(self, control_plane: str, started: float, waits: Waits) -> None:
        entities = f"/v2/control-planes/{control_plane}/core-entities"
        service = (await self._api.call("POST", f"{entities}/services", {"name": "backend", "url": self._backend}))[
            "id"
        ]
        route = {"name": "all", "paths": ["/bench"]}
        await self._api.call("POST", f"{entities}/services/{service}/routes", route)
        secret = secrets.token_hex(8)
        plugin = (await self._api.call("POST", f"{entities}/services/{service}/plugins", _plugin(secret)))["id"]
        host = await self._api.host(control_plane)
        await self._until(host, secret, started)
        waits.ready.append(time.monotonic() - started)

        secret = secrets.token_hex(8)
        changed = time.monotonic()
        await self._api.call("PUT", f"{entities}/plugins/{plugin}", {**_plugin(secret), "service": {"id": service}})
        waits.dropped += await self._until(host, secret, changed)
        waits.live.append(time.monotonic() - changed)

    async def _until(self, host: str, secret: str, since: float) -> int:
        """Ask until the backend has seen the secret; how many answers on the way were not 200."""
        refused = 0
        while time.monotonic() - since < PATIENCE_SECONDS:
            answer = await self._gateway.get("/bench/x", headers={"Host": host})
            if answer.status_code != 200:
                refused += 1
            elif any(line == ["authorization", f"Bearer {secret}"] for line in _lines(answer)):
                return refused
            await asyncio.sleep(POLL_SECONDS)
        message = f"not live after {PATIENCE_SECONDS:g} s"
        raise BenchError(message)


def _plugin(secret: str) -> dict[str, object]:
    return {"name": "request-transformer", "config": {"add": {"headers": [f"Authorization:Bearer {secret}"]}}}


def _lines(answer: httpx.Response) -> list[list[str]]:
    return [[name.lower(), value] for name, value in answer.json()["headers"]]
