"""Results of applying, on their way to the control plane."""

import asyncio
from typing import Any, Final

import structlog

from gateway_runtime.backoff import Backoff
from gateway_runtime.client import ControlPlane, ControlPlaneUnavailable, RequestRefused
from gateway_runtime.reports import ApplyReport

log = structlog.stdlib.get_logger(__name__)

# Together well below the largest body that the control plane reads.
MOST_ITEMS: Final = 100
MOST_ERRORS: Final = 10
LONGEST_MESSAGE: Final = 500
GATHER_SECONDS: Final = 0.05
"""Between two requests: a runtime that takes up much at once reports it with few of them."""


class AckBox:
    """Holds the newest result per control plane until the control plane has it. Order between control planes is free."""

    def __init__(self, node_id: str, control_plane: ControlPlane) -> None:
        self._node_id = node_id
        self._control_plane = control_plane
        self._items: dict[str, dict[str, Any]] = {}
        self._filled = asyncio.Event()
        self._backoff = Backoff(0.1, 5.0)

    def put(self, report: ApplyReport, config_hash: str) -> None:
        """Queue a result, with the hash of what runs after it; replaces an older one of the same control plane."""
        errors = [
            error.model_dump() | {"message": error.message[:LONGEST_MESSAGE]} for error in report.errors[:MOST_ERRORS]
        ]
        self._items[report.control_plane_id] = {
            "control_plane_id": report.control_plane_id,
            "version": report.version,
            "accepted": report.accepted,
            "errors": errors,
            "config_hash": config_hash,
        }
        self._filled.set()

    def put_removed(self, control_plane_id: str) -> None:
        """Queue the news that this control plane is served here no longer."""
        self._items[control_plane_id] = {
            "control_plane_id": control_plane_id,
            "version": 0,
            "accepted": True,
            "errors": [],
            "config_hash": "",
            "removed": True,
        }
        self._filled.set()

    async def run(self) -> None:
        """Send until cancelled; what fails is sent again, unless something newer came.

        One result that the control plane cannot take must not hold up the others: a batch that failed moves to the end and
        the next ones are smaller, until the bad one is alone.
        """
        size = MOST_ITEMS
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._items:
                batch = dict(list(self._items.items())[:size])
                try:
                    await self._control_plane.acknowledge(self._node_id, list(batch.values()))
                except ControlPlaneUnavailable as error:
                    log.info("acks.delayed", reason=str(error), waiting=len(self._items))
                    self._put_off(batch)
                    size = max(1, len(batch) // 2)
                    await asyncio.sleep(self._backoff.next_delay())
                    continue
                except RequestRefused as error:
                    if len(batch) > 1:
                        self._put_off(batch)
                        size = len(batch) // 2
                        continue
                    log.error("acks.refused", reason=str(error), control_plane_id=next(iter(batch)))  # noqa: TRY400
                self._backoff.reset()
                size = min(MOST_ITEMS, 2 * size)
                for control_plane_id, item in batch.items():
                    if self._items.get(control_plane_id) is item:
                        del self._items[control_plane_id]
                if len(self._items) < size:
                    await asyncio.sleep(GATHER_SECONDS)

    def _put_off(self, batch: dict[str, dict[str, Any]]) -> None:
        for control_plane_id in batch:
            self._items[control_plane_id] = self._items.pop(control_plane_id)
