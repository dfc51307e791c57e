"""Orders to take targets for healthy or not, on their way to runtimes."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base


class TargetOrder(TenantOwned, Base):
    """The newest order for one target, or for one address of it. Orders are numbered in the order of their commits."""

    __tablename__ = "target_orders"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id", "target_id"],
            ["targets.org_id", "targets.control_plane_id", "targets.id"],
            ondelete="CASCADE",
        ),
        UniqueConstraint("seq"),
        Index("ix_target_orders_created_at", "created_at"),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    target_id: Mapped[UUID] = mapped_column(primary_key=True)
    # `ip:port`; empty: all of the target's addresses.
    address: Mapped[str] = mapped_column(primary_key=True)
    upstream_id: Mapped[UUID]
    healthy: Mapped[bool]
    # The control plane's version at the time: a runtime that holds an older one may not know the target yet.
    version: Mapped[int] = mapped_column(BigInteger)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
