"""Keeps the engine at the versions that the control plane names.

One stream tells what is assigned and at which version; a few workers fetch what is behind and apply it, each control plane by
one worker at a time. What the engine refuses leaves its previous configuration running and is reported. Without a control
plane the engine keeps what it has; the agent keeps trying.
"""

import asyncio
import contextlib
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final

import structlog

from gateway_runtime.acks import AckBox
from gateway_runtime.backoff import Backoff
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood
from gateway_runtime.client import (
    Assigned,
    Assignment,
    Assignments,
    ConfigUpdate,
    ControlPlane,
    ControlPlaneUnavailable,
    NotAssigned,
    Removed,
    StreamMessage,
    UpdateHead,
    Version,
)
from gateway_runtime.reports import ApplyReport, TenantEngine

log = structlog.stdlib.get_logger(__name__)

FETCHERS: Final = 8
SWEEP_SECONDS: Final = 5.0
MOST_FIRST_TRIES: Final = 5
CACHE_SYNC_SECONDS: Final = 1.0


@dataclass(slots=True)
class Tenant:
    """One control plane as this node knows it."""

    organization_id: str = ""
    assigned: bool = False
    wanted: int = 0
    held: int | None = None
    refused: int | None = None
    content_hash: str = ""
    cache_wanted: bool = False
    retry: Backoff = field(default_factory=lambda: Backoff(0.05, 4.0))

    @property
    def behind(self) -> bool:
        """A newer version is to be had, and it is not the one that was refused already."""
        return self.assigned and (self.held is None or self.held < self.wanted) and self.refused != self.wanted


class Sync:
    """The agent's main loop.

    For status and telemetry: `tenants` and `connected`; `synced` once everything assigned at the first connection has been
    dealt with; `usable` once there is configuration to serve, from the control plane or from disk.
    """

    def __init__(self, engine: TenantEngine, control_plane: ControlPlane, cache: LastKnownGood, acks: AckBox) -> None:
        self._engine = engine
        self._control_plane = control_plane
        self._cache = cache
        self._acks = acks
        self.tenants: dict[str, Tenant] = {}
        self.connected = False
        self.synced = asyncio.Event()
        self.usable = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._first: set[str] | None = None
        self._stream_backoff = Backoff(0.1, 10.0)

    def load_cache(self) -> int:
        """Apply what the disk remembers, before the first connection is accepted. Blocking.

        Returns: how many control planes run from it.
        """
        self._cache.acquire()
        loaded = 0
        for control_plane_id in self._cache.control_planes():
            tenant = Tenant(assigned=True)  # until the control plane says otherwise
            for frame in self._cache.load(control_plane_id):
                report = ApplyReport.model_validate_json(self._engine.apply(frame.update))
                if not report.accepted:
                    log.warning("cache.refused", control_plane_id=control_plane_id, version=frame.version)
                    tenant.cache_wanted = True
                    break
                tenant.held = tenant.wanted = frame.version
                tenant.organization_id = UpdateHead.model_validate_json(frame.update).organization_id
                tenant.content_hash = hashlib.sha256(frame.update).hexdigest()
            if tenant.held is not None:
                self.tenants[control_plane_id] = tenant
                loaded += 1
        log.info("cache.loaded", control_planes=loaded)
        return loaded

    async def run(self) -> None:
        """Follow the control plane until cancelled."""
        if self.tenants:
            self.usable.set()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow())
            group.create_task(self._acks.run())
            group.create_task(_every(SWEEP_SECONDS, self.sweep))
            group.create_task(_every(CACHE_SYNC_SECONDS, self._sync_cache))
            for _ in range(FETCHERS):
                group.create_task(self._work())

    async def _follow(self) -> None:
        while True:
            try:
                async for message in self._control_plane.stream():
                    if not self.connected:
                        self.connected = True
                        self._stream_backoff.reset()
                        log.info("stream.connected")
                    self._hear(message)
            except ControlPlaneUnavailable as error:
                delay = self._stream_backoff.next_delay()
                log.info("stream.lost", reason=str(error), retry_seconds=round(delay, 3))
                self.connected = False
                await asyncio.sleep(delay)

    def _hear(self, message: StreamMessage) -> None:
        match message:
            case Assignments(items=items):
                self._replace_assignments(items)
            case Assigned(item=item):
                self._assign(item)
            case Version(control_plane_id=control_plane_id, version=version):
                self._want(str(control_plane_id), version)
            case Removed(control_plane_id=control_plane_id):
                self._end(str(control_plane_id))
            case _:
                pass

    def _replace_assignments(self, items: list[Assignment]) -> None:
        listed = {str(item.control_plane_id) for item in items}
        for gone in [key for key in self.tenants if key not in listed]:
            self._end(gone)
        for item in items:
            self._assign(item)
        for control_plane_id in listed:
            # The control plane may have forgotten this node, or never have known what it loaded from disk.
            self._acknowledge_held(control_plane_id)
        if self._first is None:
            self._first = {key for key in listed if self.tenants[key].behind}
            self._check_synced()

    def _assign(self, item: Assignment) -> None:
        control_plane_id = str(item.control_plane_id)
        tenant = self.tenants.setdefault(control_plane_id, Tenant())
        tenant.assigned = True
        tenant.organization_id = str(item.organization_id)
        self._want(control_plane_id, item.version)

    def _want(self, control_plane_id: str, version: int) -> None:
        tenant = self.tenants.get(control_plane_id)
        if tenant is None:
            return
        tenant.wanted = max(tenant.wanted, version)
        if tenant.behind:
            self._enqueue(control_plane_id)

    def _end(self, control_plane_id: str) -> None:
        tenant = self.tenants.get(control_plane_id)
        if tenant is not None:
            tenant.assigned = False
            self._enqueue(control_plane_id)

    def _enqueue(self, control_plane_id: str) -> None:
        if control_plane_id not in self._queued:
            self._queued.add(control_plane_id)
            self._queue.put_nowait(control_plane_id)

    async def _work(self) -> None:
        while True:
            control_plane_id = await self._queue.get()
            self._queued.discard(control_plane_id)
            if control_plane_id in self._busy:
                continue  # its worker looks again before it lets go
            self._busy.add(control_plane_id)
            try:
                await self._settle(control_plane_id)
            finally:
                self._busy.discard(control_plane_id)

    async def _settle(self, control_plane_id: str) -> None:
        """Work on one control plane until nothing is left to do, or until something fails, which is tried again later."""
        while (tenant := self.tenants.get(control_plane_id)) is not None:
            if not tenant.assigned:
                await self._remove(control_plane_id)
            elif tenant.behind or tenant.cache_wanted:
                if not await self._advance(control_plane_id, tenant):
                    self._enqueue_later(control_plane_id, tenant)
                    return
            else:
                tenant.retry.reset()
                break
        self._settled(control_plane_id)

    async def _advance(self, control_plane_id: str, tenant: Tenant) -> bool:
        """One step forward; False when there was none."""
        held = tenant.held
        try:
            await self._update(control_plane_id, tenant)
        except NotAssigned:
            # The stream will say so too; until then the control plane may just be a moment ahead of itself.
            log.info("config.not_assigned", control_plane_id=control_plane_id)
            return not tenant.assigned
        except ControlPlaneUnavailable as error:
            log.info("config.delayed", control_plane_id=control_plane_id, reason=str(error))
            return False
        except ValueError as error:
            log.error("config.unreadable", control_plane_id=control_plane_id, reason=type(error).__name__)  # noqa: TRY400
            return False
        return tenant.held != held or not tenant.behind

    def _enqueue_later(self, control_plane_id: str, tenant: Tenant) -> None:
        if tenant.retry.failures >= MOST_FIRST_TRIES:
            self._settled(control_plane_id)  # one broken tenant must not keep the others' gateway from being ready
        asyncio.get_running_loop().call_later(tenant.retry.next_delay(), self._enqueue, control_plane_id)

    def _settled(self, control_plane_id: str) -> None:
        if self._first is not None and not self.synced.is_set():
            self._first.discard(control_plane_id)
            self._check_synced()

    def _check_synced(self) -> None:
        if not self._first:
            self.synced.set()
            self.usable.set()

    async def _update(self, control_plane_id: str, tenant: Tenant) -> None:
        wanted = tenant.wanted
        from_version = None if tenant.cache_wanted else tenant.held
        update = await self._control_plane.fetch(control_plane_id, from_version)
        report = await self._apply(update)
        if report.is_version_gap:
            log.info("config.version_gap", control_plane_id=control_plane_id, from_version=update.from_version)
            update = await self._control_plane.fetch(control_plane_id, None)
            report = await self._apply(update)
        self._acks.put(report, update.content_hash)
        if not report.accepted:
            # Kept: the last good one. Asked for again: when something newer than this is announced.
            tenant.refused = max(wanted, report.version)
            tenant.wanted = max(tenant.wanted, report.version)
            tenant.cache_wanted = False
            first = report.errors[0] if report.errors else None
            log.warning(
                "config.refused",
                control_plane_id=control_plane_id,
                version=report.version,
                entity=first and first.entity,
                field=first and first.field,  # the message may repeat a value
            )
            return
        tenant.held = report.version
        tenant.wanted = max(tenant.wanted, report.version)
        tenant.refused = None
        tenant.content_hash = update.content_hash
        log.info("config.applied", control_plane_id=control_plane_id, version=report.version)
        kind = FrameKind.SNAPSHOT if update.is_snapshot else FrameKind.DELTA
        frame = Frame(kind, update.from_version, update.version, update.document)
        tenant.cache_wanted = not await asyncio.to_thread(self._cache.store, control_plane_id, frame)

    async def _apply(self, update: ConfigUpdate) -> ApplyReport:
        return ApplyReport.model_validate_json(await asyncio.to_thread(self._engine.apply, update.document))

    async def _remove(self, control_plane_id: str) -> None:
        await asyncio.to_thread(self._engine.remove, control_plane_id)
        await asyncio.to_thread(self._cache.remove, control_plane_id)
        self._acks.put_removed(control_plane_id)
        tenant = self.tenants.get(control_plane_id)
        if tenant is not None and tenant.assigned:
            # Assigned again while it was being removed: nothing is held now.
            tenant.held, tenant.refused = None, None
            return
        self.tenants.pop(control_plane_id, None)
        log.info("config.removed", control_plane_id=control_plane_id)

    def _acknowledge_held(self, control_plane_id: str) -> None:
        tenant = self.tenants[control_plane_id]
        if tenant.held is not None:
            report = ApplyReport(control_plane_id=control_plane_id, version=tenant.held, accepted=True)
            self._acks.put(report, tenant.content_hash)

    async def sweep(self) -> None:
        """Take up again what was lost on the way, and what another process of this node did not write to disk."""
        if not self._cache.is_writer and await asyncio.to_thread(self._cache.acquire):
            for control_plane_id, tenant in list(self.tenants.items()):
                if await asyncio.to_thread(self._cache.version, control_plane_id) != tenant.held:
                    tenant.cache_wanted = tenant.held is not None
        for control_plane_id, tenant in self.tenants.items():
            if tenant.behind or tenant.cache_wanted or not tenant.assigned:
                self._enqueue(control_plane_id)

    async def _sync_cache(self) -> None:
        await asyncio.to_thread(self._cache.sync)


async def _every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        with contextlib.suppress(OSError):
            await action()
