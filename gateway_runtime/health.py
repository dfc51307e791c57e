"""Health of targets: what the engine finds, on its way to the control plane, and orders on their way to the engine.

Reports are sent when something is different, never when nothing is. Orders are fetched at a hint of the stream and every few
seconds; an order waits here until the configuration that it is about has arrived.
"""

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any, Final

import structlog

from gateway_runtime.client import ControlPlane, ControlPlaneUnavailable, RequestRefused, TargetOrder
from gateway_runtime.reports import TenantEngine
from gateway_runtime.sync import Sync

log = structlog.stdlib.get_logger(__name__)

LOOK_SECONDS: Final = 2.0
LOOK_SHARE: Final = 0.02
"""Most of the time that the engine's findings are read and compared: with very many upstreams, less often."""
FETCH_SECONDS: Final = 5.0
ORDER_SECONDS: Final = 600.0
"""An order whose configuration has not come by then is dropped."""
MOST_WAITING: Final = 10_000
# Together well below the largest body that the control plane reads, and what it accepts of one upstream.
MOST_BYTES: Final = 1024 * 1024
MOST_ITEMS: Final = 100
MOST_TARGETS: Final = 1000
MOST_ADDRESSES: Final = 32

_Key = tuple[str, str]
Report = dict[str, Any]


class HealthAgent:
    """Both ways, for all control planes of one node."""

    def __init__(self, node_id: str, engine: TenantEngine, control_plane: ControlPlane, sync: Sync) -> None:
        self._node_id = node_id
        self._engine = engine
        self._control_plane = control_plane
        self._sync = sync
        self._told: dict[_Key, Report] = {}
        self._connection = sync.connections
        self._after = 0
        self._waiting: list[tuple[float, TargetOrder]] = []

    async def run(self) -> None:
        """Report and obey until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._report_always())
            group.create_task(self._obey_always())

    async def _report_always(self) -> None:
        while True:
            began = time.monotonic()
            try:
                await self.report()
            except ControlPlaneUnavailable as error:
                log.info("health.delayed", reason=str(error))
            except Exception:  # whatever it was: traffic goes on without these reports
                log.exception("health.failed")
            await asyncio.sleep(max(LOOK_SECONDS, (time.monotonic() - began) / LOOK_SHARE))

    async def _obey_always(self) -> None:
        while True:
            self._sync.orders_announced.clear()
            try:
                await self.obey()
            except ControlPlaneUnavailable as error:
                log.debug("orders.delayed", reason=str(error))
            except Exception:  # as above
                log.exception("orders.failed")
            try:
                await asyncio.wait_for(self._sync.orders_announced.wait(), FETCH_SECONDS)
            except TimeoutError:
                continue

    async def report(self) -> None:
        """Tell what is different from what was told. Raises ControlPlaneUnavailable."""
        if self._connection != self._sync.connections:
            # Whoever answers now may have forgotten what this node told.
            self._connection = self._sync.connections
            self._told.clear()
        found = await asyncio.to_thread(self._look)
        news: list[tuple[_Key, Report | None]] = [
            (key, report) for key, report in found.items() if self._told.get(key) != report
        ]
        news += [(key, None) for key in self._told.keys() - found.keys()]
        while news:
            batch = _batch(news)
            del news[: len(batch)]
            await self._tell(batch)

    async def _tell(self, batch: Sequence[tuple[_Key, Report | None]]) -> None:
        items = [
            {"control_plane_id": control_plane_id, "upstream_id": upstream_id, "report": report}
            for (control_plane_id, upstream_id), report in batch
        ]
        try:
            await self._control_plane.report_health(self._node_id, items)
        except RequestRefused as error:
            if len(batch) > 1:  # one that cannot be taken must not hold up the others
                for one in batch:
                    await self._tell([one])
                return
            log.error("health.refused", reason=str(error), control_plane_id=batch[0][0][0])  # noqa: TRY400
        for key, report in batch:
            if report is None:
                self._told.pop(key, None)
            else:
                self._told[key] = report

    def _look(self) -> dict[_Key, Report]:
        found: dict[str, dict[str, Any]] = json.loads(self._engine.health())
        return {
            (control_plane_id, upstream_id): _report(upstream)
            for control_plane_id, upstreams in found.items()
            for upstream_id, upstream in upstreams.items()
        }

    async def obey(self) -> None:
        """Fetch the orders that are new and carry out those that can be. Raises ControlPlaneUnavailable."""
        try:
            while True:
                found = await self._control_plane.target_orders(self._after)
                if not found:
                    break
                now = time.monotonic()
                self._waiting += [(now, order) for order in found]
                self._after = found[-1].seq
        finally:
            await self._carry_out()

    async def _carry_out(self) -> None:
        now = time.monotonic()
        kept: list[tuple[float, TargetOrder]] = []
        for since, order in self._waiting:
            tenant = self._sync.tenants.get(str(order.control_plane_id))
            if tenant is None or not tenant.assigned:
                continue
            if tenant.held is not None and tenant.held >= order.version:
                await asyncio.to_thread(self._engine.set_target_health, _order(order))
            elif now - since < ORDER_SECONDS:
                kept.append((since, order))
        self._waiting = kept[-MOST_WAITING:]


def _order(order: TargetOrder) -> bytes:
    content: dict[str, Any] = {
        "control_plane_id": str(order.control_plane_id),
        "upstream": str(order.upstream_id),
        "target": str(order.target_id),
        "healthy": order.healthy,
    }
    if order.address is not None:
        content["address"] = order.address
    return json.dumps(content).encode()


def _report(upstream: Mapping[str, Any]) -> Report:
    """What the control plane wants to know: not the counters, which change with every request."""
    targets: Mapping[str, Any] = upstream["targets"]
    return {
        "health": upstream["health"],
        "weight": upstream["weight"],
        "targets": {
            target_id: {
                "health": target["health"],
                "addresses": [
                    {name: address[name] for name in ("ip", "port", "weight", "health")}
                    for address in target["addresses"][:MOST_ADDRESSES]
                ],
            }
            for target_id, target in list(targets.items())[:MOST_TARGETS]
        },
    }


def _batch(news: list[tuple[_Key, Report | None]]) -> list[tuple[_Key, Report | None]]:
    """As many as fit into one message, at least one."""
    size = 0
    for count, (_, report) in enumerate(news[:MOST_ITEMS]):
        size += len(json.dumps(report))
        if size > MOST_BYTES:
            return news[: max(count, 1)]
    return news[:MOST_ITEMS]
