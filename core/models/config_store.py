"""Config stores of control planes, and the secrets in them."""

from uuid import UUID, uuid4

from sqlalchemy import ForeignKeyConstraint, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from core.db.tenancy import TenantOwned
from core.models.base import Base, Timestamps


class ConfigStore(Timestamps, TenantOwned, Base):
    """A place for secrets that vault entities of the backend `konnect` name by its id."""

    __tablename__ = "config_stores"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id"],
            ["control_planes.org_id", "control_planes.id"],
            name="fk_config_stores_control_plane",
            ondelete="CASCADE",
        ),
        Index("ix_config_stores_age", "org_id", "control_plane_id", "created_at", "id"),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str | None]


class ConfigStoreSecret(Timestamps, TenantOwned, Base):
    """One secret. `value` is sealed."""

    __tablename__ = "config_store_secrets"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id", "store_id"],
            ["config_stores.org_id", "config_stores.control_plane_id", "config_stores.id"],
            name="fk_config_store_secrets_store",
            ondelete="CASCADE",
        ),
    )

    control_plane_id: Mapped[UUID] = mapped_column(primary_key=True)
    store_id: Mapped[UUID] = mapped_column(primary_key=True)
    # Bytes in order, whatever the database's locale: pages follow it.
    key: Mapped[str] = mapped_column(String(collation="C"), primary_key=True)
    value: Mapped[str]
