"""Cases written as a table: one text of a case, many rows, and each row a case of its own."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final, cast

from pydantic import Field, ValidationError

from tests.conformance.case import CaseError, Document, Strict, as_text

if TYPE_CHECKING:
    from collections.abc import Iterator

# Only the names of columns are replaced, so that other text in angle brackets, such as HTML, stays what it is.
_HOLE: Final = re.compile(r"<([a-z][a-z0-9_]*)>")


class Table(Strict):
    """Names of the columns, and for each case its row of cells."""

    columns: list[str] = Field(min_length=1)
    rows: list[list[Any]] = Field(min_length=1)


def unfold(document: Document) -> Iterator[Document]:
    """The cases of a document: one per row of its `table`, or itself when it has none.

    `<column>` stands for the row's cell, anywhere in the document: alone in a text it is the cell as it is (a number, a
    list, null, a map), within a longer text the cell's text; as a key without a value it adds the cell's map to the map around
    it. Rows whose description says nothing about them are numbered.
    Raises: CaseError: the table is malformed, a row too long or short, or a column never used.
    """
    if "table" not in document:
        yield document
        return
    whole = {key: value for key, value in document.items() if key != "table"}
    try:
        table = Table.model_validate(document["table"])
    except ValidationError as error:
        message = f"table: {error.errors(include_url=False)[0]['msg']}"
        raise CaseError(message) from None
    unused = set(table.columns) - _holes(whole)
    if unused or len(set(table.columns)) != len(table.columns):
        message = f"table: columns are unused or named twice: {', '.join(sorted(unused) or table.columns)}"
        raise CaseError(message)
    for number, row in enumerate(table.rows, start=1):
        if len(row) != len(table.columns):
            message = f"table: row {number} has {len(row)} cells for {len(table.columns)} columns"
            raise CaseError(message)
        case = cast("Document", _filled(whole, dict(zip(table.columns, row, strict=True))))
        description = case.get("description")
        if description == whole.get("description"):
            case["description"] = f"{description}, row {number}"
        yield case


def _holes(node: object) -> set[str]:
    if isinstance(node, str):
        return set(_HOLE.findall(node))
    if isinstance(node, dict):
        return {name for pair in cast("dict[object, object]", node).items() for part in pair for name in _holes(part)}
    if isinstance(node, list):
        return {name for item in cast("list[object]", node) for name in _holes(item)}
    return set()


def _filled(node: Any, cells: Document) -> Any:
    if isinstance(node, str):
        whole = _HOLE.fullmatch(node)
        if whole is not None and whole[1] in cells:
            return cells[whole[1]]
        return _HOLE.sub(lambda hole: _within(cells[hole[1]]) if hole[1] in cells else hole[0], node)
    if isinstance(node, dict):
        return _filled_map(cast("dict[Any, Any]", node), cells)
    if isinstance(node, list):
        return [_filled(item, cells) for item in cast("list[Any]", node)]
    return node


def _filled_map(node: dict[Any, Any], cells: Document) -> dict[Any, Any]:
    filled: dict[Any, Any] = {}
    for key, item in node.items():
        name = _filled(key, cells)
        if not isinstance(name, dict):
            filled[name] = _filled(item, cells)
        elif item is None:
            filled |= cast("dict[Any, Any]", name)
        else:
            message = f"table: {key} adds a map, so it has no value of its own"
            raise CaseError(message)
    return filled


def _within(cell: object) -> str:
    """A cell as part of a longer text."""
    if isinstance(cell, list):
        return " + ".join(map(_within, cast("list[object]", cell)))
    return "nothing" if cell is None else str(as_text(cell))
