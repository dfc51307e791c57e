"""The runtimes that serve a control plane, and what they should be running.

Source: Konnect Control Planes Configuration API v2 (shapes); koko's node model (type and compatibility states).
`region` and `config_version` are ours.
"""

from typing import Any, Final, Literal
from uuid import UUID

from fastapi import Request
from pydantic import Field

from api.deps import ControlPlanesDep, ServicesDep, TenantDb, token_router
from api.documents import ResponseBody, seconds
from api.query import cursor_listing, cursor_parameters, next_page
from core.models.control_plane import ControlPlane
from core.runtime import records
from core.runtime.records import NodeRecord
from schema.version import VERSION

router = token_router(prefix="/v2/control-planes/{control_plane_id}", tag="control-planes")

_COMPATIBLE: Final = "COMPATIBILITY_STATE_FULLY_COMPATIBLE"
_INCOMPATIBLE: Final = "COMPATIBILITY_STATE_INCOMPATIBLE"


class AffectedResource(ResponseBody):
    """An entity that a runtime refused."""

    id: str | None
    type: str | None
    details: list[str]


class CompatibilityIssue(ResponseBody):
    """Why a runtime does not run the newest configuration that it was given."""

    code: str
    severity: str
    description: str
    resolution: str
    affected_resources: list[AffectedResource]


class CompatibilityStatus(ResponseBody):
    """Whether a runtime took the newest configuration that it was given."""

    state: Literal["COMPATIBILITY_STATE_FULLY_COMPATIBLE", "COMPATIBILITY_STATE_INCOMPATIBLE"]
    issues: list[CompatibilityIssue]


class Node(ResponseBody):
    """One runtime."""

    id: UUID
    version: str
    hostname: str
    region: str
    last_ping: int
    type: Literal["kong-proxy"]
    config_hash: str = Field(description="Of what it runs; 32 zeros for nothing.")
    config_version: str | None = Field(description="Of what it runs.")
    compatibility_status: CompatibilityStatus
    created_at: int
    updated_at: int


class NodeAnswer(ResponseBody):
    """One runtime."""

    item: Node


class NodesPage(ResponseBody):
    """How many there are, and the path of the part that follows; null on the last one."""

    total_count: int
    next: str | None = None


class Nodes(ResponseBody):
    """A part of the runtimes, by id."""

    items: list[Node]
    page: NodesPage


class OutdatedNode(ResponseBody):
    """A runtime that is due for an upgrade."""

    node_id: UUID
    node_version: str
    message: str


class OutdatedNodes(ResponseBody):
    """Runtimes that are due for an upgrade."""

    items: list[OutdatedNode]
    page: NodesPage


class ExpectedHash(ResponseBody):
    """What a runtime reports that runs the newest configuration."""

    expected_hash: str
    created_at: int
    updated_at: int


class ExpectedVersion(ResponseBody):
    """The newest configuration."""

    expected_config_version: str
    created_at: int


@router.get(
    "/nodes",
    operation_id="list-dataplane-nodes",
    response_model=Nodes,
    openapi_extra={"parameters": cursor_parameters()},
)
def list_nodes(
    request: Request, control_plane_id: UUID, control_planes: ControlPlanesDep, services: ServicesDep
) -> Any:
    """The runtimes that have reported on a control plane's configuration. A day after its last sign one is forgotten."""
    control_plane = control_planes.get(control_plane_id)
    listing = cursor_listing(request.query_params)
    with services.database.system() as session:
        found, total = records.page(session, control_plane.org_id, control_plane.id, listing.size + 1, listing.after)
    page: dict[str, Any] = {"total_count": total}
    if len(found) > listing.size:
        page["next"] = next_page(request.url.path, request.query_params, found[listing.size - 1].id)
    return {"items": [_shown(record) for record in found[: listing.size]], "page": page}


@router.get("/nodes/eol", operation_id="get-nodes-eol", response_model=OutdatedNodes)
def list_outdated_nodes(control_plane_id: UUID, control_planes: ControlPlanesDep, services: ServicesDep) -> Any:
    """The runtimes of an older release than the control plane's. The next one need not know how to speak with them."""
    control_plane = control_planes.get(control_plane_id)
    with services.database.system() as session:
        found = records.outdated(session, control_plane.org_id, control_plane.id)
    message = f"Upgrade this node to {VERSION}, the version of its control plane"
    items = [{"node_id": record.id, "node_version": record.version, "message": message} for record in found]
    return {"items": items, "page": {"total_count": len(items)}}


@router.get("/nodes/{node_id}", operation_id="get-nodes-node_id", response_model=NodeAnswer)
def get_node(control_plane_id: UUID, node_id: UUID, control_planes: ControlPlanesDep, services: ServicesDep) -> Any:
    """One runtime."""
    return {"item": _shown(_record(control_planes.get(control_plane_id), node_id, services))}


@router.delete("/nodes/{node_id}", operation_id="delete-nodes-node_id", status_code=204)
def delete_node(
    control_plane_id: UUID, node_id: UUID, control_planes: ControlPlanesDep, session: TenantDb, services: ServicesDep
) -> None:
    """Forget a runtime. One that is alive reports again, and is back."""
    control_plane = control_planes.get(control_plane_id)
    records.forget(session, control_plane.id, _record(control_plane, node_id, services))


@router.get("/expected-config-hash", operation_id="get-expected-config-hash", response_model=ExpectedHash)
def get_expected_hash(control_plane_id: UUID, control_planes: ControlPlanesDep) -> Any:
    """What `config_hash` of a runtime is when it runs the newest configuration. 32 zeros for an empty one."""
    control_plane = control_planes.get(control_plane_id)
    return {
        "expected_hash": control_plane.config_hash,
        "created_at": seconds(control_plane.created_at),
        "updated_at": seconds(control_plane.config_changed_at),
    }


@router.get("/expected-config-version", operation_id="get-expected-config-version", response_model=ExpectedVersion)
def get_expected_version(control_plane_id: UUID, control_planes: ControlPlanesDep) -> Any:
    """What `config_version` of a runtime is when it runs the newest configuration."""
    control_plane = control_planes.get(control_plane_id)
    return {
        "expected_config_version": str(control_plane.config_version),
        "created_at": seconds(control_plane.config_changed_at),
    }


def _record(control_plane: ControlPlane, node_id: UUID, services: ServicesDep) -> NodeRecord:
    with services.database.system() as session:
        return records.one(session, control_plane.org_id, control_plane.id, node_id)


def _shown(record: NodeRecord) -> dict[str, Any]:
    issues = [
        {
            "code": error.get("code") or "config-refused",
            "severity": "error",
            "description": error.get("message") or "The configuration was refused",
            "resolution": "Change the entity; until then the node runs the configuration that it had before",
            "affected_resources": [
                {
                    "id": error.get("id"),
                    "type": error.get("entity"),
                    "details": [error["field"]] if error.get("field") else [],
                }
            ],
        }
        for error in record.errors
        if not record.accepted
    ]
    return {
        "id": record.id,
        "version": record.version,
        "hostname": record.hostname,
        "region": record.region,
        "last_ping": seconds(record.last_seen_at),
        "type": "kong-proxy",
        "config_hash": record.config_hash,
        "config_version": None if record.running_version is None else str(record.running_version),
        "compatibility_status": {"state": _COMPATIBLE if record.accepted else _INCOMPATIBLE, "issues": issues},
        "created_at": seconds(record.created_at),
        "updated_at": seconds(record.reported_at),
    }
