"""A control plane in memory, for the runtime's agent."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from typing import Any
from uuid import UUID

from gateway_runtime.client import (
    Answer,
    Assigned,
    Assignment,
    Assignments,
    ConfigUpdate,
    ControlPlaneUnavailable,
    NotGiven,
    Orders,
    Removed,
    StreamMessage,
    TargetOrder,
    Version,
)
from schema.terms import terms_hash

ORGANIZATION = "0c0ffee0-0000-4000-8000-000000000001"


class FakeControlPlane:
    """Versions per control plane; `down` makes every call fail, `oldest` is the first version with a delta.

    `cut_after`: answers to requests for updates break off after so many of them.
    """

    def __init__(self) -> None:
        self.versions: dict[str, int] = {}
        self.down = False
        self.oldest = 0
        self.acks: dict[str, dict[str, Any]] = {}
        self.acked: list[tuple[str, int, bool]] = []
        self.heartbeats: list[dict[str, Any]] = []
        self.requests: list[dict[str, int | None]] = []
        self.fetches: list[tuple[str, int | None]] = []
        self.cut_after: int | None = None
        self.fail_fetches: Counter[str] = Counter()
        self.lying_delta_from: int | None = None
        self.hosts: dict[str, list[str]] = {}
        self.limits: dict[str, Any] = {"max_body_bytes": 1}
        self.health: dict[tuple[str, str], dict[str, Any] | None] = {}
        self.health_reports = 0
        self.orders: list[TargetOrder] = []
        self.own_limits: dict[str, dict[str, Any]] = {}
        self._streams: list[asyncio.Queue[StreamMessage | None]] = []

    def item(self, key: str) -> Assignment:
        return Assignment(
            organization_id=UUID(ORGANIZATION),
            control_plane_id=UUID(key),
            hosts=self.hosts_of(key),
            version=self.versions[key],
            terms=terms_hash({}, self.own_limits[key]) if key in self.own_limits else "",
        )

    def hosts_of(self, key: str) -> list[str]:
        return self.hosts.get(key, [f"{key[:8]}.test"])

    def assign(self, key: str, version: int) -> None:
        self.versions[key] = version
        self._tell(Assigned(type="assigned", item=self.item(key)))

    def bump(self, key: str, version: int) -> None:
        self.versions[key] = version
        self._tell(Version(type="version", control_plane_id=UUID(key), version=version))

    def unassign(self, key: str) -> None:
        del self.versions[key]
        self._tell(Removed(type="removed", control_plane_id=UUID(key)))

    def say_removed(self, key: str) -> None:
        """Have the node let go of something, whether it was assigned or not."""
        self._tell(Removed(type="removed", control_plane_id=UUID(key)))

    def give(self, order: TargetOrder) -> None:
        """Have an order ready, and say so."""
        self.orders.append(order)
        self._tell(Orders(type="orders"))

    def cut(self) -> None:
        """Break all streams."""
        for queue in self._streams:
            queue.put_nowait(None)

    def _tell(self, message: StreamMessage) -> None:
        for queue in self._streams:
            queue.put_nowait(message)

    async def stream(self) -> AsyncIterator[StreamMessage]:
        if self.down:
            raise ControlPlaneUnavailable("down")
        queue: asyncio.Queue[StreamMessage | None] = asyncio.Queue()
        self._streams.append(queue)
        items = [self.item(key) for key in self.versions]
        yield Assignments(type="assignments", items=items, terms=terms_hash({}, self.limits))
        while (message := await queue.get()) is not None:
            yield message
        self._streams.remove(queue)
        raise ControlPlaneUnavailable("cut")

    async def fetch(self, have: Mapping[str, int | None]) -> AsyncGenerator[Answer]:
        self.requests.append(dict(have))
        self.fetches += have.items()
        await asyncio.sleep(0)
        for place, (key, from_version) in enumerate(have.items()):
            if self.down or place == self.cut_after:
                raise ControlPlaneUnavailable("down")
            if self.fail_fetches[key] > 0:
                self.fail_fetches[key] -= 1
                yield NotGiven(kind="failed", control_plane_id=key)
            elif key not in self.versions:
                yield NotGiven(kind="not-assigned", control_plane_id=key)
            else:
                yield self.update(key, from_version)

    def update(self, key: str, from_version: int | None) -> ConfigUpdate:
        """What a node that has a version is given."""
        version = self.versions[key]
        snapshot = from_version is None or not self.oldest <= from_version <= version
        start = 0 if snapshot else self.lying_delta_from if self.lying_delta_from is not None else (from_version or 0)
        document = json.dumps(
            {
                "format": 1,
                "kind": "snapshot" if snapshot else "delta",
                "organization_id": ORGANIZATION,
                "control_plane_id": key,
                **({} if snapshot else {"from_version": start}),
                "version": version,
                "hosts": self.hosts_of(key),
                "config_hash": f"{version:032x}",
                "settings": {},
                "limits": self.own_limits.get(key, self.limits),
            }
        ).encode()
        return ConfigUpdate.read(document)

    async def acknowledge(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        del node_id
        if self.down:
            raise ControlPlaneUnavailable("down")
        for item in items:
            self.acks[item["control_plane_id"]] = item
            self.acked.append((item["control_plane_id"], item["version"], item["accepted"]))

    async def heartbeat(self, body: dict[str, Any]) -> None:
        if self.down:
            raise ControlPlaneUnavailable("down")
        self.heartbeats.append(body)

    async def report_health(self, node_id: str, items: Sequence[dict[str, Any]]) -> None:
        del node_id
        if self.down:
            raise ControlPlaneUnavailable("down")
        self.health_reports += 1
        for item in items:
            self.health[item["control_plane_id"], item["upstream_id"]] = item["report"]

    async def target_orders(self, after: int) -> list[TargetOrder]:
        if self.down:
            raise ControlPlaneUnavailable("down")
        return [order for order in self.orders if order.seq > after]
