"""Client certificates that are pinned to a control plane."""

from uuid import UUID, uuid4

from sqlalchemy import ForeignKeyConstraint, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.db.tenancy import TenantOwned
from core.models.base import Base, Timestamps


class DpClientCertificate(Timestamps, TenantOwned, Base):
    """One certificate that data planes of the control plane may show. `cert` is as the client wrote it."""

    __tablename__ = "dp_client_certificates"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_dp_client_certificates_control_plane",
            ondelete="CASCADE",
        ),
        UniqueConstraint("org_id", "control_plane_id", "digest", name="uq_dp_client_certificates_digest"),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    cert: Mapped[str]
    title: Mapped[str | None]
    # SHA-256 over the DER form: what a data plane shows is found by it, however its PEM was written.
    digest: Mapped[bytes] = mapped_column(LargeBinary)
