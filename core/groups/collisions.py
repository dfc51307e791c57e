"""Entities of different members of a group that have a key in common: ids, names, and whatever else is unique in one place.

The entity of the member that came first prevails, also when it is itself left out for another key's sake; gateways get none
of the others, nor anything that refers to them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Final
from uuid import UUID

from sqlalchemy import ColumnElement, and_, func, literal, or_, select, tuple_
from sqlalchemy.orm import Session

from core.crud import links, rows
from core.crud.sealing import Sealer
from core.models.entities import ENTITY_ROWS, EntityRow, hash_column, reference_column
from schema.base import Document

MOST_LOOKED_UP: Final = 1000
"""Entities whose keys are looked up one by one; more than a delta holds."""

Place = tuple[UUID, str, UUID]
"""A member, a kind of entity by its plural, and an entity's id."""


@dataclass(frozen=True, slots=True)
class Key:
    """Fields that are unique together."""

    fields: tuple[str, ...]
    nulls_equal: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """An entity that has the key of a collision; `name` is its natural key, where that is no secret."""

    member_id: UUID
    entity_id: UUID
    name: str | None


@dataclass(frozen=True, slots=True)
class Collision:
    """Entities of one kind that have the same values in `fields`, the one that prevails first."""

    plural: str
    fields: tuple[str, ...]
    holders: tuple[Holder, ...]


class Members:
    """The entities of a group's members, those first who have been members for longest. `sealer`: of any of them."""

    def __init__(self, session: Session, sealer: Sealer, org_id: UUID, members: Sequence[UUID]) -> None:
        self._session = session
        self._sealer = sealer
        self._org_id = org_id
        self._members = members
        self._rank = {member: rank for rank, member in enumerate(members)}

    def collisions(self, most: int | None = None) -> Iterator[Collision]:
        """All collisions; with `most`, that many of each key at least."""
        if len(self._members) < 2:
            return
        for plural, row in ENTITY_ROWS.items():
            yield from self._by_columns(plural, row, Key(("id",), nulls_equal=False), most)
            for key in keys_of(row):
                if set(key.fields) & set(row.hashed_fields):
                    yield from self._by_sealed(plural, row, key)
                else:
                    yield from self._by_columns(plural, row, key, most)

    def left_out(self) -> set[Place]:
        """Entities that do not prevail; what refers to them has to be left out too."""
        return {
            (holder.member_id, collision.plural, holder.entity_id)
            for collision in self.collisions()
            for holder in collision.holders[1:]
        }

    def collide(self, member_id: UUID, documents: Mapping[str, Sequence[Document]]) -> bool:
        """Whether one of a member's entities, or something that it refers to, collides with another member's.

        Args:
            member_id: the member.
            documents: its entities by kind, complete and sealed, as they are or were.
        """
        others = [member for member in self._members if member != member_id]
        if not others:
            return False
        if sum(map(len, documents.values())) > MOST_LOOKED_UP:
            return True  # perhaps; asking would cost more than a whole configuration does
        sealer = self._sealer.beside(member_id)
        for plural, found in self._with_referents(member_id, documents).items():
            row = ENTITY_ROWS[plural]
            conditions = [row.id.in_([UUID(document["id"]) for document in found])]
            for key in keys_of(row):
                conditions += [self._same(row, key, document, sealer, others) for document in found]
            held = select(literal(1)).where(row.org_id == self._org_id, row.control_plane_id.in_(others))
            if self._session.scalar(held.where(or_(*conditions)).limit(1)) is not None:
                return True
        return False

    def _by_columns(self, plural: str, row: type[EntityRow], key: Key, most: int | None) -> Iterator[Collision]:
        columns = [row.column(_column(row, field)).label(f"key_{index}") for index, field in enumerate(key.fields)]
        natural = row.entity.spec.natural_key
        name = row.column(natural) if natural in row.key_fields else literal(None)
        statement = select(
            row.control_plane_id, row.id, name.label("natural_key"), *columns,
            func.count().over(partition_by=columns).label("holders"),
        ).where(row.org_id == self._org_id, row.control_plane_id.in_(self._members))  # fmt: skip
        if not key.nulls_equal:
            statement = statement.where(*(row.column(_column(row, field)).is_not(None) for field in key.fields))
        counted = statement.subquery()
        several = select(counted).where(counted.c.holders > 1)
        if most is not None:
            # a key has at most as many holders as there are members: none is cut in the middle but perhaps the last
            several = several.order_by(*(counted.c[f"key_{index}"] for index in range(len(columns)))).limit(2 * most)
        found: dict[Any, list[Holder]] = defaultdict(list)
        for member_id, identifier, shown, *values, _ in self._session.execute(several):
            found[tuple(values)].append(Holder(member_id, identifier, shown))
        yield from self._collisions(plural, key, found)

    def _by_sealed(self, plural: str, row: type[EntityRow], key: Key) -> Iterator[Collision]:
        """As `_by_columns`, for keys that are stored sealed: their hashes differ between control planes."""
        statement = select(row).where(row.org_id == self._org_id, row.control_plane_id.in_(self._members))
        sealers = {member: self._sealer.beside(member) for member in self._members}
        found: dict[Any, list[Holder]] = defaultdict(list)
        for item in self._session.scalars(statement):
            document = sealers[item.control_plane_id].open(row.entity, rows.document_of(item))
            values = tuple(_comparable(document[field]) for field in key.fields)
            if key.nulls_equal or None not in values:
                found[values].append(Holder(item.control_plane_id, item.id, None))
        yield from self._collisions(plural, key, found)

    def _collisions(self, plural: str, key: Key, found: Mapping[Any, list[Holder]]) -> Iterator[Collision]:
        for holders in found.values():
            if len(holders) > 1:
                ranked = sorted(holders, key=lambda holder: self._rank[holder.member_id])
                yield Collision(plural, key.fields, tuple(ranked))

    def _same(
        self, row: type[EntityRow], key: Key, document: Document, sealer: Sealer, others: Sequence[UUID]
    ) -> ColumnElement[bool]:
        """The condition that an entity of another member has the key of a document."""
        parts: list[ColumnElement[bool]] = []
        for field in key.fields:
            column = row.column(_column(row, field))
            if field in row.hashed_fields:
                value = sealer.open(row.entity, document)[field]
                hashes = [] if value is None else [
                    (other, self._sealer.beside(other).digest(row.entity, field, value)) for other in others
                ]  # fmt: skip
                parts.append(tuple_(row.control_plane_id, column).in_(hashes))
            elif (value := _comparable(document[field])) is not None:
                parts.append(column == value)
            else:
                parts.append(column.is_(None) if key.nulls_equal else literal(value=False))
        return and_(*parts)

    def _with_referents(
        self, member_id: UUID, documents: Mapping[str, Sequence[Document]]
    ) -> Mapping[str, Sequence[Document]]:
        """The documents with everything of the member's that they refer to, directly or not."""
        found: dict[str, dict[UUID, list[Document]]] = defaultdict(lambda: defaultdict(list))
        waiting: dict[str, set[UUID]] = defaultdict(set)

        def note(plural: str, document: Document) -> None:
            found[plural][UUID(document["id"])].append(document)
            for kind, identifier in _referents(plural, document):
                waiting[kind].add(identifier)

        for plural, given in documents.items():
            for document in given:
                note(plural, document)
        while waiting:
            plural, identifiers = waiting.popitem()
            row = ENTITY_ROWS[plural]
            wanted = identifiers - found[plural].keys()
            statement = select(row).where(
                row.org_id == self._org_id, row.control_plane_id == member_id, row.id.in_(wanted)
            )
            for item in self._session.scalars(statement) if wanted else ():
                note(plural, rows.document_of(item))
        return {
            plural: [item for items in by_id.values() for item in items] for plural, by_id in found.items() if by_id
        }


@cache
def keys_of(row: type[EntityRow]) -> tuple[Key, ...]:
    """What is unique among the rows of a kind within one control plane, beside their ids."""
    columns = {*row.key_fields, *row.hashed_fields, *(reference.name for reference in row.reference_fields)}
    return tuple(
        Key(tuple(field for field in unique.fields if field in columns), unique.nulls_equal)
        for unique in row.entity.spec.unique
    )


def refers_to(plural: str, document: Document, member_id: UUID, left_out: set[Place]) -> bool:
    """Whether a member's entity refers to something that is left out."""
    return any((member_id, kind, identifier) in left_out for kind, identifier in _referents(plural, document))


def _referents(plural: str, document: Document) -> Iterable[tuple[str, UUID]]:
    for reference in ENTITY_ROWS[plural].entity.references():
        value: Any = document.get(reference.name)
        if value is None or reference.ref.to not in ENTITY_ROWS:
            continue
        for identifier in links.identifiers(value if reference.many else [value]):
            yield reference.ref.to, identifier


def _column(row: type[EntityRow], field: str) -> str:
    if field in row.hashed_fields:
        return hash_column(field)
    if any(reference.name == field for reference in row.reference_fields):
        return reference_column(field)
    return field


def _comparable(value: Any) -> Any:
    """The value of a key field, of a reference its id."""
    if isinstance(value, dict):
        reference: dict[str, str] = value
        return UUID(reference["id"])
    return value
