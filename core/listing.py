"""Numbered pages, filters, labels and sorting of hand-written lists, from the request's terms to SQL."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, func
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = TypeVar("Row")


class Operator(StrEnum):
    """How a filter compares. `oeq`: equals one of a list."""

    EQ = "eq"
    NEQ = "neq"
    OEQ = "oeq"
    CONTAINS = "contains"


@dataclass(frozen=True, slots=True)
class Filter:
    """One condition; `values` holds one value, or several for `oeq`, already of the column's type."""

    field: str
    operator: Operator
    values: tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class LabelCondition:
    """A label that must be there, with that value if one is given."""

    key: str
    value: str | None = None


@dataclass(frozen=True, slots=True)
class Sort:
    """Order by one field."""

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """What part of a list is wanted. Pages count from 1."""

    number: int = 1
    size: int = 10
    filters: tuple[Filter, ...] = ()
    labels: tuple[LabelCondition, ...] = ()
    sort: tuple[Sort, ...] = ()


@dataclass(frozen=True, slots=True)
class Page(Generic[Row]):
    """A part of a list, and how long the whole is."""

    items: Sequence[Row]
    number: int
    size: int
    total: int


Columns = Mapping[str, InstrumentedAttribute[Any]]


def conditions(filters: Sequence[Filter], columns: Columns) -> list[ColumnElement[bool]]:
    """The filters as SQL. `contains` ignores case; the others are exact."""
    return [_condition(item, columns[item.field]) for item in filters]


def label_conditions(
    labels: Sequence[LabelCondition], column: InstrumentedAttribute[dict[str, str]]
) -> list[ColumnElement[bool]]:
    """The label conditions as SQL on a JSONB object."""
    result: list[ColumnElement[bool]] = []
    for label in labels:
        held = func.jsonb_extract_path_text(column, label.key)
        result.append(held.is_not(None) if label.value is None else held == label.value)
    return result


def fetch(session: Session, statement: Select[Row], listing: Listing, columns: Columns) -> Page[Row]:
    """Run one page of `statement` in the wanted order; created_at and id break ties, so no row is shown twice."""
    total = session.scalar(statement.with_only_columns(func.count(), maintain_column_froms=True).order_by(None)) or 0
    order = [columns[item.field].desc() if item.descending else columns[item.field].asc() for item in listing.sort]
    ordered = statement.order_by(*order, columns["created_at"], columns["id"])
    rows = session.scalars(ordered.limit(listing.size).offset((listing.number - 1) * listing.size)).all()
    return Page(rows, listing.number, listing.size, total)


def _condition(item: Filter, column: InstrumentedAttribute[Any]) -> ColumnElement[bool]:
    match item.operator:
        case Operator.EQ:
            return column == item.values[0]
        case Operator.NEQ:
            return column != item.values[0]
        case Operator.OEQ:
            return column.in_(item.values)
        case Operator.CONTAINS:
            return column.icontains(item.values[0], autoescape=True)
