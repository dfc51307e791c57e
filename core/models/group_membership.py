"""Members of control plane groups."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKeyConstraint, Identity, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base


class GroupMembership(TenantOwned, Base):
    """One control plane in one group. Where members collide, the one with the lower `seq`, who came first, prevails."""

    __tablename__ = "group_memberships"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "group_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_group_memberships_group",
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["org_id", "member_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_group_memberships_member",
            ondelete="CASCADE",
        ),
        UniqueConstraint("seq"),
        Index("ix_group_memberships_member", "org_id", "member_id"),
    )

    group_id: Mapped[UUID] = mapped_column(primary_key=True)
    member_id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, Identity(always=True))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
