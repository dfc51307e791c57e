"""Users: people, each of one organization."""

from uuid import UUID, uuid4

from sqlalchemy import ForeignKey, Index, func
from sqlalchemy.orm import Mapped, mapped_column

from core.db.tenancy import TenantOwned
from core.models.base import Base, Timestamps


class User(Timestamps, TenantOwned, Base):
    """A person. `password_hash` is argon2id, None until a password is set."""

    __tablename__ = "users"

    org_id: Mapped[UUID] = mapped_column(
        ForeignKey("organizations.id", ondelete="CASCADE"), primary_key=True, sort_order=-100
    )
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)
    email: Mapped[str]
    full_name: Mapped[str] = mapped_column(default="")
    preferred_name: Mapped[str] = mapped_column(default="")
    active: Mapped[bool] = mapped_column(default=True)
    inferred_region: Mapped[str | None]
    password_hash: Mapped[str | None]


Index("uq_users_org_id_email", User.org_id, func.lower(User.email), unique=True)
