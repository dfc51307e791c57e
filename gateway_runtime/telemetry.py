"""What a runtime tells about itself: heartbeats to the control plane, status and metrics to whoever asks locally."""

import asyncio
import json
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from gateway_runtime.client import ControlPlane, ControlPlaneUnavailable, RequestRefused
from gateway_runtime.reports import TenantEngine
from gateway_runtime.spec import GatewaySpec
from gateway_runtime.status import PROMETHEUS, Answer, Sample, exposition
from gateway_runtime.sync import Sync

log = structlog.stdlib.get_logger(__name__)

HEARTBEAT_SECONDS: Final = 5.0
MOST_LABELLED_TENANTS: Final = 1000
"""Tenants beyond this many are summed up under the label `other`, so that scrapes stay bounded."""
STATS_SHARE: Final = 0.01
"""Most of the time that the engine's counters are read for `/status`; in between it shows those of before."""


class Telemetry:
    """Answers of the status listener and the heartbeat loop of one runtime. Answers may be asked for from any thread."""

    def __init__(self, spec: GatewaySpec, version: str, engine: TenantEngine, sync: Sync) -> None:
        self._spec = spec
        self._version = version
        self._engine = engine
        self._sync = sync
        self._started_at = datetime.now(UTC)
        self._totals: dict[str, Any] = {}
        self._totals_due = 0.0
        self.stopping = False
        self.serving = False

    @property
    def ready(self) -> bool:
        """Traffic may come: the listeners are open and there is configuration, from the control plane or from disk."""
        return self.serving and self._sync.usable.is_set() and not self.stopping

    async def send_heartbeats(self, control_plane: ControlPlane) -> None:
        """Say every 5 s that this node is alive, until cancelled; a heartbeat that fails is not repeated."""
        while True:
            body: dict[str, Any] = {
                "node_id": str(self._spec.node_id),
                "version": self._version,
                "hostname": socket.gethostname()[:253],
                "started_at": self._started_at.isoformat(),
                "tenants": len(self._sync.tenants),
            }
            try:
                await control_plane.heartbeat(body)
            except (ControlPlaneUnavailable, RequestRefused) as error:
                log.debug("heartbeat.failed", reason=str(error))
            except Exception:  # a heart that stops would take the whole gateway with it
                log.exception("heartbeat.failed")
            await asyncio.sleep(HEARTBEAT_SECONDS)

    def status(self) -> Answer:
        """`/status`: what runs here, with the engine's counters; cheap however many tenants there are."""
        tenants = list(self._sync.tenants.values())
        return Answer.json(
            200,
            {
                "version": self._version,
                "region": self._spec.region,
                "node_id": str(self._spec.node_id),
                "started_at": self._started_at.isoformat(),
                "control_plane": {"connected": self._sync.connected, "synced": self._sync.synced.is_set()},
                "tenants": {
                    "total": len(tenants),
                    "behind": sum(item.behind for item in tenants),
                    "refused": sum(item.refused is not None for item in tenants),
                },
                "cache": {"writer": self._sync.cache.is_writer, "unwritten": len(self._sync.cache.unwritten)},
                "engine": self._engine_totals(),
            },
        )

    def _engine_totals(self) -> dict[str, Any]:
        """The process's counters, without the tenants'. Watchdogs and probes ask every few seconds."""
        began = time.monotonic()
        if began >= self._totals_due:
            stats: dict[str, Any] = json.loads(self._engine.stats())
            self._totals = {name: value for name, value in stats.items() if name != "tenants"}
            now = time.monotonic()
            self._totals_due = now + (now - began) / STATS_SHARE
        return self._totals

    def readiness(self) -> Answer:
        """`/status/ready`: 200 or 503."""
        if self.ready:
            return Answer.json(200, {"message": "ready"})
        return Answer.json(503, {"message": "stopping" if self.stopping else "no configuration available yet"})

    def metrics(self) -> Answer:
        """`/metrics`: Prometheus text."""
        return Answer(200, PROMETHEUS, exposition(self._collect(json.loads(self._engine.stats()))))

    def metrics_of(self, control_plane_id: str) -> Answer:
        """`/metrics/<control plane id>`: what the plugin `prometheus` counts of one control plane, by Kong's names."""
        figures = self._engine.metrics(control_plane_id)
        if figures is None:
            return Answer.json(404, {"message": "no such control plane on this gateway"})
        node = {"node_id": str(self._spec.node_id)}
        own = exposition(
            (
                ("kong_node_info", "gauge", "The node; always 1.", [Sample(node | {"version": self._version}, 1)]),
                (
                    "kong_control_plane_connected",
                    "gauge",
                    "1 while the control plane's stream is up.",
                    [Sample({}, self._sync.connected)],
                ),
            )
        )
        return Answer(200, PROMETHEUS, own + figures.encode())

    def _collect(self, stats: Mapping[str, Any]) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        tenants = dict(self._sync.tenants)
        info = {"version": self._version, "region": self._spec.region, "node_id": str(self._spec.node_id)}
        yield "sluice_runtime_info", "gauge", "The runtime; always 1.", [Sample(info, 1)]
        connected = Sample({}, self._sync.connected)
        yield (
            "sluice_runtime_control_plane_connected",
            "gauge",
            "1 while the control plane's stream is up.",
            [connected],
        )
        yield "sluice_runtime_tenants", "gauge", "Control planes known to this runtime.", [Sample({}, len(tenants))]
        refused = sum(item.refused is not None for item in tenants.values())
        yield (
            "sluice_runtime_tenants_refused",
            "gauge",
            "Control planes whose newest version was refused.",
            [Sample({}, refused)],
        )
        yield (
            "sluice_runtime_cache_unwritten",
            "gauge",
            "Control planes whose newest version could not be written to disk.",
            [Sample({}, len(self._sync.cache.unwritten))],
        )
        versions = [Sample(self._labels(key), item.held) for key, item in self._shown() if item.held is not None]
        yield "sluice_config_version", "gauge", "Version of the configuration that runs.", versions
        for name, value in stats.items():
            if _is_number(value):
                yield f"sluice_engine_{name}", _kind(name), "Counted by the engine.", [Sample({}, value)]
        yield from self._collect_tenants(stats.get("tenants"))

    def _collect_tenants(self, stats: object) -> Iterator[tuple[str, str, str, Iterable[Sample]]]:
        """The engine's per-tenant numbers: `{"<control plane id>": {"<name>": number | {"<label value>": number}}}`."""
        if not isinstance(stats, dict):
            return
        shown = {key for key, _ in self._shown()}
        sums: dict[str, dict[tuple[str, ...], float]] = {}
        for control_plane_id, values in stats.items():
            owner = control_plane_id if control_plane_id in shown else "other"
            for name, value in values.items():
                parts = value.items() if isinstance(value, dict) else [("", value)]
                for part, number in parts:
                    if _is_number(number):
                        series = sums.setdefault(name, {})
                        series[owner, part] = series.get((owner, part), 0) + number
        for name, series in sums.items():
            samples = [
                Sample(self._labels(owner) | ({"class": part} if part else {}), number)
                for (owner, part), number in series.items()
            ]
            yield f"sluice_{name}", _kind(name), "Counted by the engine, per control plane.", samples

    def _shown(self) -> Iterator[tuple[str, Any]]:
        for _, item in zip(range(MOST_LABELLED_TENANTS), list(self._sync.tenants.items()), strict=False):
            yield item

    def _labels(self, control_plane_id: str) -> dict[str, str]:
        tenant = self._sync.tenants.get(control_plane_id)
        organization = "other" if tenant is None else tenant.organization_id
        return {"organization": organization, "control_plane": control_plane_id}


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _kind(name: str) -> str:
    return "counter" if name.endswith("_total") else "gauge"
