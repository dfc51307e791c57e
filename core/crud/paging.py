"""Lists: how many, from where, with which tags and filters.

A page continues after the last row that was shown, by (created_at, id): both never change, so rows that exist
throughout are neither skipped nor repeated, whatever is written meanwhile.
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Select, tuple_

from core.crud.errors import InvalidRequest
from core.crud.rows import Columns
from core.models.entities import EntityRow
from schema.base import Document

DEFAULT_SIZE: Final = 100
MAX_SIZE: Final = 1000

Operator = Literal["eq", "contains"]


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition on a field that the declaration lists as filterable."""

    field: str
    operator: Operator
    value: str


@dataclass(frozen=True, slots=True)
class ListQuery:
    """What to list. `tags` must all be there, or (`any_tag`) one of them."""

    size: int = DEFAULT_SIZE
    offset: str | None = None
    tags: tuple[str, ...] = ()
    any_tag: bool = False
    filters: tuple[Filter, ...] = ()


@dataclass(frozen=True, slots=True)
class Page:
    """Documents and the cursor of the next page, None on the last one."""

    data: list[Document] = field(default_factory=list[Document])
    offset: str | None = None


def parse_query(
    entity_filters: Sequence[str],
    parameters: Sequence[tuple[str, str]],
    *,
    aliases: Sequence[tuple[str, str]] = (),
    plain: Sequence[str] = (),
) -> ListQuery:
    """A list's query parameters; unknown ones are ignored, as they are by every server of this API.

    `aliases` are other names of filters, `plain` the filters that may also be parameters of their own.
    Raises: InvalidRequest: size, tags or a filter make no sense.
    """
    given: Mapping[str, str] = dict(parameters)
    tags, any_tag = _tags(given.get("tags", ""))
    filters: list[Filter] = []
    for name, value in parameters:
        if name.startswith("filter[") and name.endswith("]"):
            filters.append(_filter(entity_filters, dict(aliases), name, value))
        elif name in plain and value:
            filters.append(_filter(entity_filters, {}, f"filter[{name}]", value))
    return ListQuery(_size(given.get("size", "")), given.get("offset") or None, tags, any_tag, tuple(filters))


def apply(statement: Select[*tuple[Any, ...]], row: type[EntityRow], query: ListQuery) -> Select[*tuple[Any, ...]]:
    """The statement for one page; asks for one row more than the page holds, to learn whether another follows."""
    if query.offset is not None:
        created_at, identifier = _decode(query.offset)
        statement = statement.where(tuple_(row.created_at, row.id) > tuple_(created_at, identifier))
    if query.tags:
        tags = list(query.tags)
        statement = statement.where(row.tags.overlap(tags) if query.any_tag else row.tags.contains(tags))
    for condition in query.filters:
        # What is no key has no column of its own.
        column = row.column(condition.field) if condition.field in row.key_fields else row.doc[condition.field].astext
        if condition.operator == "eq":
            statement = statement.where(column == condition.value)
        else:
            statement = statement.where(column.contains(condition.value, autoescape=True))
    return statement.order_by(row.created_at, row.id).limit(query.size + 1)


def cursor(row: Columns) -> str:
    """Opaque text that means "after this row"."""
    raw = json.dumps([row.created_at.isoformat(), str(row.id)], separators=(",", ":"))
    return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")


def _decode(offset: str) -> tuple[datetime, UUID]:
    try:
        padded = offset + "=" * (-len(offset) % 4)
        content: Any = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
        created_at, identifier = content
        return datetime.fromisoformat(created_at).astimezone(UTC), UUID(identifier)
    except (binascii.Error, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        raise InvalidRequest(f"'{offset[:200]}' is not a valid offset") from None


def _size(text: str) -> int:
    if not text:
        return DEFAULT_SIZE
    if not (text.isascii() and text.isdecimal() and len(text) <= 4 and 1 <= int(text) <= MAX_SIZE):
        raise InvalidRequest(f"size must be an integer between 1 and {MAX_SIZE}")
    return int(text)


def _tags(text: str) -> tuple[tuple[str, ...], bool]:
    """`a,b` asks for both, `a/b` for either; neither sign can occur in a tag."""
    if "\x00" in text or ("," in text and "/" in text):
        raise InvalidRequest("invalid filter syntax")
    any_tag = "/" in text
    tags = tuple(tag for tag in text.split("/" if any_tag else ",") if tag)
    return tags, any_tag


def _filter(entity_filters: Sequence[str], aliases: Mapping[str, str], name: str, value: str) -> Filter:
    parts = name.removeprefix("filter[").removesuffix("]").split("][")
    field_name, operator = aliases.get(parts[0], parts[0]), parts[1] if len(parts) > 1 else "eq"
    if len(parts) > 2 or field_name not in entity_filters or "\x00" in value:
        raise InvalidRequest(f"invalid filter: {name[:200]}")
    if operator == "eq":
        return Filter(field_name, "eq", value)
    if operator == "contains":
        return Filter(field_name, "contains", value)
    raise InvalidRequest(f"invalid filter: {name[:200]}")
