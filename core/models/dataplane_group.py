"""Data plane groups: the gateways of one control plane in one region, as the reconciler finds them."""

from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.db.tenancy import TenantOwned
from core.models.base import Base, Document, Timestamps


class DataplaneGroup(Timestamps, TenantOwned, Base):
    """One region of one configuration. `hostname` routes to it (lower case, no port), so it is unique everywhere."""

    __tablename__ = "dataplane_groups"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "configuration_id"],
            ["gateway_configurations.org_id", "gateway_configurations.id"],
            ondelete="CASCADE",
        ),
        ForeignKeyConstraint(
            ["org_id", "control_plane_id"], ["control_planes.org_id", "control_planes.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("org_id", "configuration_id", "provider", "region"),
        UniqueConstraint("hostname"),
        CheckConstraint("state in ('created', 'initializing', 'ready', 'terminating', 'terminated')", name="state"),
        CheckConstraint("hostname = lower(hostname)", name="hostname_lower_case"),
        Index("ix_dataplane_groups_org_id_control_plane_id", "org_id", "control_plane_id"),
        # A runtime asks for all groups of its region, and then for one control plane's in it, whoever owns that.
        Index("ix_dataplane_groups_region_control_plane_id", "region", "control_plane_id"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    configuration_id: Mapped[UUID]
    control_plane_id: Mapped[UUID]
    provider: Mapped[str]
    region: Mapped[str]
    state: Mapped[str] = mapped_column(default="created")
    state_metadata: Mapped[Document] = mapped_column(default=dict)
    hostname: Mapped[str | None]
    # The control plane's version when the region's runtimes were told to serve it; None: they are not.
    assigned_version: Mapped[int | None] = mapped_column(BigInteger)
