"""Jobs waiting for the broker (core/db/outbox.py)."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Identity, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base


class OutboxMessage(TenantOwned, Base):
    """One job. Has no foreign keys: it may be about something that its own transaction deletes."""

    __tablename__ = "outbox"
    # The dispatcher goes through all organizations in the order of writing.
    __table_args__ = (Index("ix_outbox_available_at_id", "available_at", "id"),)

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    topic: Mapped[str]
    subject_id: Mapped[UUID]
    # Failed hand-overs so far; each one moves `available_at` further away.
    attempts: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime] = mapped_column(default=utc_now)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
