"""Client certificates pinned to a control plane: what data planes of its owner may show when they connect."""

from collections.abc import Sequence
from typing import Final
from uuid import UUID

from psycopg.errors import UniqueViolation
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from core import audit
from core.actor import Actor
from core.clock import Clock
from core.control_planes.repository import ControlPlaneRepository
from core.db.sessions import TenantSession
from core.errors import Conflict, InvalidInput, LimitReached, NotFound
from core.models.dp_client_certificate import DpClientCertificate
from schema.pem import certificate_fault, digest

MOST_CERTIFICATES: Final = 32
"""Per control plane. Source: the resource limits that Konnect publishes."""


class CertificateService:
    """The pinned certificates of one control plane. Every method raises NotFound for one that is not there."""

    def __init__(self, session: TenantSession, actor: Actor, clock: Clock, control_plane_id: UUID) -> None:
        self._session = session
        self._actor = actor
        self._clock = clock
        self._control_plane_id = control_plane_id
        self._control_planes = ControlPlaneRepository(session)

    def all(self) -> Sequence[DpClientCertificate]:
        """All of them, oldest first."""
        self._control_planes.require(self._control_plane_id)
        return self._rows()

    def get(self, certificate_id: UUID) -> DpClientCertificate:
        """One certificate."""
        key = (self._session.org_id, self._control_plane_id, certificate_id)
        found = self._session.get(DpClientCertificate, key)
        if found is None:
            raise NotFound("certificate", certificate_id)
        return found

    def create(self, cert: str, title: str | None) -> DpClientCertificate:
        """Pin a certificate. Raises InvalidInput, Conflict: it is pinned already, LimitReached."""
        if self._control_planes.lock(self._control_plane_id) is None:
            raise NotFound("control plane", self._control_plane_id)
        if len(self._rows()) >= MOST_CERTIFICATES:
            raise LimitReached("data plane client certificates per control plane", MOST_CERTIFICATES)
        now = self._clock.now()
        row = DpClientCertificate(
            control_plane_id=self._control_plane_id,
            cert=cert,
            title=title,
            digest=_digest(cert),
            created_at=now,
            updated_at=now,
        )
        self._session.add(row)
        self._finish(row, "dp_client_certificate.created")
        return row

    def replace(self, certificate_id: UUID, cert: str, title: str | None) -> DpClientCertificate:
        """Have another certificate under the same id. Raises InvalidInput, Conflict: it is pinned already."""
        row = self.get(certificate_id)
        row.cert, row.title, row.digest = cert, title, _digest(cert)
        row.updated_at = self._clock.now()
        self._finish(row, "dp_client_certificate.updated")
        return row

    def delete(self, certificate_id: UUID) -> None:
        """Unpin a certificate."""
        row = self.get(certificate_id)
        self._session.delete(row)
        self._finish(row, "dp_client_certificate.deleted")

    def _rows(self) -> Sequence[DpClientCertificate]:
        statement = select(DpClientCertificate).where(DpClientCertificate.control_plane_id == self._control_plane_id)
        return self._session.scalars(statement.order_by(DpClientCertificate.created_at, DpClientCertificate.id)).all()

    def _finish(self, row: DpClientCertificate, action: str) -> None:
        try:
            self._session.flush()
        except IntegrityError as error:
            if isinstance(error.orig, UniqueViolation):
                raise Conflict("This certificate is pinned to the control plane already") from None
            raise
        audit.record(
            self._session,
            self._actor,
            action,
            "dp_client_certificate",
            row.id,
            control_plane_id=self._control_plane_id,
            details={"sha256": row.digest.hex()},
        )


def _digest(cert: str) -> bytes:
    fault = certificate_fault(cert)
    found = digest(cert)
    if fault is not None or found is None:
        raise InvalidInput.of("cert", fault or "invalid certificate")
    return bytes.fromhex(found)
