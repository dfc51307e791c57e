"""What runtimes found about the health of upstreams' targets."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base, Document


class TargetHealth(TenantOwned, Base):
    """The newest report of one runtime on one upstream; it stands until the next one, or until the runtime is gone."""

    __tablename__ = "target_health"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id", "upstream_id"],
            ["upstreams.org_id", "upstreams.control_plane_id", "upstreams.id"],
            ondelete="CASCADE",
        ),
        Index("ix_target_health_node_id", "node_id"),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    upstream_id: Mapped[UUID] = mapped_column(primary_key=True)
    node_id: Mapped[str] = mapped_column(ForeignKey("runtime_nodes.id", ondelete="CASCADE"), primary_key=True)
    # `core.health.reports.UpstreamReport` as JSON.
    report: Mapped[Document]
    reported_at: Mapped[datetime] = mapped_column(default=utc_now)
