"""Tenancy: every tenant's row carries its organization, first in every key.

Two walls. A tenant session (core/db/sessions.py) filters every ORM statement and stamps every new row. PostgreSQL
forces row-level security on the same column for the role that these sessions use (migrations/policies.py). Both are
needed: the ORM filter does not see Core statements or the identity map.
"""

from collections.abc import Iterable
from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column


class TenantOwned:
    """Mixin of every table whose rows belong to one organization; `org_id` leads the primary key."""

    org_id: Mapped[UUID] = mapped_column(primary_key=True, sort_order=-100)


class CrossTenantWrite(RuntimeError):
    """A session of one organization was handed a row of another: a bug, never the caller's doing."""


def stamp(instances: Iterable[object], org_id: UUID) -> None:
    """Give new tenant rows their organization. Raises CrossTenantWrite for a row that has another one."""
    for instance in instances:
        if isinstance(instance, TenantOwned):
            if _owner(instance) is None:
                instance.org_id = org_id
            elif instance.org_id != org_id:
                raise CrossTenantWrite(f"{type(instance).__name__} of another organization in a tenant session")


def _owner(instance: TenantOwned) -> UUID | None:
    # None until stamped, whatever the column's type says.
    return instance.org_id
