"""Health of an upstream's targets as runtimes find it, and orders that overrule it.

Source: the shape of Kong Gateway's Admin API; `nodes` is ours: what each runtime says by itself.
"""

import ipaddress
from collections.abc import Sequence
from typing import Any, Final
from uuid import UUID

from fastapi import Request
from starlette.responses import JSONResponse, Response

from api import entity_documents as documents
from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.entities import PREFIX, Store
from core.crud.errors import InvalidRequest
from core.crud.paging import MAX_SIZE, ListQuery, parse_query
from core.crud.store import Parent
from core.health import orders, reports
from core.health.reports import NodeReport
from schema.addresses import is_ip, split_port
from schema.base import Document
from schema.entities.target import Target
from schema.entities.upstream import Upstream

router = token_router(prefix=PREFIX, tag="core-entities")

_UPSTREAM: Final = ("UpstreamId", "upstream")
_TARGET: Final = ("TargetId", "target")
_ADDRESS: Final = ("address", "address as `ip:port`")
_HEALTH: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "data": {
            "description": "The targets with their health; with `balancer_health=1`, the upstream's own.",
            "oneOf": [{"type": "array", "items": {"type": "object"}}, {"type": "object"}],
        },
        "node_id": {"type": "string", "format": "uuid"},
        "total": {"type": "integer"},
        "next": {"type": ["string", "null"]},
        "offset": {"type": ["string", "null"]},
    },
}
_BALANCER: Final[dict[str, Any]] = {
    "name": "balancer_health",
    "in": "query",
    "required": False,
    "description": "`1`: the health of the upstream itself.",
    "schema": {"type": "string"},
}


@router.get(
    "/upstreams/{UpstreamId}/health",
    operation_id="get-upstream-health",
    response_class=JSONResponse,
    responses=documents.responses(Upstream, 200, schema=_HEALTH),
    openapi_extra={"parameters": [*documents.path_parameters(_UPSTREAM), *documents.page_parameters(), _BALANCER]},
)
def get_upstream_health(request: Request, store: Store, services: ServicesDep, actor: Caller) -> Response:
    """Look at the health of an upstream's targets. Where runtimes differ, the worst verdict counts."""
    upstream = store.read(Upstream, request.path_params["UpstreamId"])
    control_plane_id = UUID(request.path_params["controlPlaneId"])
    with services.database.system() as session:
        found = reports.of_upstream(session, actor.organization_id, control_plane_id, UUID(upstream["id"]))
    # Kong names the node that was asked; nobody in particular was asked here.
    head: Document = {"node_id": str(control_plane_id), "next": None, "offset": None}
    if request.query_params.get("balancer_health") == "1":
        health = reports.worst(report.report["health"] for report in found)
        own = {"id": upstream["id"], "health": health, "details": {"weight": _least_available(found)}}
        return JSONResponse({"data": {**own, "nodes": _nodes(found)}, **head})
    query = parse_query((), request.query_params.multi_items())
    page = store.list(Target, ListQuery(min(query.size, MAX_SIZE), query.offset), _below(upstream))
    data = [_target(target, found) for target in page.data]
    return JSONResponse({"data": data, "total": len(data), **head, "offset": page.offset})


def _below(upstream: Document) -> Parent:
    return Parent("upstreams", upstream["id"], "upstream")


def _target(target: Document, found: Sequence[NodeReport]) -> Document:
    known = [(report, own) for report in found if (own := report.target(target["id"])) is not None]
    host, port = split_port(target["target"]) or (target["target"], None)
    addresses = reports.addresses(found, target["id"])
    available = sum(address["weight"] for address in addresses if address["health"] in {"HEALTHY", reports.OFF})
    total = sum(address["weight"] for address in addresses)
    return {
        **target,
        "health": reports.worst(own["health"] for _, own in known),
        "data": {
            "host": host,
            "port": port,
            "nodeWeight": target["weight"],
            "weight": {"total": total, "available": available, "unavailable": total - available},
            "addresses": addresses,
        },
        "nodes": [_node(report, own["health"]) for report, own in known],
    }


def _nodes(found: Sequence[NodeReport]) -> list[Document]:
    return [_node(report, report.report["health"]) for report in found]


def _node(report: NodeReport, health: str) -> Document:
    reported = int(report.reported_at.timestamp())
    return {"node_id": report.node_id, "region": report.region, "health": health, "reported_at": reported}


def _least_available(found: Sequence[NodeReport]) -> Document:
    nothing: Document = {"total": 0, "available": 0, "unavailable": 0}
    return min(
        (dict(report.report["weight"]) for report in found), key=lambda weight: weight["available"], default=nothing
    )


def _order(
    request: Request, store: Store, session: TenantDb, actor: Caller, *, healthy: bool, address: str | None
) -> Response:
    upstream = store.read(Upstream, request.path_params["UpstreamId"])
    target = store.read(Target, request.path_params["TargetId"], _below(upstream))
    control_plane_id = UUID(request.path_params["controlPlaneId"])
    orders.place(session, actor, control_plane_id, UUID(upstream["id"]), UUID(target["id"]), address, healthy=healthy)
    return Response(status_code=204)


def _address(text: str) -> str:
    """`ip:port` in its one form. Raises InvalidRequest."""
    host, port = split_port(text) or (text, None)
    if port is None or not is_ip(host):
        raise InvalidRequest(f"'{text[:200]}' is not an address with a port")
    address = ipaddress.ip_address(host.removeprefix("[").removesuffix("]"))
    return f"[{address}]:{port}" if address.version == 6 else f"{address}:{port}"


def _mount(word: str, *, healthy: bool) -> None:
    def set_target(request: Request, store: Store, session: TenantDb, actor: Caller) -> Response:
        return _order(request, store, session, actor, healthy=healthy, address=None)

    def set_address(request: Request, store: Store, session: TenantDb, actor: Caller) -> Response:
        address = _address(request.path_params["address"])
        return _order(request, store, session, actor, healthy=healthy, address=address)

    path = "/upstreams/{UpstreamId}/targets/{TargetId}"
    for endpoint, place, names, what in (
        (set_target, path, (_UPSTREAM, _TARGET), "target"),
        (set_address, f"{path}/{{address}}", (_UPSTREAM, _TARGET, _ADDRESS), "address"),
    ):
        router.add_api_route(
            f"{place}/{word}",
            endpoint,
            methods=["PUT"],
            status_code=204,
            operation_id=f"set-{what}-{word}",
            response_class=Response,
            description=f"Have every runtime take the {what} for {word}. Until a health check finds otherwise.",
            responses=documents.responses(Target, 204),
            openapi_extra={"parameters": documents.path_parameters(*names)},
        )


_mount("healthy", healthy=True)
_mount("unhealthy", healthy=False)
