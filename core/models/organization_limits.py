"""Limits of single organizations where they differ from the installation's; the operator's, so no tenant can write them."""

from uuid import UUID

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from core.models.base import Base, Document, Timestamps


class OrganizationLimits(Timestamps, Base):
    """What runtimes bound this organization's control planes by instead of the installation's settings."""

    __tablename__ = "organization_limits"

    organization_id: Mapped[UUID] = mapped_column(ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True)
    # Some of the fields of `schema.snapshot.Limits`.
    limits: Mapped[Document]
