"""An installation to measure: one that runs, or one of our own; and its API."""

from __future__ import annotations

import asyncio
import contextlib
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import httpx

from cli.up import environment_file
from tests.bench.processes import BenchError
from tests.support.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Coroutine, Generator, Iterable, Mapping

ROOT = Path(__file__).parents[2]
POLL_SECONDS = 0.005
PATIENCE_SECONDS = 60.0
_REGION = "us"
_REQUIRED = ("SLUICE_API", "SLUICE_PAT", "SLUICE_GATEWAY_US")


@dataclass(frozen=True, slots=True)
class Address:
    """Where a running stack is, and a token for it."""

    api: str
    token: str
    gateway: str


@contextlib.contextmanager
def installation() -> Generator[Address]:
    """The one that `.sluice/env` (or `SLUICE_STATE_DIR`) names, if its API answers; else one of our own on free ports, ended afterwards.

    Raises: BenchError: it does not start.
    """
    running = running_stack()
    if running is not None:
        yield running
        return
    with own_stack() as own:
        yield address_of(own.env)


@contextlib.contextmanager
def own_stack() -> Generator[Stack]:
    """An installation of our own on free ports, with an empty state, ended afterwards.

    Raises: BenchError: it does not start.
    """
    with tempfile.TemporaryDirectory(prefix="sluice-bench-") as place:
        own = Stack(Path(place) / "state")
        try:
            try:
                own.start()
            except AssertionError as error:  # what a test would see
                raise BenchError(str(error)) from None
            yield own
        finally:
            own.clean_up()


def running_stack() -> Address | None:
    """The stack that `.sluice/env` describes, if its API answers."""
    place = Path(os.environ.get("SLUICE_STATE_DIR") or ROOT / ".sluice") / "env"
    try:
        environment = environment_file.parse(place.read_text())
    except FileNotFoundError:
        return None
    if not all(environment.get(name) for name in _REQUIRED):
        return None
    stack = address_of(environment)
    try:
        answer = httpx.get(f"{stack.api}/v3/users/me", headers={"Authorization": f"Bearer {stack.token}"}, timeout=5)
    except httpx.TransportError:
        return None
    return stack if answer.status_code == 200 else None


def address_of(environment: Mapping[str, str]) -> Address:
    """From what `.sluice/env` says."""
    api, token, gateway = (environment[name] for name in _REQUIRED)
    return Address(api, token, gateway)


async def at_once(work: Iterable[Coroutine[Any, Any, None]], count: int) -> None:
    """Do all of it, `count` at a time."""
    left = iter(work)

    async def worker() -> None:
        for one in left:
            await one

    await asyncio.gather(*(worker() for _ in range(count)))


class Api:
    """The REST API as the bootstrap administrator; a context manager."""

    def __init__(self, address: Address) -> None:
        headers = {"Authorization": f"Bearer {address.token}"}
        self._http = httpx.AsyncClient(base_url=address.api, headers=headers, timeout=60, trust_env=False)

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def call(self, method: str, path: str, body: object) -> Any:
        """One call; None for an empty answer.

        Raises: BenchError: any status but 2xx.
        """
        answer = await self._http.request(method, path, json=body) if body else await self._http.request(method, path)
        if not answer.is_success:
            message = f"{method} {path}: {answer.status_code} {answer.text[:300]}"
            raise BenchError(message)
        return answer.json() if answer.content else None

    async def gateway(self, name: str) -> str:
        """A control plane with a serverless gateway; its id."""
        body = {"name": name, "cluster_type": "CLUSTER_TYPE_SERVERLESS_V1", "cloud_gateway": True}
        control_plane: str = (await self.call("POST", "/v2/control-planes", body))["id"]
        await self.serve(control_plane)
        return control_plane

    async def serve(self, control_plane: str) -> None:
        """Give a control plane a serverless gateway."""
        group = {"provider": "aws", "region": _REGION}
        configuration = {"control_plane_id": control_plane, "control_plane_geo": _REGION, "kind": "serverless.v1"}
        await self.call("PUT", "/v2/cloud-gateways/configurations", {**configuration, "dataplane_groups": [group]})

    async def host(self, control_plane: str) -> str:
        """The gateway's host, as soon as it has one."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            document = await self.call("GET", f"/v2/control-planes/{control_plane}", None)
            for url in document["config"]["proxy_urls"]:
                return str(url["host"])
            await asyncio.sleep(POLL_SECONDS)
        raise BenchError("the control plane was given no proxy_urls")
