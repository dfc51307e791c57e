"""How long a new runtime takes until it serves everything that its region is assigned, and one that remembers its configuration.

The control plane is real: API and PostgreSQL of an installation of our own. The runtime is the agent and the engine, without listeners,
in this process; it shows the certificate of the installation's own gateway.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core import logging
from gateway_runtime.acks import AckBox
from gateway_runtime.cache import LastKnownGood
from gateway_runtime.client import HttpControlPlane
from gateway_runtime.engine import Engine
from gateway_runtime.identity import NodeIdentity
from gateway_runtime.spec import GatewaySpec
from gateway_runtime.sync import Sync
from schema.version import VERSION
from tests.bench.installation import Api, address_of, at_once, own_stack
from tests.bench.processes import BenchError, usage_of
from tests.bench.report import machine, table, write_json
from tests.bench.tenants import PATH, SECRET

if TYPE_CHECKING:
    from tests.support.stack import Stack

_REGION = "us"
_WRITERS = 8
_PATIENCE_SECONDS = 600.0
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Start:
    """Seconds until everything ran, and CPU seconds of this process (agent and engine) and of the API; `served`: how many control planes."""

    served: int
    seconds: float
    runtime_cpu: float
    api_cpu: float

    def document(self) -> dict[str, float]:
        """Per control plane in milliseconds, and what that makes for 10,000."""
        return {
            "served": self.served,
            "seconds": round(self.seconds, 3),
            "ms_each": round(self.seconds / self.served * 1e3, 3),
            "runtime_cpu_ms_each": round(self.runtime_cpu / self.served * 1e3, 3),
            "api_cpu_ms_each": round(self.api_cpu / self.served * 1e3, 3),
            "seconds_for_10000": round(self.seconds / self.served * _MANY, 1),
        }


def run(gateways: int, results: Path) -> dict[str, object]:
    """Measure, print and write start.json; returns the document."""
    if not 1 <= gateways <= 20_000:
        raise BenchError("gateways 1 to 20000")
    logging.configure("warning")
    with own_stack() as stack, tempfile.TemporaryDirectory(prefix="sluice-bench-") as place:
        asyncio.run(_fill(stack, gateways))
        starts = {
            "nothing on disk": asyncio.run(_start(stack, Path(place))),
            "everything on disk": asyncio.run(_start(stack, Path(place))),
        }
    figures = {name: start.document() for name, start in starts.items()}
    print(f"\nstart: {gateways} control planes of 3 entities")
    columns = ("seconds", "ms_each", "runtime_cpu_ms_each", "api_cpu_ms_each", "seconds_for_10000")
    head = ["", "seconds", "ms each", "runtime CPU ms each", "API CPU ms each", "s for 10,000"]
    print(table(head, [[name, *(f"{row[column]:.2f}" for column in columns)] for name, row in figures.items()]))
    document: dict[str, object] = {"machine": machine(), "gateways": gateways, "starts": figures}
    write_json(results / "start.json", document)
    return document


async def _fill(stack: Stack, gateways: int) -> None:
    async with Api(address_of(stack.env)) as api:

        async def make(number: int) -> None:
            control_plane = await api.gateway(f"bench-{number}")
            entities = f"/v2/control-planes/{control_plane}/core-entities"
            service = (await api.call("POST", f"{entities}/services", {"name": "b", "url": "http://127.0.0.1:9"}))["id"]
            await api.call("POST", f"{entities}/services/{service}/routes", {"name": "all", "paths": [PATH]})
            config: dict[str, Any] = {"add": {"headers": [f"Authorization:{SECRET}"]}}
            plugin = {"name": "request-transformer", "config": config}
            await api.call("POST", f"{entities}/services/{service}/plugins", plugin)
            await api.host(control_plane)

        await at_once((make(number) for number in range(gateways)), _WRITERS)


async def _start(stack: Stack, place: Path) -> Start:
    """One start; what is on disk below `place` afterwards is what it ran."""
    spec = await asyncio.to_thread(GatewaySpec.load, stack.state.root / "gateways" / _REGION / "spec.json", {})
    identity = NodeIdentity(spec.node_id, spec.node_certificate_file, spec.node_key_file)
    engine = Engine(json.dumps({"listeners": [], "threads": 1, "version": VERSION}).encode())
    cache = LastKnownGood(place / "cache", identity.derive_key)
    control_plane = HttpControlPlane(spec.api_url, identity.assertion, ca_file=spec.api_ca_file)
    api = stack.processes()["api"]
    begun, cpu, api_cpu = time.monotonic(), time.process_time(), usage_of(api).cpu_seconds
    async with contextlib.aclosing(control_plane):
        sync = Sync(engine, control_plane, cache, AckBox(str(spec.node_id), control_plane))
        await asyncio.to_thread(sync.load_cache)
        agent = asyncio.create_task(sync.run())
        try:
            await asyncio.wait_for(sync.synced.wait(), _PATIENCE_SECONDS)
        except TimeoutError:
            raise BenchError("not everything was served in time") from None
        finally:
            # The disk may be a moment behind; what the second start finds there is everything but the last few.
            seconds = time.monotonic() - begun
            agent.cancel()
            await asyncio.gather(agent, return_exceptions=True)
    used = time.process_time() - cpu, usage_of(api).cpu_seconds - api_cpu
    await asyncio.to_thread(cache.close)
    return Start(len(json.loads(engine.versions())), seconds, *used)
