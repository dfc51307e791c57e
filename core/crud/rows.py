"""Between a stored row and the document that clients and runtimes know."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, cast
from uuid import UUID

from sqlalchemy import Executable, Row, Table, bindparam, inspect, select

from core.models.entities import EntityRow, hash_column, reference_column
from schema.base import SYSTEM_FIELDS, Document, Entity


@dataclass(frozen=True, slots=True)
class Picture:
    """A row at one moment: its document with secrets sealed, and what is stored of it beside ids and times, as JSON.

    The stored form has no field that was declared later, so a row counts for the same bytes when it goes as when it came.
    """

    document: Document
    stored: bytes


def seconds(moment: datetime) -> int:
    """Whole seconds since 1970."""
    return int(moment.timestamp())


@cache
def _fields(entity: type[Entity]) -> tuple[str, ...]:
    children = entity.child_names()
    return tuple(name for name, info in entity.model_fields.items() if not info.exclude and name not in children)


def _default(entity: type[Entity], name: str) -> Any:
    return entity.model_fields[name].get_default(call_default_factory=True)


Columns = EntityRow | Row[Any]
"""What a document is made of: a mapped row, or its columns as they were selected."""


@cache
def columns(kind: type[EntityRow]) -> tuple[Any, ...]:
    """What `document` needs of a kind. Pages are read so: mapped rows cost three times as much, and nobody changes these."""
    references = (reference_column(reference.name) for reference in kind.reference_fields)
    names = ("id", "tags", "doc", *kind.key_fields, *references, "created_at", "updated_at")
    return tuple(kind.column(name) for name in names)


@cache
def by_id(kind: type[EntityRow]) -> Executable:
    """The same of one row, by `org_id`, `control_plane_id` and `id`; for a connection, as nothing is to be mapped.

    It names the organization itself. Reads by id are most of what clients ask, and mapping costs them half as much again.
    """
    table = cast("Table", inspect(kind).local_table)
    place = (table.c[name] == bindparam(name) for name in ("org_id", "control_plane_id", "id"))
    return select(*(table.c[column.key] for column in columns(kind))).where(*place)


def document_of(row: EntityRow) -> Document:
    """The complete document of a row, fields in the declared order, secrets still sealed.

    A field that was declared after the row was written gets its default.
    """
    return document(type(row), row)


def document(kind: type[EntityRow], row: Columns) -> Document:
    """The same of a row of a kind, mapped or not."""
    stored: dict[str, Any] = {**row.doc, "id": str(row.id), "tags": row.tags}
    stored["created_at"] = seconds(row.created_at)
    stored["updated_at"] = seconds(row.updated_at)
    for name in kind.key_fields:
        stored[name] = getattr(row, name)
    for reference in kind.reference_fields:
        referent: UUID | None = getattr(row, reference_column(reference.name))
        stored[reference.name] = None if referent is None else {"id": str(referent)}
    return {name: stored[name] if name in stored else _default(kind.entity, name) for name in _fields(kind.entity)}


def picture_of(row: EntityRow) -> Picture:
    """The row as it is now."""
    names = (*row.key_fields, *(reference_column(reference.name) for reference in row.reference_fields))
    columns = [None if (value := getattr(row, name)) is None else str(value) for name in names]
    stored = json.dumps([row.doc, row.tags, columns], ensure_ascii=False, separators=(",", ":"))
    return Picture(document_of(row), stored.encode())


@cache
def _hidden(entity: type[Entity]) -> frozenset[str]:
    return entity.spec.hidden


def presented(entity: type[Entity], document: Document) -> Document:
    """A complete document without what clients do not see of this kind, and the fields of the alternative that it does not use."""
    hidden, variant = _hidden(entity), entity.spec.variant
    if variant is not None:
        hidden |= variant.when_unset if document[variant.switch] is not None else variant.when_set
    if not hidden:
        return document
    return {name: value for name, value in document.items() if name not in hidden}


def write(row: EntityRow, document: Mapping[str, Any], digests: Mapping[str, bytes]) -> None:
    """Put a complete document (references resolved, secrets sealed) into a row; ids and times are the caller's, who has set
    them.

    `digests` are the keyed hashes of the sealed fields that are unique.
    """
    columns = {*SYSTEM_FIELDS, "tags", *row.key_fields, *row.entity.child_names()}
    row.tags = document["tags"]
    if field := row.entity.spec.ttl:
        lifetime = timedelta(seconds=document[field] or 0)
        ends_at = row.updated_at + lifetime if lifetime else None
        row.ends_at = ends_at  # pyright: ignore[reportAttributeAccessIssue]  # where there is a ttl, there is this column
    for name in row.key_fields:
        setattr(row, name, document[name])
    for name, digest in digests.items():
        setattr(row, hash_column(name), digest)
    for reference in row.reference_fields:
        referent = document[reference.name]
        columns.add(reference.name)
        setattr(row, reference_column(reference.name), None if referent is None else UUID(referent["id"]))
    row.doc = {name: value for name, value in document.items() if name not in columns}
