"""Lists of references as rows: who is named by whom, both ways."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, delete, func, insert, select
from sqlalchemy.orm import Session

from core.models.entities import ENTITY_ROWS, LINKS
from schema.base import ReferenceField


def identifiers(value: Sequence[Any] | None) -> list[UUID]:
    """The ids in a list of references, each of them once: the items are ids, or records that have one."""
    return list(dict.fromkeys(UUID(item if isinstance(item, str) else item["id"]) for item in value or ()))


def of(entity_references: Sequence[ReferenceField], plural: str) -> list[ReferenceField]:
    """Those of an entity's references that are lists with a table of their own."""
    return [reference for reference in entity_references if (plural, reference.name) in LINKS]


class Links:
    """The lists of references of one control plane."""

    def __init__(self, session: Session, org_id: UUID, control_plane_id: UUID) -> None:
        self._session = session
        self._place: Mapping[str, UUID] = {"org_id": org_id, "control_plane_id": control_plane_id}

    def write(self, plural: str, owner: UUID, field: str, wanted: Collection[UUID]) -> None:
        """Make what an entity names by a list exactly this."""
        table = LINKS[plural, field]
        here = (*(table.c[name] == value for name, value in self._place.items()), table.c.owner_id == owner)
        there = set(self._session.scalars(select(table.c.named_id).where(*here)))
        if gone := there - set(wanted):
            self._session.execute(delete(table).where(*here, table.c.named_id.in_(gone)))
        if new := [identifier for identifier in wanted if identifier not in there]:
            rows = [{**self._place, "owner_id": owner, "named_id": identifier} for identifier in new]
            self._session.execute(insert(table), rows)

    def naming(self, plural: str, field: str, named: Collection[UUID]) -> ColumnElement[bool]:
        """The condition that a row of a kind names one of these by its list `field`."""
        table = LINKS[plural, field]
        owners = select(table.c.owner_id).where(
            *(table.c[name] == value for name, value in self._place.items()), table.c.named_id.in_(named)
        )
        return ENTITY_ROWS[plural].id.in_(owners)

    def count(self, plural: str, field: str, named: UUID) -> int:
        """How many rows of a kind name this one by their list `field`."""
        table = LINKS[plural, field]
        here = (table.c[name] == value for name, value in self._place.items())
        statement = select(func.count()).select_from(table).where(*here, table.c.named_id == named)
        return self._session.execute(statement).scalar_one()
