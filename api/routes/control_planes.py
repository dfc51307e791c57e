"""Control planes.

Source: Konnect Control Planes API v2 (shapes and statuses).
"""

from collections.abc import Sequence
from typing import Annotated, Any, Final, TypeVar
from uuid import UUID

from fastapi import Request
from pydantic import BaseModel, BeforeValidator, Field

from api.deps import ControlPlanesDep, ServicesDep, token_router
from api.documents import Instant, PageMeta, PaginatedMeta, RequestBody, ResponseBody, example
from api.labels import LabelChanges
from api.query import Filterable, boolean_filter, list_parameters, listing, text_filter, uuid_filter
from core.control_planes.service import (
    AuthType,
    ClusterType,
    ControlPlaneChanges,
    ControlPlaneService,
    NewControlPlane,
)
from core.listing import Operator
from core.models.control_plane import ControlPlane as ControlPlaneRow
from core.settings import Settings

router = token_router(prefix="/v2/control-planes", tag="control-planes")

T = TypeVar("T")
Name = Annotated[str, Field(min_length=2, max_length=256)]
Description = Annotated[str, Field(max_length=2048)]


def _present_name(cluster_type: T) -> T | str:
    """Renamed long ago; released Terraform providers still send the old name."""
    return "CLUSTER_TYPE_CONTROL_PLANE" if cluster_type == "CLUSTER_TYPE_HYBRID" else cluster_type


ClusterTypeInput = Annotated[ClusterType, BeforeValidator(_present_name)]

_FILTERABLE: Final[dict[str, Filterable]] = {
    "id": uuid_filter(Operator.EQ, Operator.OEQ),
    "name": text_filter(Operator.EQ, Operator.NEQ, Operator.CONTAINS),
    "cluster_type": text_filter(Operator.EQ, Operator.NEQ, Operator.OEQ, parse=_present_name),
    "cloud_gateway": boolean_filter(),
}
_SORTABLE: Final = frozenset({"created_at", "name"})


class ProxyUrl(RequestBody):
    """An address at which gateways of this control plane take traffic."""

    host: str = Field(min_length=1, max_length=120)
    port: int = Field(ge=1, le=65535)
    protocol: str = Field(min_length=1, max_length=32)


ProxyUrls = Annotated[list[ProxyUrl], Field(max_length=5)]


class CreateControlPlaneRequest(RequestBody):
    """A new control plane. Null means the same as absent."""

    model_config = example(name="shop", cluster_type="CLUSTER_TYPE_SERVERLESS_V1", labels={"team": "shop"})

    name: Name
    description: Description | None = None
    cluster_type: ClusterTypeInput | None = None
    auth_type: AuthType | None = None
    cloud_gateway: bool | None = None
    proxy_urls: ProxyUrls | None = None
    labels: LabelChanges | None = None

    def wish(self) -> NewControlPlane:
        """As the service takes it."""
        given: dict[str, Any] = {name: value for name, value in self if value is not None}
        given["proxy_urls"] = [url.model_dump() for url in self.proxy_urls or []]
        given["labels"] = {key: value for key, value in (self.labels or {}).items() if value is not None}
        return NewControlPlane(**given)


class UpdateControlPlaneRequest(RequestBody):
    """Changes to a control plane: absent leaves alone, null sets back to the default; a null label is removed."""

    model_config = example(description="what the shop's apps call", labels={"team": "shop", "old": None})

    name: Name = ""
    description: Description | None = None
    auth_type: AuthType | None = None
    proxy_urls: ProxyUrls | None = None
    labels: LabelChanges | None = None

    def wish(self, present: ControlPlaneRow) -> ControlPlaneChanges:
        """As the service takes it."""
        given: dict[str, Any] = {name: getattr(self, name) for name in self.model_fields_set}
        if "description" in given:
            given["description"] = self.description or ""
        if "auth_type" in given:
            given["auth_type"] = self.auth_type or "pinned_client_certs"
        if "proxy_urls" in given:
            given["proxy_urls"] = [url.model_dump() for url in self.proxy_urls or []]
        if "labels" in given and self.labels is None:
            given["labels"] = dict.fromkeys(present.labels)
        return ControlPlaneChanges(**given)


class ControlPlaneConfig(BaseModel):
    """How a control plane is reached."""

    control_plane_endpoint: str
    telemetry_endpoint: str
    cluster_type: ClusterType
    auth_type: AuthType
    cloud_gateway: bool
    proxy_urls: list[dict[str, Any]]


class ControlPlane(ResponseBody):
    """A container of gateway configuration."""

    id: UUID
    name: str
    description: str
    labels: dict[str, str]
    config: ControlPlaneConfig
    created_at: Instant
    updated_at: Instant


class ControlPlanes(ResponseBody):
    """A page of control planes."""

    meta: PaginatedMeta
    data: list[ControlPlane]


@router.get(
    "",
    operation_id="list-control-planes",
    response_model=ControlPlanes,
    openapi_extra={"parameters": list_parameters(_FILTERABLE, _SORTABLE, labels=True)},
)
def list_control_planes(request: Request, service: ControlPlanesDep, services: ServicesDep) -> Any:
    """Control planes of the organization, by page, filter, label and order."""
    page = service.page(listing(request.query_params, _FILTERABLE, _SORTABLE))
    data = shown(page.items, service, services.settings)
    meta = PaginatedMeta(page=PageMeta(number=page.number, size=page.size, total=page.total))
    return {"meta": meta, "data": data}


@router.post("", operation_id="create-control-plane", status_code=201, response_model=ControlPlane)
def create_control_plane(body: CreateControlPlaneRequest, service: ControlPlanesDep, services: ServicesDep) -> Any:
    """Make a control plane with an empty configuration."""
    return shown([service.create(body.wish())], service, services.settings)[0]


@router.get("/{control_plane_id}", operation_id="get-control-plane", response_model=ControlPlane)
def get_control_plane(control_plane_id: UUID, service: ControlPlanesDep, services: ServicesDep) -> Any:
    """One control plane."""
    return shown([service.get(control_plane_id)], service, services.settings)[0]


@router.patch("/{control_plane_id}", operation_id="update-control-plane", response_model=ControlPlane)
def update_control_plane(
    control_plane_id: UUID, body: UpdateControlPlaneRequest, service: ControlPlanesDep, services: ServicesDep
) -> Any:
    """Change a control plane. Its cluster type and whether it is a cloud gateway stay as they were created."""
    row = service.update(control_plane_id, body.wish(service.get(control_plane_id)))
    return shown([row], service, services.settings)[0]


@router.delete("/{control_plane_id}", operation_id="delete-control-plane", status_code=204)
def delete_control_plane(control_plane_id: UUID, service: ControlPlanesDep) -> None:
    """Remove a control plane, its configuration and its gateways."""
    service.delete(control_plane_id)


def shown(rows: Sequence[ControlPlaneRow], service: ControlPlaneService, settings: Settings) -> list[dict[str, Any]]:
    """Control planes as clients see them."""
    urls = service.proxy_urls(rows)
    return [_shown(row, urls[row.id], settings) for row in rows]


def _shown(row: ControlPlaneRow, proxy_urls: list[dict[str, Any]], settings: Settings) -> dict[str, Any]:
    host = f"{row.endpoint_prefix}.{settings.home_geo}"
    return {
        "id": row.id,
        "name": row.name,
        "description": row.description,
        "labels": row.labels,
        "config": {
            "control_plane_endpoint": f"https://{host}.cp.{settings.control_plane_domain}",
            "telemetry_endpoint": f"https://{host}.tp0.{settings.control_plane_domain}",
            "cluster_type": row.cluster_type,
            "auth_type": row.auth_type,
            "cloud_gateway": row.cloud_gateway,
            "proxy_urls": proxy_urls,
        },
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
