"""Organizations: the tenants."""

from uuid import UUID, uuid4

from sqlalchemy import CheckConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, Timestamps


class Organization(Timestamps, Base):
    """A tenant. Its own row is what row-level security shows to its sessions."""

    __tablename__ = "organizations"
    __table_args__ = (CheckConstraint("state in ('active', 'inactive', 'deleting', 'deleted')", name="state"),)

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    # No foreign key: owner and organization would each have to exist first. The service keeps it true.
    owner_id: Mapped[UUID | None]
    login_path: Mapped[str] = mapped_column(default="")
    state: Mapped[str] = mapped_column(default="active")
    retention_period_days: Mapped[int] = mapped_column(default=90)
    # The organization's data key, wrapped under the master key (core/crypto.py).
    data_key: Mapped[str]
