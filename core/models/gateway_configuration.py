"""Where a control plane's gateways are wanted: the desired state of provisioning."""

from uuid import UUID, uuid4

from sqlalchemy import BigInteger, CheckConstraint, ForeignKeyConstraint, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from core.db.tenancy import TenantOwned
from core.models.base import Base, Document, Timestamps


class GatewayConfiguration(Timestamps, TenantOwned, Base):
    """One control plane's statement of the wanted data plane groups; replaced as a whole.

    `entity_version` grows with each accepted statement; `observed_version` is the one that the reconciler has brought
    about. `groups` echoes the request.
    """

    __tablename__ = "gateway_configurations"
    __table_args__ = (
        ForeignKeyConstraint(
            ["org_id", "control_plane_id"], ["control_planes.org_id", "control_planes.id"], ondelete="CASCADE"
        ),
        UniqueConstraint("org_id", "control_plane_id"),
        CheckConstraint("kind in ('dedicated.v0', 'serverless.v1')", name="kind"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    control_plane_id: Mapped[UUID]
    control_plane_geo: Mapped[str]
    kind: Mapped[str]
    version: Mapped[str | None]
    api_access: Mapped[str] = mapped_column(default="private+public")
    groups: Mapped[list[Document]] = mapped_column(default=list)
    labels: Mapped[dict[str, str]] = mapped_column(default=dict)
    entity_version: Mapped[int] = mapped_column(BigInteger, default=1)
    observed_version: Mapped[int] = mapped_column(BigInteger, default=0)
