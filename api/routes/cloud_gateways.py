"""Cloud gateway configurations: where a control plane's gateways are wanted, and how far that has come.

Source: Konnect Cloud Gateways API v2 (shapes and statuses).
"""

from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, Field

from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.documents import Instant, PageMeta, PaginatedMeta, RequestBody, ResponseBody, example
from api.query import Filterable, listing, text_filter, uuid_filter
from core.gateways.service import ConfigurationView, GatewayService
from core.gateways.statement import SERVERLESS_PROVIDER, ApiAccess, Geo, GroupStatement, Kind, Statement
from core.listing import Operator
from core.models.dataplane_group import DataplaneGroup

router = token_router(prefix="/v2/cloud-gateways", tag="cloud-gateways")
public_router = APIRouter(prefix="/v2/cloud-gateways", tags=["cloud-gateways"], redirect_slashes=False)

Provider = Literal["aws", "azure", "gcp"]
State = Literal["created", "initializing", "ready", "terminating", "terminated"]
# Identifiers come as text.
Identifier = Annotated[UUID, Field(strict=False)]

_FILTERABLE: Final[dict[str, Filterable]] = {
    "control_plane_id": uuid_filter(Operator.EQ, Operator.NEQ, Operator.OEQ),
    "control_plane_geo": text_filter(Operator.EQ, Operator.NEQ, Operator.OEQ),
}


class EnvironmentField(RequestBody):
    """One environment variable of a group's gateways."""

    name: str = Field(
        min_length=6, max_length=120, pattern=r"^(KONG|OTEL)_[a-zA-Z_]+[a-zA-Z0-9_]*$", examples=["KONG_LOG_LEVEL"]
    )
    value: str = Field(min_length=1, max_length=2048, examples=["info"])


class DataplaneGroupRequest(RequestBody):
    """One wanted group. Size and network mean nothing to serverless gateways and are passed over."""

    provider: Provider
    region: str = Field(min_length=1, max_length=64)
    cloud_gateway_network_id: Identifier | None = None
    autoscale: dict[str, Any] | None = None
    environment: Annotated[list[EnvironmentField], Field(max_length=100)] | None = None

    def statement(self) -> GroupStatement:
        """As the service takes it."""
        pairs = None
        if self.environment is not None:
            pairs = tuple((field.name, field.value) for field in self.environment)
        return GroupStatement(self.provider, self.region, pairs)


class CreateConfigurationRequest(RequestBody):
    """All groups that a control plane is to have."""

    model_config = example(
        control_plane_id="9c1f0b7e-5d0a-4c7b-8f5e-2d6a1b3c4e5f",
        control_plane_geo="us",
        kind="serverless.v1",
        dataplane_groups=[{"provider": "aws", "region": "us"}],
    )

    control_plane_id: Identifier
    control_plane_geo: Geo
    dataplane_groups: Annotated[list[DataplaneGroupRequest], Field(max_length=100)]
    version: str | None = Field(None, max_length=32)
    kind: Kind = "dedicated.v0"
    api_access: ApiAccess = "private+public"

    def statement(self) -> Statement:
        """As the service takes it."""
        groups = [group.statement() for group in self.dataplane_groups]
        return Statement(self.control_plane_id, self.control_plane_geo, self.kind, self.api_access, groups)


class StateMetadata(BaseModel):
    """Why a group is not where it should be."""

    reported_status: str
    reason: str


class ShownGroup(BaseModel):
    """A group as it is."""

    id: UUID
    provider: Provider
    region: str
    environment: list[EnvironmentField] | None = None
    state: State
    state_metadata: StateMetadata | None = None
    hostnames: list[str]
    created_at: Instant
    updated_at: Instant


class ShownGroupConfig(BaseModel):
    """A group as it was asked for."""

    provider: Provider
    region: str
    environment: list[EnvironmentField] | None = None


class Configuration(ResponseBody):
    """A control plane's gateways: wanted and present."""

    id: UUID
    control_plane_id: UUID
    control_plane_geo: Geo
    kind: Kind
    api_access: ApiAccess
    dataplane_group_config: list[ShownGroupConfig]
    dataplane_groups: list[ShownGroup]
    entity_version: int
    created_at: Instant
    updated_at: Instant


class Configurations(ResponseBody):
    """A page of configurations."""

    meta: PaginatedMeta
    data: list[Configuration]


class ServerlessRegion(BaseModel):
    """A region that serverless gateways can be in."""

    region: str


class ServerlessProvider(BaseModel):
    """The regions of one provider."""

    provider: Provider
    regions: list[ServerlessRegion]


class Availability(BaseModel):
    """What can be asked for. The first three lists are about dedicated gateways."""

    versions: list[str]
    instance_types: list[dict[str, str]]
    providers: list[dict[str, Any]]
    serverless_v1_providers: list[ServerlessProvider]


async def _service(caller: Caller, session: TenantDb, services: ServicesDep) -> GatewayService:
    return GatewayService(session, caller, services.settings, services.clock)


Service = Annotated[GatewayService, Depends(_service, scope="function")]


@public_router.get("/availability.json", operation_id="get-availability-json", response_model=Availability)
def get_availability(services: ServicesDep) -> Any:
    """Where gateways can be provisioned; needs no token."""
    regions = [ServerlessRegion(region=region.name) for region in services.settings.regions]
    return Availability(
        versions=[],
        instance_types=[],
        providers=[],
        serverless_v1_providers=[ServerlessProvider(provider=SERVERLESS_PROVIDER, regions=regions)],
    )


@router.get(
    "/configurations",
    operation_id="list-configurations",
    response_model=Configurations,
    response_model_exclude_none=True,
)
def list_configurations(request: Request, service: Service) -> Any:
    """Configurations of the organization, by page and filter."""
    page = service.page(listing(request.query_params, _FILTERABLE, frozenset()))
    meta = PaginatedMeta(page=PageMeta(number=page.number, size=page.size, total=page.total))
    return {"meta": meta, "data": [_shown(view) for view in page.items]}


@router.put(
    "/configurations",
    operation_id="create-configuration",
    response_model=Configuration,
    response_model_exclude_none=True,
)
def put_configuration(body: CreateConfigurationRequest, service: Service) -> Any:
    """State all gateways of a control plane; those that are not named end."""
    return _shown(service.put(body.statement()))


@router.get(
    "/configurations/{configuration_id}",
    operation_id="get-configuration",
    response_model=Configuration,
    response_model_exclude_none=True,
)
def get_configuration(configuration_id: UUID, service: Service) -> Any:
    """One configuration with its groups as they are now."""
    return _shown(service.get(configuration_id))


def _shown(view: ConfigurationView) -> dict[str, Any]:
    row = view.configuration
    wanted = {(group["provider"], group["region"]): group for group in row.groups}
    return {
        "id": row.id,
        "control_plane_id": row.control_plane_id,
        "control_plane_geo": row.control_plane_geo,
        "kind": row.kind,
        "api_access": row.api_access,
        "dataplane_group_config": row.groups,
        "dataplane_groups": [_shown_group(group, wanted) for group in view.groups],
        "entity_version": row.entity_version,
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }


def _shown_group(row: DataplaneGroup, wanted: dict[tuple[str, str], dict[str, Any]]) -> dict[str, Any]:
    return {
        "id": row.id,
        "provider": row.provider,
        "region": row.region,
        "environment": wanted.get((row.provider, row.region), {}).get("environment"),
        "state": row.state,
        "state_metadata": row.state_metadata or None,
        "hostnames": [] if row.hostname is None else [row.hostname],
        "created_at": row.created_at,
        "updated_at": row.updated_at,
    }
