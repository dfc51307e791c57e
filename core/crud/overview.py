"""What a control plane holds, across kinds: tags, and values of single fields."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

from sqlalchemy import Select, func, literal, literal_column, select, tuple_, union_all

from core.control_planes.repository import ControlPlaneRepository
from core.crud.errors import InvalidRequest
from core.crud.paging import ListQuery
from core.db.sessions import TenantSession
from core.models.control_plane import ControlPlane
from core.models.entities import ENTITY_ROWS, EntityRow
from schema.base import Entity

_TAGGED: Final = {plural: row for plural, row in ENTITY_ROWS.items() if row.entity.spec.mounted}


@dataclass(frozen=True, slots=True)
class Tagged:
    """One tag of one entity."""

    plural: str
    id: UUID
    tag: str


class Overview:
    """Questions about all entities of one control plane. Every method raises NotFound if there is no such control plane."""

    def __init__(self, session: TenantSession, control_plane_id: UUID) -> None:
        self._session = session
        self._control_plane_id = control_plane_id

    def control_plane(self) -> ControlPlane:
        return ControlPlaneRepository(self._session).require(self._control_plane_id)

    def values(self, entity: type[Entity], field: str) -> Sequence[str]:
        """The different values of a key field, sorted."""
        self.control_plane()
        row = ENTITY_ROWS[entity.spec.plural]
        column = row.column(field)
        return self._session.scalars(
            select(column).where(*self._here(row), column.is_not(None)).distinct().order_by(column)
        ).all()

    def tags(self, query: ListQuery, tag: str | None = None) -> tuple[Sequence[Tagged], str | None]:
        """A page of all tags (or of the entities that have `tag`) by kind, id and tag, and the next page's cursor.

        Raises: InvalidRequest: a cursor that is none of ours.
        """
        self.control_plane()
        found = union_all(*(self._tags_of(row, tag) for row in _TAGGED.values())).subquery()
        place = tuple_(found.c.plural, found.c.id, found.c.tag)
        statement = select(found).order_by(found.c.plural, found.c.id, found.c.tag).limit(query.size + 1)
        if query.offset is not None:
            statement = statement.where(place > tuple_(*_decode(query.offset)))
        rows = [Tagged(*row) for row in self._session.execute(statement)]
        shown = rows[: query.size]
        return shown, _cursor(shown[-1]) if len(rows) > query.size else None

    def _tags_of(self, row: type[EntityRow], tag: str | None) -> Select[*tuple[Any, ...]]:
        plural = literal(row.entity.spec.plural).label("plural")
        if tag is not None:
            named = literal(tag).label("tag")
            return select(plural, row.id.label("id"), named).where(*self._here(row), row.tags.contains([tag]))
        each = func.unnest(row.tags).label("tag")
        return select(plural, row.id.label("id"), each).where(*self._here(row), row.tags != literal_column("'{}'"))

    def _here(self, row: type[EntityRow]) -> tuple[Any, ...]:
        # Spelled out, for the session's own condition does not reach into parts of a union.
        return row.org_id == self._session.org_id, row.control_plane_id == self._control_plane_id


def _cursor(last: Tagged) -> str:
    raw = json.dumps([last.plural, str(last.id), last.tag], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _decode(offset: str) -> tuple[str, UUID, str]:
    try:
        padded = offset + "=" * (-len(offset) % 4)
        content: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        plural, identifier, tag = content
        if isinstance(plural, str) and isinstance(tag, str) and "\x00" not in plural + tag:
            return plural, UUID(identifier), tag
    except (binascii.Error, ValueError, TypeError, AttributeError, RecursionError):
        pass
    raise InvalidRequest(f"'{offset[:200]}' is not a valid offset")
