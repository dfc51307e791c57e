"""How long people wait: from the creation of a serverless gateway to its first answer, and from a change to its effect.

Each run makes a control plane, asks for a serverless gateway in region us, adds service, route and a plugin that injects a
secret, and asks the gateway until the backend answers with the secret in its hands. Then it changes the secret and asks until the
backend sees the new one; answers other than 200 on the way count as dropped. Then it deletes what it made.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx

from cli.up import environment_file
from tests.bench.processes import BenchError
from tests.bench.report import machine, quantile, table, write_json
from tests.conformance.echo import Backends
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Mapping

ROOT = Path(__file__).parents[2]
_REGION = "us"
_POLL_SECONDS = 0.005
_PATIENCE_SECONDS = 60.0
_REQUIRED = ("SLUICE_API", "SLUICE_PAT", "SLUICE_GATEWAY_US")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running stack is, and a token for it."""

    api: str
    token: str
    gateway: str


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
    stack = running_stack()
    waits = asyncio.run(_measure(stack, runs)) if stack is not None else _measure_own(runs)
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


def running_stack() -> Address | None:
    """The stack that `.sluice/env` describes, if its API answers."""
    place = Path(os.environ.get("SLUICE_STATE_DIR") or ROOT / ".sluice") / "env"
    try:
        environment = environment_file.parse(place.read_text())
    except FileNotFoundError:
        return None
    if not all(environment.get(name) for name in _REQUIRED):
        return None
    stack = _stack_of(environment)
    try:
        answer = httpx.get(f"{stack.api}/v3/users/me", headers={"Authorization": f"Bearer {stack.token}"}, timeout=5)
    except httpx.TransportError:
        return None
    return stack if answer.status_code == 200 else None


def _measure_own(runs: int) -> Waits:
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as place:
        own = Stack(Path(place) / "state")
        try:
            own.start()
            return asyncio.run(_measure(_stack_of(own.env), runs))
        except AssertionError as error:  # what a test would see
            raise BenchError(str(error)) from None
        finally:
            own.clean_up()


def _stack_of(environment: Mapping[str, str]) -> Address:
    api, token, gateway = (environment[name] for name in _REQUIRED)
    return Address(api, token, gateway)


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
        httpx.AsyncClient(
            base_url=stack.api, headers={"Authorization": f"Bearer {stack.token}"}, timeout=30, trust_env=False
        ) as api,
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
    def __init__(self, api: httpx.AsyncClient, gateway: httpx.AsyncClient, backend: str) -> None:
        self._api = api
        self._gateway = gateway
        self._backend = backend

    async def run(self, waits: Waits) -> None:
        """One run, measured into `waits`; deletes what it made, whatever happens."""
        started = time.monotonic()
        name = f"bench-{secrets.token_hex(6)}"
        body = {"name": name, "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": True}
        control_plane = (await self._call("POST", "/v2/control-planes", body))["id"]
        try:
            await self._use(control_plane, started, waits)
        finally:
            await self._call("DELETE", f"/v2/control-planes/{control_plane}", None)

    async def _use(self, control_plane: str, started: float, waits: Waits) -> None:
        group = {"provider": "aws", "region": _REGION}
        configuration = {"control_plane_id": control_plane, "control_plane_geo": _REGION, "kind": "serverless.v1"}
        await self._call("PUT", "/v2/cloud-gateways/configurations", {**configuration, "dataplane_groups": [group]})
        entities = f"/v2/control-planes/{control_plane}/core-entities"
        service = (await self._call("POST", f"{entities}/services", {"name": "backend", "url": self._backend}))["id"]
        route = {"name": "all", "paths": ["/bench"]}
        await self._call("POST", f"{entities}/services/{service}/routes", route)
        secret = secrets.token_hex(8)
        plugin = (await self._call("POST", f"{entities}/services/{service}/plugins", _plugin(secret)))["id"]
        host = await self._host(control_plane)
        await self._until(host, secret, started)
        waits.ready.append(time.monotonic() - started)

        secret = secrets.token_hex(8)
        changed = time.monotonic()
        await self._call("PUT", f"{entities}/plugins/{plugin}", {**_plugin(secret), "service": {"id": service}})
        waits.dropped += await self._until(host, secret, changed)
        waits.live.append(time.monotonic() - changed)

    async def _host(self, control_plane: str) -> str:
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while time.monotonic() < deadline:
            document = await self._call("GET", f"/v2/control-planes/{control_plane}", None)
            for url in document["config"]["proxy_urls"]:
                return str(url["host"])
            await asyncio.sleep(_POLL_SECONDS)
        raise BenchError("the control plane was given no proxy_urls")

    async def _until(self, host: str, secret: str, since: float) -> int:
        """Ask until the backend has seen the secret; how many answers on the way were not 200."""
        refused = 0
        while time.monotonic() - since < _PATIENCE_SECONDS:
            answer = await self._gateway.get("/bench/x", headers={"Host": host})
            if answer.status_code != 200:
                refused += 1
            elif any(line == ["authorization", f"Bearer {secret}"] for line in _lines(answer)):
                return refused
            await asyncio.sleep(_POLL_SECONDS)
        message = f"not live after {_PATIENCE_SECONDS:g} s"
        raise BenchError(message)

    async def _call(self, method: str, path: str, body: object) -> Any:
        answer = await self._api.request(method, path, json=body) if body else await self._api.request(method, path)
        if not answer.is_success:
            message = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
            raise BenchError(message)
        return answer.json() if answer.content else None


def _plugin(secret: str) -> dict[str, object]:
    return {"name": "request-transformer", "config": {"add": {"headers": [f"Authorization:Bearer {secret}"]}}}


def _lines(answer: httpx.Response) -> list[list[str]]:
    return [[name.lower(), value] for name, value in answer.json()["headers"]]
