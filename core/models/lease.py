"""Leases on named work (core/db/leases.py); the system's, of no organization."""

from datetime import datetime

from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base


class Lease(Base):
    """Who works on what, until when by the database's clock."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(primary_key=True)
    holder: Mapped[str]
    expires_at: Mapped[datetime]
