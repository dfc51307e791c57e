"""Serverless gateways, one per control plane, in one call.

Source: Konnect Serverless Cloud Gateways API v0 (shapes and statuses); v1 is the same.
"""

from typing import Annotated, Any
from uuid import UUID

from cryptography import x509
from fastapi import Depends
from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError

from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.documents import Instant, RequestBody, ResponseBody
from api.labels import Labels
from api.routes.cloud_gateways import Identifier
from core.gateways.serverless import ServerlessGateway, ServerlessService

router = token_router(tag="serverless-cloud-gateways")


def _certificate(pem: str) -> str:
    try:
        # Clients paste certificates with their line ends turned into spaces.
        x509.load_pem_x509_certificate(_with_lines(pem).encode())
    except ValueError:
        raise _not_pem("must be a certificate in PEM form") from None
    return pem


def _private_key(pem: str) -> str:
    text = pem.strip()
    if not text.startswith("-----BEGIN ") or "PRIVATE KEY-----" not in text or not text.endswith("-----"):
        raise _not_pem("must be a private key in PEM form")
    return pem


def _with_lines(pem: str) -> str:
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    inner = pem.strip().removeprefix(begin).removesuffix(end)
    return "\n".join([begin, *inner.split(), end])


def _not_pem(reason: str) -> PydanticCustomError:
    return PydanticCustomError("violation", "{reason}", {"rule": "invalid", "reason": reason})


class GatewayControlPlaneRequest(RequestBody):
    """The control plane that the gateway is for. `prefix` is that of its endpoints' host names."""

    id: Identifier
    prefix: str = Field(min_length=1, max_length=63)
    region: str = Field(min_length=1, max_length=63)


class CreateServerlessCloudGatewayRequest(RequestBody):
    """A wish for a gateway. Certificate and key are checked for their form and not kept."""

    control_plane: GatewayControlPlaneRequest
    cluster_cert: Annotated[str, Field(max_length=65536), AfterValidator(_certificate)]
    cluster_cert_key: Annotated[str, Field(max_length=65536, repr=False), AfterValidator(_private_key)]
    labels: Labels | None = None


class GatewayControlPlane(ResponseBody):
    """The control plane of a gateway."""

    id: UUID
    prefix: str
    region: str


class ServerlessCloudGateway(ResponseBody):
    """A control plane's serverless gateway."""

    control_plane: GatewayControlPlane
    gateway_endpoint: str = Field(description="Host name that takes the traffic.")
    labels: dict[str, str]
    created_at: Instant
    updated_at: Instant


async def _service(caller: Caller, session: TenantDb, services: ServicesDep) -> ServerlessService:
    return ServerlessService(session, caller, services.settings, services.clock)


Service = Annotated[ServerlessService, Depends(_service, scope="function")]


@router.post(
    "/v0/serverless-cloud-gateways",
    operation_id="create-serverless-cloud-gateway",
    status_code=201,
    response_model=ServerlessCloudGateway,
)
@router.post(
    "/v1/serverless-cloud-gateways",
    operation_id="create-serverless-cloud-gateway-v1",
    status_code=201,
    response_model=ServerlessCloudGateway,
)
def create_gateway(body: CreateServerlessCloudGatewayRequest, service: Service) -> Any:
    """Give a control plane a serverless gateway."""
    wanted = body.control_plane
    return _shown(service.create(wanted.id, wanted.prefix, wanted.region, body.labels or {}))


@router.get(
    "/v0/serverless-cloud-gateways/{control_plane_id}",
    operation_id="get-serverless-cloud-gateway",
    response_model=ServerlessCloudGateway,
)
@router.get(
    "/v1/serverless-cloud-gateways/{control_plane_id}",
    operation_id="get-serverless-cloud-gateway-v1",
    response_model=ServerlessCloudGateway,
)
def get_gateway(control_plane_id: UUID, service: Service) -> Any:
    """The serverless gateway of a control plane."""
    return _shown(service.find(control_plane_id))


@router.delete(
    "/v0/serverless-cloud-gateways/{control_plane_id}",
    operation_id="delete-serverless-cloud-gateway",
    status_code=204,
)
@router.delete(
    "/v1/serverless-cloud-gateways/{control_plane_id}",
    operation_id="delete-serverless-cloud-gateway-v1",
    status_code=204,
)
def delete_gateway(control_plane_id: UUID, service: Service) -> None:
    """End the serverless gateway of a control plane."""
    service.delete(control_plane_id)


def _shown(gateway: ServerlessGateway) -> dict[str, Any]:
    return {
        "control_plane": {
            "id": gateway.control_plane.id,
            "prefix": gateway.control_plane.endpoint_prefix,
            "region": gateway.group.region,
        },
        "gateway_endpoint": gateway.group.hostname,
        "labels": gateway.configuration.labels,
        "created_at": gateway.configuration.created_at,
        "updated_at": gateway.configuration.updated_at,
    }
