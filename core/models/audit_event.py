"""The audit trail: who did what. Rows outlive what they speak of, so nothing here is a foreign key to it."""

from datetime import datetime
from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base, Document


class AuditEvent(TenantOwned, Base):
    """One deed. `action` is `noun.past` (`control_plane.created`); `details` never holds secrets."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_org_id_created_at_id", "org_id", "created_at", "id"),)

    org_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, sort_order=-100
    )
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    action: Mapped[str]
    actor: Mapped[str]
    subject_type: Mapped[str]
    subject_id: Mapped[UUID | None]
    control_plane_id: Mapped[UUID | None]
    request_id: Mapped[str | None]
    details: Mapped[Document] = mapped_column(default=dict)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
