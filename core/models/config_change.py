"""The history of a control plane's configuration, one row per entity and change."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base, Document


class ConfigChange(TenantOwned, Base):
    """One entity changed in one version. A version with several changes numbers them by `seq`, from 0.

    Deltas for runtimes and the history shown to people are both read from here.
    """

    __tablename__ = "config_changes"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id"], ["control_planes.org_id", "control_planes.id"], ondelete="CASCADE"
        ),
        CheckConstraint("operation in ('put', 'delete')", name="operation"),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=0)
    entity_type: Mapped[str]
    entity_id: Mapped[UUID]
    operation: Mapped[str]
    # The entity's API representation; None before a create and after a delete.
    before: Mapped[Document | None]
    after: Mapped[Document | None]
    # "user:<id>" of whoever made the change.
    actor: Mapped[str]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
