"""Client certificates that are pinned to a control plane.

Source: Konnect Control Planes Configuration API v2 (shapes and statuses; errors are messages, see api/messages.py).
"""

from typing import Annotated, Any
from uuid import UUID

from fastapi import Depends
from pydantic import Field

from api.deps import Caller, ServicesDep, TenantDb, token_router
from api.documents import RequestBody, ResponseBody, seconds
from core.control_planes.certificates import CertificateService
from core.models.dp_client_certificate import DpClientCertificate as Row

router = token_router(prefix="/v2/control-planes/{control_plane_id}/dp-client-certificates", tag="control-planes")


class CertificateRequest(RequestBody):
    """A certificate to be pinned."""

    cert: str = Field(min_length=1, max_length=64 * 1024, description="In PEM; issuers may follow.")
    title: str | None = Field(default=None, max_length=256)


class DataPlaneClientCertificate(ResponseBody):
    """A pinned certificate, as it was written."""

    id: UUID
    cert: str
    title: str | None
    created_at: int
    updated_at: int


class CertificateAnswer(ResponseBody):
    """One certificate."""

    item: DataPlaneClientCertificate


class CertificatesPage(ResponseBody):
    """How many there are."""

    total_count: int


class Certificates(ResponseBody):
    """All pinned certificates, oldest first."""

    items: list[DataPlaneClientCertificate]
    page: CertificatesPage


async def _service(
    control_plane_id: UUID, caller: Caller, session: TenantDb, services: ServicesDep
) -> CertificateService:
    return CertificateService(session, caller, services.clock, control_plane_id)


Service = Annotated[CertificateService, Depends(_service, scope="function")]


@router.get("", operation_id="list-dp-client-certificates", response_model=Certificates)
def list_certificates(service: Service) -> Any:
    """The certificates that are pinned to a control plane."""
    items = [_shown(row) for row in service.all()]
    return {"items": items, "page": {"total_count": len(items)}}


@router.post("", operation_id="create-dataplane-certificate", status_code=201, response_model=CertificateAnswer)
def create_certificate(body: CertificateRequest, service: Service) -> Any:
    """Pin a certificate."""
    return {"item": _shown(service.create(body.cert, body.title))}


@router.get("/{certificate_id}", operation_id="get-dataplane-certificate", response_model=CertificateAnswer)
def get_certificate(certificate_id: UUID, service: Service) -> Any:
    """One pinned certificate."""
    return {"item": _shown(service.get(certificate_id))}


@router.put("/{certificate_id}", operation_id="update-dataplane-certificate", response_model=CertificateAnswer)
def replace_certificate(certificate_id: UUID, body: CertificateRequest, service: Service) -> Any:
    """Have another certificate, or title, in the place of one."""
    return {"item": _shown(service.replace(certificate_id, body.cert, body.title))}


@router.delete("/{certificate_id}", operation_id="delete-dataplane-certificate", status_code=204)
def delete_certificate(certificate_id: UUID, service: Service) -> None:
    """Unpin a certificate."""
    service.delete(certificate_id)


def _shown(row: Row) -> dict[str, Any]:
    return {
        "id": row.id,
        "cert": row.cert,
        "title": row.title,
        "created_at": seconds(row.created_at),
        "updated_at": seconds(row.updated_at),
    }
