"""What runtimes said about configuration they were given."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base, Document


class RuntimeAck(TenantOwned, Base):
    """The last report of one runtime on one control plane: which version, and whether it was accepted."""

    __tablename__ = "runtime_acks"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id"], ["control_planes.org_id", "control_planes.id"], ondelete="CASCADE"
        ),
        Index("ix_runtime_acks_node_id", "node_id"),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(ForeignKey("runtime_nodes.id", ondelete="CASCADE"), primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger)
    accepted: Mapped[bool]
    errors: Mapped[list[Document]] = mapped_column(default=list)
    # The newest version that the runtime accepted: it still runs when a later one was refused.
    running_version: Mapped[int | None] = mapped_column(BigInteger)
    config_hash: Mapped[str | None]
    reported_at: Mapped[datetime] = mapped_column(default=utc_now)
