"""What runtimes refuse of a group's merged configuration, and whose it is."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.orm import Session

from core.models.entities import ENTITY_ROWS
from core.runtime import records
from schema.types import is_uuid


@dataclass(frozen=True, slots=True)
class Refusal:
    """One thing that a runtime found wrong. `entity_id` and `kind` are None where it is about no entity of a member's.

    `member_id` is the member that the entity belongs to, or else the group itself.
    """

    member_id: UUID
    kind: str | None
    entity_id: UUID | None
    message: str


def refusals(session: Session, org_id: UUID, group_id: UUID, members: Sequence[UUID], most: int) -> list[Refusal]:
    """What live runtimes refuse, each thing once. Needs a session across organizations."""
    errors = [error for record in records.refusing(session, org_id, group_id) for error in record.errors]
    found = {_told(error): error for error in errors}
    owners = dict(_owners(session, org_id, members, list(found.values())[:most]))
    refused: list[Refusal] = []
    for message, error in list(found.items())[:most]:
        place = _place(error)
        if place is None or place not in owners:
            refused.append(Refusal(group_id, None, None, message))
        else:
            refused.append(Refusal(owners[place], place[0], place[1], message))
    return refused


def _told(error: Mapping[str, Any]) -> str:
    what = [str(error[name]) for name in ("entity", "id", "field") if error.get(name)]
    return ": ".join([" ".join(what), str(error.get("message") or "refused")] if what else [str(error.get("message"))])


def _place(error: Mapping[str, Any]) -> tuple[str, UUID] | None:
    """The kind and id of the entity that an error is about."""
    kind, identifier = error.get("entity"), error.get("id")
    if not isinstance(kind, str) or not isinstance(identifier, str) or not is_uuid(identifier):
        return None
    return kind, UUID(identifier)


def _owners(
    session: Session, org_id: UUID, members: Sequence[UUID], errors: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[tuple[str, UUID], UUID]]:
    """The member of each entity; of several that have one of the same id, the one that joined first, whose entity counts."""
    by_kind: dict[str, set[UUID]] = {}
    for error in errors:
        if (place := _place(error)) is not None:
            by_kind.setdefault(place[0], set()).add(place[1])
    rank = {member: place for place, member in enumerate(members)}
    for row in ENTITY_ROWS.values():
        kind = row.entity.spec.singular
        statement = select(row.id, row.control_plane_id).where(
            row.org_id == org_id, row.control_plane_id.in_(members), row.id.in_(by_kind.get(kind, ()))
        )
        found = session.execute(statement).all() if kind in by_kind else ()
        for identifier, member in sorted(found, key=lambda held: rank[held[1]], reverse=True):
            yield (kind, identifier), member
