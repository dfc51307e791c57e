"""Many tenants from nothing: a control plane in memory that makes up their configuration when it is asked for.

It keeps a few numbers per tenant, so that what a process weighs is the runtime and not this.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from dataclasses import asdict, dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from gateway_runtime.client import (
    Answer,
    Assigned,
    Assignment,
    Assignments,
    ConfigUpdate,
    NotGiven,
    Removed,
    StreamMessage,
    TargetOrder,
    Version,
)
from schema.declarative import load
from schema.snapshot import GatewaySettings, Limits

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping, Sequence

HOSTS = "t{}.bench.test"
"""A tenant's host, by its number; the load generator counts the same way."""
PATH = "/bench"
SPARE = "/spare"
"""Routes that no traffic is for are below."""
SECRET = "Bearer bench-2b7e151628aed2a6"
ORGANIZATION = UUID("00000000-0000-4000-8000-0000000000ff")
_CREDENTIAL_KEY = bytes(range(32))
CHANGES_KEPT = 200
"""Of each tenant: enough for a runtime that is seconds late, and soon as many as there will ever be."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What tenants look like: a service at a port of loopback, its route, a plugin that injects a secret, and more routes.

    Attributes: `requests_per_second`, the tenant's budget (None: unlimited).
    """

    backend_port: int
    spare_routes: int = 0
    requests_per_second: int | None = None

    def document(self) -> dict[str, Any]:
        """To JSON; `Shape(**document)` reads it."""
        return asdict(self)


@dataclass(slots=True)
class Tenant:
    """A tenant and the numbers of its last changes; each made the version one higher."""

    shape: Shape
    version: int = 1
    changes: deque[int] = field(default_factory=lambda: deque(maxlen=CHANGES_KEPT))


class ManyTenants:
    """`gateway_runtime.client.ControlPlane` for any number of tenants, by number."""

    def __init__(self) -> None:
        self._tenants: dict[str, Tenant] = {}
        self._streams: list[asyncio.Queue[StreamMessage]] = []
        self.acknowledged = 0

    @property
    def assigned(self) -> set[str]:
        """The ids of all tenants."""
        return set(self._tenants)

    def assign(self, number: int, shape: Shape) -> str:
        """A new tenant; its id."""
        key = control_plane_id(number)
        self._tenants[key] = Tenant(shape)
        self._tell(Assigned(type="assigned", item=self._item(key)))
        return key

    def remove(self, number: int) -> None:
        """End a tenant."""
        key = control_plane_id(number)
        del self._tenants[key]
        self._tell(Removed(type="removed", control_plane_id=UUID(key)))

    def change(self, number: int, count: int) -> tuple[str, int]:
        """The count-th change of a tenant, of one of its spare routes; its id and the new version."""
        key = control_plane_id(number)
        tenant = self._tenants[key]
        tenant.version += 1
        tenant.changes.append(count)
        self._tell(Version(type="version", control_plane_id=UUID(key), version=tenant.version))
        return key, tenant.version

    async def stream(self) -> AsyncIterator[StreamMessage]:
        """Everything that there is, then what changes."""
        queue: asyncio.Queue[StreamMessage] = asyncio.Queue()
        self._streams.append(queue)
        yield Assignments(type="assignments", items=[self._item(key) for key in self._tenants])
        while True:
            yield await queue.get()

    async def fetch(self, have: Mapping[str, int | None]) -> AsyncGenerator[Answer]:
        """Updates of those that are known, one by one."""
        for key, from_version in have.items():
            tenant = self._tenants.get(key)
            if tenant is None:
                yield NotGiven(kind="not-assigned", control_plane_id=key)
            else:
                yield self._update(key, tenant, from_version)

    def _update(self, control_plane_id: str, tenant: Tenant, from_version: int | None) -> ConfigUpdate:
        """The changes since a version as long as they are known, else everything."""
        head = {
            "format": 1,
            "organization_id": str(ORGANIZATION),
            "control_plane_id": control_plane_id,
            "version": tenant.version,
            "hosts": [_host(control_plane_id)],
            "settings": _SETTINGS,
            "limits": _limits(tenant.shape),
        }
        if from_version is not None and from_version >= tenant.version - len(tenant.changes):
            missed = list(tenant.changes)[len(tenant.changes) - (tenant.version - from_version) :]
            changes = [
                {"operation": "put", "type": "routes", "id": route["id"], "entity": route}
                for route in _changed(tenant.shape, missed).values()
            ]
            delta = {"kind": "delta", "from_version": from_version, "changes": changes}
            return ConfigUpdate.read(json.dumps(head | delta).encode())
        # A later snapshot holds what changed, too.
        document = json.dumps(head | {"kind": "snapshot"}).encode()
        entities = _encoded(tenant.shape) if not tenant.changes else json.dumps(_current(tenant)).encode()
        return ConfigUpdate.read(document[:-1] + b', "entities": ' + entities + b"}")

    async def acknowledge(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        """Count it."""
        del node_id
        self.acknowledged += len(items)

    async def heartbeat(self, body: dict[str, Any]) -> None:
        """Taken note of by nobody."""

    async def report_health(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        """Taken note of by nobody."""

    async def target_orders(self, after: int) -> list[TargetOrder]:
        """None."""
        del after
        return []

    def _item(self, key: str) -> Assignment:
        return Assignment(
            organization_id=ORGANIZATION,
            control_plane_id=UUID(key),
            hosts=[_host(key)],
            version=self._tenants[key].version,
        )

    def _tell(self, message: StreamMessage) -> None:
        for queue in self._streams:
            queue.put_nowait(message)


def control_plane_id(number: int) -> str:
    """A tenant's id, which says its number."""
    return f"00000000-0000-4000-8000-{number:012}"


def _host(control_plane_id: str) -> str:
    return HOSTS.format(int(control_plane_id.rpartition("-")[2]))


_SETTINGS = GatewaySettings(credential_key=base64.b64encode(_CREDENTIAL_KEY).decode()).model_dump(mode="json")


@cache
def _limits(shape: Shape) -> dict[str, Any]:
    """As in a snapshot."""
    bounds = Limits(allow_upstream=("127.0.0.0/8",), max_requests_per_second=shape.requests_per_second)
    return bounds.model_dump(mode="json")


@cache
def _entities(shape: Shape) -> dict[str, list[dict[str, Any]]]:
    secret = {"headers": [f"Authorization:{SECRET}"]}
    routes = [{"name": "traffic", "service": {"name": "backend"}, "paths": [PATH], "strip_path": False}]
    routes += [
        {"name": f"spare-{number}", "service": {"name": "backend"}, "paths": [f"{SPARE}/{number}"]}
        for number in range(shape.spare_routes)
    ]
    loaded = load(
        {
            "_format_version": "3.0",
            "services": [{"name": "backend", "url": f"http://127.0.0.1:{shape.backend_port}"}],
            "routes": routes,
            "plugins": [
                {
                    "name": "request-transformer",
                    "route": {"name": "traffic"},
                    "config": {"replace": secret, "add": secret},
                }
            ],
        }
    )
    if loaded.errors:
        raise ValueError(str(loaded.errors))
    return loaded.for_gateways(_CREDENTIAL_KEY)


@cache
def _spare_routes(shape: Shape) -> list[dict[str, Any]]:
    return [route for route in _entities(shape)["routes"] if route["name"] != "traffic"]


@cache
def _encoded(shape: Shape) -> bytes:
    return json.dumps(_entities(shape)).encode()


def _changed(shape: Shape, counts: Iterable[int]) -> dict[str, dict[str, Any]]:
    """Routes by id, as these changes leave them."""
    routes = _spare_routes(shape)
    changed = ((routes[count * 7919 % len(routes)], count) for count in counts)
    return {route["id"]: route | {"paths": [f"{SPARE}/changed-{count}"]} for route, count in changed}


def _current(tenant: Tenant) -> dict[str, list[dict[str, Any]]]:
    newest = _changed(tenant.shape, tenant.changes)
    entities = _entities(tenant.shape)
    return entities | {"routes": [newest.get(route["id"], route) for route in entities["routes"]]}
