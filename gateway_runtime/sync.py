"""Keeps the engine at the versions that the control plane names.

One stream tells what is assigned and at which version; a few workers fetch what is behind, many control planes with one
request, and apply it: each control plane by itself, by one worker at a time. What the engine refuses leaves its previous
configuration running and is reported. Without a control plane the engine keeps what it has; the agent keeps trying. Nothing
that goes wrong with one control plane ends the agent.
"""

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Generator
from typing import Final

import structlog

from gateway_runtime.acks import AckBox
from gateway_runtime.backoff import Backoff
from gateway_runtime.cache import Frame, FrameKind, LastKnownGood
from gateway_runtime.client import (
    MOST_FETCHED,
    Answer,
    Assigned,
    Assignment,
    Assignments,
    ConfigUpdate,
    ControlPlane,
    ControlPlaneUnavailable,
    NotGiven,
    Orders,
    Removed,
    StreamMessage,
    Version,
)
from gateway_runtime.reports import ApplyError, ApplyReport, EngineFault, TenantEngine
from gateway_runtime.tenants import Asked, Tenant
from schema.snapshot import EMPTY_CONFIG_HASH

log = structlog.stdlib.get_logger(__name__)

FETCHERS: Final = 8
SWEEP_SECONDS: Final = 5.0
REWRITE_SECONDS: Final = 60.0
"""How often what could not be written to disk is tried again."""
REPORT_AGAIN_SECONDS: Final = 60.0
"""A control plane that was out of reach for longer may have forgotten what this node reported."""
MOST_FIRST_TRIES: Final = 5
CACHE_SYNC_SECONDS: Final = 1.0


class Sync:
    """The agent's main loop.

    For status and telemetry: `tenants`, `cache`, `connected` and how many `connections` there were; `synced` once everything assigned at the first connection has been
    dealt with; `usable` once there is configuration to serve, from the control plane or from disk. `orders_announced`: the
    stream said that there are orders about targets (gateway_runtime/health.py).
    """

    def __init__(self, engine: TenantEngine, control_plane: ControlPlane, cache: LastKnownGood, acks: AckBox) -> None:
        self._engine = engine
        self._control_plane = control_plane
        self.cache = cache
        self._acks = acks
        self.tenants: dict[str, Tenant] = {}
        self.connected = False
        self.connections = 0
        self.synced = asyncio.Event()
        self.usable = asyncio.Event()
        self.orders_announced = asyncio.Event()
        self._queue: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: dict[str, set[str]] = {}
        self._first: set[str] | None = None
        self._terms = ""
        self._lost_at: float | None = None
        self._collected = False
        self._rewrite_at = 0.0
        self._stream_backoff = Backoff(0.1, 10.0)

    def load_cache(self) -> int:
        """Apply what the disk remembers, before the first connection is accepted. Blocking.

        Returns: how many control planes run from it.
        """
        self.cache.acquire()
        loaded = 0
        for control_plane_id in self.cache.control_planes():
            tenant = Tenant(assigned=True)  # until the control plane says otherwise
            for frame in self.cache.load(control_plane_id):
                update = ConfigUpdate.read(frame.update)
                if not self._apply(control_plane_id, update).accepted:
                    log.warning("cache.refused", control_plane_id=control_plane_id, version=frame.version)
                    tenant.cache_wanted = True
                    break
                tenant.now_runs(update)
                tenant.organization_id = update.organization_id
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
                        self.connections += 1
                        self._stream_backoff.reset()
                        log.info("stream.connected")
                    self._hear(message)
            except ControlPlaneUnavailable as error:
                reason = str(error)
            except Exception:  # whatever it was: the gateway goes on, and so does the search for its control plane
                log.exception("stream.failed")
                reason = "unexpected"
            else:
                reason = "stream ended"
            delay = self._stream_backoff.next_delay()
            log.info("stream.lost", reason=reason, retry_seconds=round(delay, 3))
            if self.connected:
                self.connected, self._lost_at = False, time.monotonic()
            await asyncio.sleep(delay)

    def _hear(self, message: StreamMessage) -> None:
        match message:
            case Assignments(items=items, terms=terms):
                self._replace_assignments(items, terms)
            case Assigned(item=item):
                self._assign(item)
                # Somebody asked for this message: they wait for a report.
                self._acknowledge_held(str(item.control_plane_id))
            case Version(control_plane_id=control_plane_id, version=version):
                self._want(str(control_plane_id), version)
            case Removed(control_plane_id=control_plane_id):
                self._end(str(control_plane_id))
            case Orders():
                self.orders_announced.set()
            case _:
                pass

    def _replace_assignments(self, items: list[Assignment], terms: str) -> None:
        self._terms = terms
        listed = {str(item.control_plane_id): item for item in items}
        for gone in [key for key in self.tenants if key not in listed]:
            self._end(gone)
        report = self._lost_at is None or time.monotonic() - self._lost_at > REPORT_AGAIN_SECONDS
        for control_plane_id, item in listed.items():
            self._assign(item, rewound_to=item.version)
            if report:
                self._acknowledge_held(control_plane_id)
        if self._first is None:
            self._first = {key for key in listed if self.tenants[key].behind}
            self._check_synced()

    def _assign(self, item: Assignment, rewound_to: int | None = None) -> None:
        """Note an assignment. `rewound_to`: a version that is known to be the newest, even if a higher one runs here."""
        control_plane_id = str(item.control_plane_id)
        tenant = self.tenants.setdefault(control_plane_id, Tenant())
        tenant.assigned = True
        tenant.organization_id = str(item.organization_id)
        if tenant.held is not None:
            rewound = rewound_to is not None and tenant.held > rewound_to
            elsewhere = tuple(item.hosts) != tenant.hosts
            terms = item.terms or self._terms
            if rewound or elsewhere or (terms and terms != tenant.terms):
                tenant.outdated, tenant.refused = True, None
                tenant.wanted = item.version
        self._want(control_plane_id, item.version)

    def _want(self, control_plane_id: str, version: int) -> None:
        tenant = self.tenants.get(control_plane_id)
        if tenant is None:
            return
        tenant.wanted = max(tenant.wanted, version)
        if tenant.behind or tenant.cache_wanted:
            self._enqueue_at_its_pace(control_plane_id, tenant)

    def _end(self, control_plane_id: str) -> None:
        tenant = self.tenants.get(control_plane_id)
        if tenant is None:
            # On record for something that this node knows nothing of (any more): say so, or it stays on record for ever.
            self._acks.put_removed(control_plane_id)
            return
        tenant.assigned = False
        self._enqueue(control_plane_id)

    def _enqueue(self, control_plane_id: str) -> None:
        if control_plane_id not in self._queued:
            self._queued.add(control_plane_id)
            self._queue.put_nowait(control_plane_id)

    def _enqueue_at_its_pace(self, control_plane_id: str, tenant: Tenant) -> None:
        if tenant.waits:
            return
        seconds = tenant.pace.wait_seconds
        if seconds == 0:
            self._enqueue(control_plane_id)
        else:
            tenant.waits = True
            asyncio.get_running_loop().call_later(seconds, self._enqueue_now, control_plane_id, tenant)

    def _enqueue_now(self, control_plane_id: str, tenant: Tenant) -> None:
        tenant.waits = False
        self._enqueue(control_plane_id)

    async def _work(self) -> None:
        while True:
            claimed = self._claim(await self._queue.get())
            try:
                await self._settle(claimed)
            except Exception:
                log.exception("tenants.failed", control_planes=len(claimed))
            finally:
                for control_plane_id in claimed:
                    if self._busy.get(control_plane_id) is claimed:
                        self._put_off(control_plane_id)

    def _claim(self, control_plane_id: str) -> set[str]:
        """This one and what else waits, up to as many as one request may ask for; they are this worker's alone now."""
        claimed: set[str] = set()
        while True:
            self._queued.discard(control_plane_id)
            if control_plane_id not in self._busy:  # else its worker looks again before it lets go
                self._busy[control_plane_id] = claimed
                claimed.add(control_plane_id)
            if len(claimed) == MOST_FETCHED or self._queue.empty():
                return claimed
            control_plane_id = self._queue.get_nowait()

    async def _settle(self, claimed: set[str]) -> None:
        """Take each of these a step further, and let go of it; what is still claimed afterwards did not come so far."""
        behind: dict[str, Tenant] = {}
        for control_plane_id in claimed:
            tenant = self.tenants.get(control_plane_id)
            if tenant is not None and not tenant.assigned:
                with self._standing_alone(control_plane_id):
                    await self._remove(control_plane_id)
                    self._let_go(control_plane_id)
            elif tenant is not None and (tenant.behind or tenant.cache_wanted):
                tenant.pace.step()
                behind[control_plane_id] = tenant
            else:
                self._let_go(control_plane_id)
        if not self.connected:
            for control_plane_id in behind:
                # Thousands of vain tries help nobody; the next connection takes all of them up.
                del self._busy[control_plane_id]
        elif behind:
            await self._advance(behind)

    @contextlib.contextmanager
    def _standing_alone(self, control_plane_id: str) -> Generator[None]:
        """A control plane that nobody can cope with must not take the others' gateway along."""
        try:
            yield
        except Exception:
            log.exception("tenant.failed", control_plane_id=control_plane_id)

    async def _advance(self, behind: dict[str, Tenant]) -> None:
        """Fetch and apply; each control plane by itself, whatever becomes of the others."""
        have = {key: None if tenant.cache_wanted else tenant.held for key, tenant in behind.items()}
        open_ = {key: Asked(tenant) for key, tenant in behind.items()}
        try:
            async with contextlib.aclosing(self._control_plane.fetch(have)) as answers:
                async for answer in answers:
                    asked = open_.get(answer.control_plane_id)
                    if asked is not None:
                        with self._standing_alone(answer.control_plane_id):
                            await self._take(answer, asked)
                            del open_[answer.control_plane_id]
        except ControlPlaneUnavailable as error:
            log.info("configs.delayed", control_planes=len(open_), reason=str(error))
        finally:
            for asked in open_.values():
                asked.in_vain()

    async def _take(self, answer: Answer, asked: Asked) -> None:
        control_plane_id, tenant = answer.control_plane_id, asked.tenant
        if isinstance(answer, NotGiven):
            # That it is not assigned the stream will say too; the control plane may just be a moment ahead of itself.
            log.info("config.not_given", control_plane_id=control_plane_id, reason=answer.kind)
            asked.in_vain()
            if not tenant.assigned:
                self._let_go(control_plane_id)
            return
        await self._update(answer, asked)
        if asked.has_helped:
            self._let_go(control_plane_id)

    def _let_go(self, control_plane_id: str) -> None:
        """Done with it, unless something new was heard meanwhile."""
        self._busy.pop(control_plane_id, None)
        tenant = self.tenants.get(control_plane_id)
        if tenant is not None and not tenant.assigned:
            self._enqueue(control_plane_id)
            return
        if tenant is not None and (tenant.behind or tenant.cache_wanted):
            self._enqueue_at_its_pace(control_plane_id, tenant)
            return
        if tenant is not None:
            tenant.retry.reset()
        self._settled(control_plane_id)

    def _put_off(self, control_plane_id: str) -> None:
        """Let go of it without having come any further; it is tried again later."""
        self._busy.pop(control_plane_id, None)
        self._enqueue_later(control_plane_id, self.tenants.get(control_plane_id))

    def _enqueue_later(self, control_plane_id: str, tenant: Tenant | None) -> None:
        if tenant is None:
            return
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

    async def _update(self, update: ConfigUpdate, asked: Asked) -> None:
        control_plane_id, tenant = update.control_plane_id, asked.tenant
        report = await asyncio.to_thread(self._apply, control_plane_id, update)
        if report.is_version_gap:
            log.info("config.version_gap", control_plane_id=control_plane_id, from_version=update.from_version)
            asked.in_vain()
            tenant.cache_wanted = True
            return
        self._acks.put(report, update.config_hash if report.accepted else tenant.config_hash)
        if not report.accepted:
            # Kept: the last good one. Asked for again: when something newer than this is announced.
            tenant.refused = max(asked.wanted, report.version)
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
        tenant.now_runs(update)
        log.info("config.applied", control_plane_id=control_plane_id, version=report.version)
        kind = FrameKind.SNAPSHOT if update.is_snapshot else FrameKind.DELTA
        frame = Frame(kind, update.from_version, update.version, update.document)
        tenant.cache_wanted = not await asyncio.to_thread(self.cache.store, control_plane_id, frame)

    def _apply(self, control_plane_id: str, update: ConfigUpdate) -> ApplyReport:
        try:
            return ApplyReport.model_validate_json(self._engine.apply(update.document))
        except EngineFault as fault:
            error = ApplyError(code="internal", message=str(fault))
            return ApplyReport(
                control_plane_id=control_plane_id, version=update.version, accepted=False, errors=[error]
            )

    async def _remove(self, control_plane_id: str) -> None:
        await asyncio.to_thread(self._engine.remove, control_plane_id)
        await asyncio.to_thread(self.cache.remove, control_plane_id)
        self._acks.put_removed(control_plane_id)
        tenant = self.tenants.get(control_plane_id)
        if tenant is not None and tenant.assigned:
            # Assigned again while it was being removed: nothing is held now.
            tenant.held, tenant.refused = None, None
            tenant.config_hash = EMPTY_CONFIG_HASH
            return
        self.tenants.pop(control_plane_id, None)
        log.info("config.removed", control_plane_id=control_plane_id)

    def _acknowledge_held(self, control_plane_id: str) -> None:
        tenant = self.tenants[control_plane_id]
        if tenant.refused is not None:
            tenant.refused = None  # it is fetched, refused and reported once more
            self._enqueue(control_plane_id)
        elif tenant.held is not None:
            report = ApplyReport(control_plane_id=control_plane_id, version=tenant.held, accepted=True)
            self._acks.put(report, tenant.config_hash)

    async def sweep(self) -> None:
        """Take up again what was lost on the way, and what this process or an earlier one left undone on disk."""
        if not self.cache.is_writer and await asyncio.to_thread(self.cache.acquire):
            for control_plane_id, tenant in list(self.tenants.items()):
                if await asyncio.to_thread(self.cache.version, control_plane_id) != tenant.held:
                    tenant.cache_wanted = tenant.held is not None
        if self.cache.is_writer and self.connected and not self._collected:
            self._collected = True
            await self._forget_strangers()
        if self.cache.unwritten and time.monotonic() >= self._rewrite_at:
            self._rewrite_at = time.monotonic() + REWRITE_SECONDS
            for control_plane_id in self.cache.unwritten & self.tenants.keys():
                self.tenants[control_plane_id].cache_wanted = True
        for control_plane_id, tenant in self.tenants.items():
            if tenant.behind or tenant.cache_wanted or not tenant.assigned:
                self._enqueue(control_plane_id)

    async def _forget_strangers(self) -> None:
        """Delete journals that no assignment stands for: unreadable ones, and those of a process that could not."""
        for control_plane_id in await asyncio.to_thread(self.cache.control_planes):
            if control_plane_id not in self.tenants:
                await asyncio.to_thread(self.cache.remove, control_plane_id)

    async def _sync_cache(self) -> None:
        await asyncio.to_thread(self.cache.sync)


async def _every(seconds: float, action: Callable[[], Awaitable[None]]) -> None:
    while True:
        await asyncio.sleep(seconds)
        try:
            await action()
        except Exception:  # it comes round again
            log.exception("periodic.failed")
