"""Gateway runtimes that have reported; the system's, of no organization: one runtime serves many."""

from datetime import datetime

from sqlalchemy import Index
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, Timestamps


class RuntimeNode(Timestamps, Base):
    """One runtime process, by the node id of its certificate."""

    __tablename__ = "runtime_nodes"
    __table_args__ = (Index("ix_runtime_nodes_region_last_seen_at", "region", "last_seen_at"),)

    id: Mapped[str] = mapped_column(primary_key=True)
    region: Mapped[str]
    version: Mapped[str]
    hostname: Mapped[str]
    tenants: Mapped[int] = mapped_column(default=0)
    started_at: Mapped[datetime]
    last_seen_at: Mapped[datetime]
