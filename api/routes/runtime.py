"""The runtime API: what gateway runtimes ask the control plane. Authenticated by node certificate, not by token.

The region in the certificate decides what a runtime sees; an organization's configuration goes to the regions it is assigned
to and nowhere else.
"""

import asyncio
import contextlib
import dataclasses
import gzip
import hashlib
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Any, Final, Literal, cast
from uuid import UUID

from fastapi import APIRouter, Depends, FastAPI, Query, Request, Response
from fastapi.routing import APIRoute
from pydantic import Field
from starlette.responses import StreamingResponse

from api import runtime_lines
from api.deps import Services, ServicesDep, services_of
from api.documents import InstantInput, RequestBody
from api.routes.cloud_gateways import Identifier
from api.runtime_feed import Message, RuntimeFeed, StartOver
from core.errors import Forbidden, SettingsError, Unauthenticated
from core.gateways import limits
from core.health import orders, reports
from core.runtime import acks, assignments, nodes
from core.runtime.assignments import Assignment
from core.runtime.node_ca import SCHEME, Node, NodeVerifier, load_ca_certificate
from core.snapshot.build import UpdateBuilder

COMPRESS_FROM_BYTES: Final = 1024
MOST_WANTED: Final = 100
"""Control planes in one request for their configurations."""
LONGEST_STREAM_SECONDS: Final = 3600.0
"""Then the runtime has to connect, and to show its certificate, again."""
MOST_UPSTREAMS: Final = 100
"""Upstreams in one report on health, and of each of them:"""
MOST_TARGETS: Final = 1000
MOST_ADDRESSES: Final = 32
Verdict = Literal["HEALTHY", "UNHEALTHY", "DNS_ERROR", "HEALTHCHECKS_OFF"]


@dataclass(frozen=True, slots=True)
class RuntimeServices:
    """What only the runtime API needs; made with its first request. `verifier` is None where no node CA is set."""

    verifier: NodeVerifier | None
    feed: RuntimeFeed
    builder: UpdateBuilder


def runtime_services_of(app: FastAPI) -> RuntimeServices:
    """The runtime API's services of an application."""
    made: RuntimeServices | None = getattr(app.state, "runtime_services", None)
    if made is None:
        made = _make(cast("Services", app.state.services))
        app.state.runtime_services = made
    return made


def _make(services: Services) -> RuntimeServices:
    builder = UpdateBuilder(
        services.database,
        services.keyring,
        limits.of_installation(services.settings),
        limits.settings_of_installation(services.settings),
    )

    def read(region: str, control_plane_ids: Collection[UUID] | None) -> Sequence[Assignment]:
        with services.database.system() as session:
            if control_plane_ids is None:
                found = assignments.of_region(session, region)
            else:
                found = assignments.of_control_planes(session, region, control_plane_ids)
        return [
            item if item.own_limits is None else dataclasses.replace(item, terms=builder.own_terms(item))
            for item in found
        ]

    try:
        verifier = NodeVerifier(load_ca_certificate(services.settings.node_ca_cert_file))
    except SettingsError:
        verifier = None
    return RuntimeServices(verifier, RuntimeFeed(services.notices, read), builder)


class NodeRoute(APIRoute):
    """A route that needs a node's assertion, and checks it before it reads the body."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def authenticated(request: Request) -> Response:
            scheme, _, assertion = request.headers.get("authorization", "").partition(" ")
            verifier = runtime_services_of(request.app).verifier
            if scheme.lower() != SCHEME.lower() or verifier is None:
                raise Unauthenticated("node assertion: missing" if verifier else "no node CA is set")
            request.state.node = verifier.verify(assertion.strip(), services_of(request).clock.now())
            return await handle(request)

        return authenticated


router = APIRouter(prefix="/runtime/v1", tags=["runtime"], route_class=NodeRoute, redirect_slashes=False)


async def _node(request: Request) -> Node:
    return cast("Node", request.state.node)


async def _runtime_services(request: Request) -> RuntimeServices:
    return runtime_services_of(request.app)


CallingNode = Annotated[Node, Depends(_node)]
RuntimeDep = Annotated[RuntimeServices, Depends(_runtime_services)]


class AckItem(RequestBody):
    """Result of applying one control plane's configuration, or that it is served no longer."""

    control_plane_id: Identifier
    version: int = Field(ge=0)
    accepted: bool
    errors: list[dict[str, Any]] = Field([], max_length=100)
    config_hash: str = Field("", max_length=128)
    removed: bool = False


class Acks(RequestBody):
    """Results of one node."""

    node_id: Identifier
    items: list[AckItem] = Field(max_length=acks.MOST_ITEMS)


class HeartbeatBody(RequestBody):
    """A node's sign of life."""

    node_id: Identifier
    version: str = Field(max_length=64)
    hostname: str = Field(max_length=253)
    started_at: InstantInput
    tenants: int = Field(ge=0)


class AddressReport(RequestBody):
    """One address of a target."""

    ip: str = Field(max_length=64)
    port: int = Field(ge=0, le=65_535)
    weight: int = Field(ge=0, le=1_000_000)
    health: Verdict


class TargetReport(RequestBody):
    """One target of an upstream."""

    health: Verdict
    addresses: list[AddressReport] = Field(max_length=MOST_ADDRESSES)


class WeightReport(RequestBody):
    """An upstream's weight."""

    total: int = Field(ge=0, lt=2**53)
    available: int = Field(ge=0, lt=2**53)
    unavailable: int = Field(ge=0, lt=2**53)


class UpstreamReport(RequestBody):
    """One upstream, with its targets by id."""

    health: Verdict
    weight: WeightReport
    targets: dict[Annotated[str, Field(pattern=r"^[0-9a-f-]{36}$")], TargetReport] = Field(max_length=MOST_TARGETS)


class HealthItem(RequestBody):
    """What a node says about one upstream; null: it has no such upstream any more."""

    control_plane_id: Identifier
    upstream_id: Identifier
    report: UpstreamReport | None


class HealthBody(RequestBody):
    """What a node finds about upstreams."""

    node_id: Identifier
    items: list[HealthItem] = Field(max_length=MOST_UPSTREAMS)


class WantedItem(RequestBody):
    """A control plane whose configuration a node wants, and the version that it has."""

    control_plane_id: Identifier
    from_version: int | None = Field(ge=0, lt=2**63)


class Wanted(RequestBody):
    """What a node wants to have."""

    items: list[WantedItem] = Field(min_length=1, max_length=MOST_WANTED)


@router.get("/stream", operation_id="stream-runtime-messages", include_in_schema=False)
async def stream(node: CallingNode, runtime: RuntimeDep, services: ServicesDep) -> StreamingResponse:
    """Assignments of the node's region and their changes, one JSON object per line, without end."""
    return StreamingResponse(_lines(_messages(node, runtime, services)), media_type="application/x-ndjson")


@router.get("/control-planes/{control_plane_id}/config", operation_id="get-runtime-config", include_in_schema=False)
def get_config(
    request: Request,
    control_plane_id: UUID,
    node: CallingNode,
    runtime: RuntimeDep,
    from_version: Annotated[int | None, Query(ge=0)] = None,
) -> Response:
    """A delta from a version, or a snapshot."""
    content = runtime.builder.build(node.region, control_plane_id, from_version).to_bytes()
    headers = {
        "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
        "Vary": "Accept-Encoding",
        "Cache-Control": "no-store",
    }
    if len(content) >= COMPRESS_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        content = gzip.compress(content, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    return Response(content, media_type="application/json", headers=headers)


@router.post("/configs", operation_id="post-runtime-configs", include_in_schema=False)
def post_configs(body: Wanted, request: Request, node: CallingNode, runtime: RuntimeDep) -> StreamingResponse:
    """What `get_config` gives, for many control planes: one JSON object per line, in any order, as they are read.

    Instead of an update there is `{"kind": "not-assigned" | "failed", "control_plane_id": …}`. An answer that breaks off
    is good up to its last whole line.
    """
    have = {item.control_plane_id: item.from_version for item in body.items}
    compress = "gzip" in request.headers.get("accept-encoding", "")
    parts = runtime_lines.parts(runtime.builder.build_many(node.region, have), compress=compress)
    headers = {"Vary": "Accept-Encoding", "Cache-Control": "no-store"}
    if compress:
        headers["Content-Encoding"] = "gzip"
    # Before the head is sent: a database that does not answer is a status, not half an answer.
    first = next(parts, b"")
    return StreamingResponse(chain((first,), parts), media_type="application/x-ndjson", headers=headers)


@router.post("/acks", operation_id="post-runtime-acks", status_code=204, include_in_schema=False)
def post_acks(body: Acks, node: CallingNode, services: ServicesDep) -> None:
    """Store what a node reports on configurations."""
    _require_self(node, body.node_id)
    items = [
        acks.Ack(item.control_plane_id, item.version, item.accepted, item.errors, item.config_hash, item.removed)
        for item in body.items
    ]
    with services.database.system() as session:
        nodes.record_sign_of_life(session, node)
        acks.record(session, node, items, services.clock.now())


@router.post("/heartbeats", operation_id="post-runtime-heartbeat", status_code=204, include_in_schema=False)
def post_heartbeat(body: HeartbeatBody, node: CallingNode, services: ServicesDep) -> None:
    """Note that a node is alive."""
    _require_self(node, body.node_id)
    heartbeat = nodes.Heartbeat(body.version, body.hostname, body.started_at, body.tenants)
    with services.database.system() as session:
        nodes.record_heartbeat(session, node, heartbeat)


@router.post("/target-health", operation_id="post-runtime-target-health", status_code=204, include_in_schema=False)
def post_target_health(body: HealthBody, node: CallingNode, services: ServicesDep) -> None:
    """Store what a node finds about the health of targets."""
    _require_self(node, body.node_id)
    items = [
        reports.Item(item.control_plane_id, item.upstream_id, item.report and item.report.model_dump())
        for item in body.items
    ]
    with services.database.system() as session:
        nodes.record_sign_of_life(session, node)
        reports.record(session, node, items)


@router.get("/target-orders", operation_id="get-runtime-target-orders", include_in_schema=False)
def get_target_orders(
    node: CallingNode, services: ServicesDep, after: Annotated[int, Query(ge=0, lt=2**63)] = 0
) -> dict[str, list[dict[str, Any]]]:
    """Orders about targets with numbers above `after`, in order; of too many, the first ones."""
    with services.database.system() as session:
        found = orders.after(session, node.region, after)
    return {"items": [dataclasses.asdict(order) for order in found]}


def _require_self(node: Node, node_id: UUID) -> None:
    if node.node_id != node_id:
        raise Forbidden("A node speaks for itself only")


async def _messages(node: Node, runtime: RuntimeServices, services: Services) -> AsyncGenerator[Message]:
    """The region's messages; the list says under which terms, and what the node has to let go of comes right after it."""

    def left_over() -> Sequence[UUID]:
        with services.database.system() as session:
            return acks.left_over(session, node)

    async with contextlib.aclosing(runtime.feed.stream(node.region)) as messages:
        yield await anext(messages) | {"terms": runtime.builder.terms}
        for control_plane_id in await asyncio.to_thread(left_over):
            yield {"type": "removed", "control_plane_id": str(control_plane_id)}
        async for message in messages:
            yield message


async def _lines(messages: AsyncGenerator[Message]) -> AsyncIterator[bytes]:
    until = time.monotonic() + LONGEST_STREAM_SECONDS
    async with contextlib.aclosing(messages):
        try:
            async for message in messages:
                yield json.dumps(message, separators=(",", ":")).encode() + b"\n"
                if time.monotonic() > until:
                    return
        except StartOver:
            return
