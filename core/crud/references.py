"""Finding what references mean, and what depends on an entity."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from core.crud import rows
from core.crud.errors import MissingTarget, ReferencedByOthers, ReferenceMissing
from core.crud.links import Links
from core.crud.sealing import Sealer
from core.db.sessions import BY_KEY
from core.models.entities import ENTITY_ROWS, EntityRow, hash_column, is_set, reference_column
from schema.base import Document, Entity, ReferenceField
from schema.registry import Registry
from schema.types import is_uuid


class References:
    """Look-ups within one control plane."""

    def __init__(
        self, session: Session, declarations: Registry, sealer: Sealer, org_id: UUID, control_plane_id: UUID
    ) -> None:
        self._session = session
        self._sealer = sealer
        self._declarations = declarations
        self._org_id = org_id
        self._control_plane_id = control_plane_id
        self._links = Links(session, org_id, control_plane_id)
        # The session itself forgets rows that nobody holds, and would read them again for the next rule that asks.
        self._held: dict[tuple[str, UUID], EntityRow] = {}

    def by_id(self, plural: str, identifier: UUID) -> EntityRow | None:
        """The row with this id."""
        place = (self._org_id, self._control_plane_id, identifier)
        found = self._session.get(ENTITY_ROWS[plural], place, execution_options=BY_KEY)
        if found is not None:
            self._held[plural, identifier] = found
        return found

    def columns_by_id(self, plural: str, identifier: UUID) -> rows.Columns | None:
        """The columns of that row, for whoever only looks at them."""
        place = {"org_id": self._org_id, "control_plane_id": self._control_plane_id, "id": identifier}
        return self._session.connection().execute(rows.by_id(ENTITY_ROWS[plural]), place).first()

    def holds(self, plural: str, identifier: UUID) -> bool:
        """Whether a row with this id was found already: another one cannot be made."""
        return (plural, identifier) in self._held

    def by_key(self, plural: str, key: str, below: tuple[str, UUID] | None = None) -> EntityRow | None:
        """The row that a path segment means: an id if it looks like one, else the natural key.

        `below` is the reference that the path goes through, with its value: some keys are unique only there.
        """
        if is_uuid(key):
            return self.by_id(plural, UUID(key))
        entity = self._declarations.entities[plural]
        natural, scope = entity.spec.natural_key, entity.spec.key_below
        if natural is None or not key or "\x00" in key:
            return None
        row = ENTITY_ROWS[plural]
        statement = select(row).where(
            row.org_id == self._org_id,
            row.control_plane_id == self._control_plane_id,
            self._is(row, natural, entity.normal_key(key)),
        )
        if scope is not None:
            if below is None or below[0] != scope:
                return None
            statement = statement.where(row.column(reference_column(scope)) == below[1])
        return self._session.scalars(statement, execution_options=BY_KEY).one_or_none()

    def referring(self, plural: str, field: str, identifier: UUID) -> Sequence[EntityRow]:
        """Rows of a kind whose reference `field` is this id."""
        return self.referring_to_any(plural, field, [identifier])

    def referring_to_any(self, plural: str, field: str, identifiers: Sequence[UUID]) -> Sequence[EntityRow]:
        """Rows of a kind whose reference `field` is one of these ids, oldest first."""
        row = ENTITY_ROWS[plural]
        statement = select(row).where(
            row.org_id == self._org_id,
            row.control_plane_id == self._control_plane_id,
            row.column(reference_column(field)).in_(identifiers),
        )
        return self._session.scalars(statement.order_by(row.created_at, row.id), execution_options=BY_KEY).all()

    def _listing(self, plural: str, field: str, identifier: UUID) -> Sequence[EntityRow]:
        """A row of a kind whose list of references `field` holds this id, if there is one."""
        row = ENTITY_ROWS[plural]
        statement = select(row).where(
            row.org_id == self._org_id,
            row.control_plane_id == self._control_plane_id,
            self._links.naming(plural, field, [identifier]),
        )
        return self._session.scalars(statement.limit(1), execution_options=BY_KEY).all()

    def find(self, plural: str, reference: Mapping[str, Any]) -> Document | None:
        """The document, in clear, of what a reference means."""
        row = self._find(plural, reference)
        return None if row is None else self._sealer.open(row.entity, rows.document_of(row))

    def resolve(self, entity: type[Entity], document: Document) -> Document:
        """A copy in which every reference is an id that exists.

        Raises: ReferenceMissing: with every reference that leads nowhere.
        """
        resolved = dict(document)
        missing: list[MissingTarget] = []
        for reference in entity.references():
            value: Any = document.get(reference.name)
            if value is None:
                continue
            plural = reference.ref.to
            if reference.many:
                resolved[reference.name] = self._resolve_all(reference, value, missing)
                continue
            row = self._find(plural, value)
            if row is None:
                missing.append(MissingTarget(reference.name, plural, str(next(iter(value.values())))))
            else:
                resolved[reference.name] = {"id": str(row.id)}
        if missing:
            raise ReferenceMissing(missing)
        return resolved

    def _resolve_all(self, reference: ReferenceField, value: Sequence[Any], missing: list[MissingTarget]) -> list[Any]:
        """A list of references, its items ids or records: those of records are ids from here on, whatever they were."""
        plural = reference.ref.to
        natural = self._declarations.entities[plural].spec.natural_key
        found: list[Any] = []
        for index, item in enumerate(value):
            record: dict[str, Any] = item if isinstance(item, dict) else {"id": item}
            field = "id" if record["id"] is not None or natural is None else natural
            row = self._find(plural, {field: record[field]})
            if row is None:
                missing.append(MissingTarget(f"{reference.name}[{index}]", plural, record[field]))
            elif isinstance(item, dict):
                kept = {name: part for name, part in record.items() if name not in ("id", natural)}
                found.append({"id": str(row.id), **kept})
            else:
                found.append(item)
        return found

    def doomed(self, row: EntityRow) -> list[EntityRow]:
        """Everything that goes when this row goes, itself last; children before their parents.

        Raises: ReferencedByOthers: something outside would be left pointing at nothing.
        """
        order: dict[tuple[str, UUID], EntityRow] = {}
        self._collect(row, order)
        for candidate in order.values():
            plural = candidate.entity.spec.plural
            for child, reference in self._declarations.references_to(plural):
                if reference.ref.on_delete == "cascade":
                    continue
                find = self._listing if reference.many else self.referring
                for user in find(child.spec.plural, reference.name, candidate.id):
                    if (child.spec.plural, user.id) not in order:
                        raise ReferencedByOthers(plural, child.spec.plural)
        return list(order.values())

    def _collect(self, row: EntityRow, order: dict[tuple[str, UUID], EntityRow]) -> None:
        plural = row.entity.spec.plural
        for child, reference in self._declarations.references_to(plural):
            if not reference.many and reference.ref.on_delete == "cascade":
                for user in self.referring(child.spec.plural, reference.name, row.id):
                    if (child.spec.plural, user.id) not in order:
                        self._collect(user, order)
        order[plural, row.id] = row

    def first(self, plural: str, references: Mapping[str, UUID]) -> EntityRow | None:
        """The oldest row of a kind that has all of these references."""
        row = ENTITY_ROWS[plural]
        statement = select(row).where(row.org_id == self._org_id, row.control_plane_id == self._control_plane_id)
        for field, identifier in references.items():
            statement = statement.where(row.column(reference_column(field)) == identifier)
        return self._session.scalars(
            statement.order_by(row.created_at, row.id).limit(1), execution_options=BY_KEY
        ).one_or_none()

    def by_ids(self, plural: str, identifiers: Collection[UUID]) -> Sequence[EntityRow]:
        """Those of these rows that there are."""
        row = ENTITY_ROWS[plural]
        statement = select(row).where(
            row.org_id == self._org_id, row.control_plane_id == self._control_plane_id, row.id.in_(identifiers)
        )
        return self._session.scalars(statement, execution_options=BY_KEY).all()

    def having(self, plural: str, field: str) -> Sequence[EntityRow]:
        """Rows of a kind that have set a field that is rare, by its index."""
        row = ENTITY_ROWS[plural]
        assert field in row.entity.spec.rare
        statement = select(row).where(
            row.org_id == self._org_id, row.control_plane_id == self._control_plane_id, text(is_set(field))
        )
        return self._session.scalars(statement, execution_options=BY_KEY).all()

    def with_keys(self, plural: str, field: str, values: Collection[str]) -> Sequence[EntityRow]:
        """Rows of a kind whose key field has one of these values."""
        row = ENTITY_ROWS[plural]
        statement = select(row).where(
            row.org_id == self._org_id, row.control_plane_id == self._control_plane_id, row.column(field).in_(values)
        )
        return self._session.scalars(statement, execution_options=BY_KEY).all()

    def _is(self, row: type[EntityRow], field: str, value: str) -> Any:
        """The condition that a key field has this value; of a sealed one only the hash can be compared."""
        if field in row.hashed_fields:
            return row.column(hash_column(field)) == self._sealer.digest(row.entity, field, value)
        return row.column(field) == value

    def _find(self, plural: str, value: Mapping[str, str]) -> EntityRow | None:
        if plural not in self._declarations.entities:
            return None
        if "id" in value:
            return self.by_id(plural, UUID(value["id"])) if is_uuid(value["id"]) else None
        ((field, name),) = value.items()
        if field != self._declarations.entities[plural].spec.natural_key or is_uuid(name):
            return None
        return self.by_key(plural, name)
