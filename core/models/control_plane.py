"""Control planes: the containers of gateway configuration."""

from datetime import datetime
from typing import Final
from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.clock import utc_now
from core.db.tenancy import TenantOwned
from core.models.base import Base, Document, Timestamps
from schema.snapshot import EMPTY_CONFIG_HASH

SERVERLESS_TYPES: Final = frozenset({"CLUSTER_TYPE_SERVERLESS", "CLUSTER_TYPE_SERVERLESS_V1"})


class ControlPlane(Timestamps, TenantOwned, Base):
    """One gateway's configuration. `config_version` grows by one with every change of an entity below it.

    Writers of entities lock this row first (SELECT … FOR UPDATE): that orders the changes of one control plane. Version, count,
    bytes and hash of a control plane group are those of its members together (core/groups/); a writer locks the member first,
    then its groups by id.
    """

    __tablename__ = "control_planes"
    __table_args__ = (
        UniqueConstraint("org_id", "name"),
        UniqueConstraint("endpoint_prefix"),
        CheckConstraint("config_version >= 0", name="config_version"),
        Index("ix_control_planes_org_id_created_at_id", "org_id", "created_at", "id"),
    )

    org_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, sort_order=-100
    )
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    name: Mapped[str]
    description: Mapped[str] = mapped_column(default="")
    labels: Mapped[dict[str, str]] = mapped_column(default=dict)
    cluster_type: Mapped[str]
    auth_type: Mapped[str]
    cloud_gateway: Mapped[bool] = mapped_column(default=False)
    proxy_urls: Mapped[list[Document]] = mapped_column(default=list)
    # Ten hexadecimal digits; first label of every host name of this control plane, so unique everywhere.
    endpoint_prefix: Mapped[str]
    config_version: Mapped[int] = mapped_column(BigInteger, default=0)
    # Entities below it, and the bytes that they are stored in; kept by their writers, who hold the lock.
    entity_count: Mapped[int] = mapped_column(default=0, server_default="0")
    config_bytes: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    # 32 hexadecimal digits (core/control_planes/configuration.py).
    config_hash: Mapped[str] = mapped_column(default=EMPTY_CONFIG_HASH, server_default=EMPTY_CONFIG_HASH)
    config_changed_at: Mapped[datetime] = mapped_column(default=utc_now)
    # It may be a member of groups, so that its writers have to look; said under the lock before it becomes one.
    grouped: Mapped[bool] = mapped_column(default=False, server_default="false")

    @property
    def hosted(self) -> bool:
        """Whether it is for this product's own gateways, rather than for nodes that its owner runs."""
        return self.cloud_gateway or self.cluster_type in SERVERLESS_TYPES
