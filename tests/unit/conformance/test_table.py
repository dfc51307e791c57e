"""Tables of cases: one case per row, and nothing in a table goes unsaid."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.case import CaseError
from tests.conformance.table import unfold


def table(columns: list[str], *rows: list[Any]) -> dict[str, Any]:
    return {"columns": columns, "rows": list(rows)}


def test_a_case_without_a_table_is_itself() -> None:
    case: dict[str, Any] = {"description": "<p> stays"}
    assert list(unfold(case)) == [case]


def test_each_row_is_a_case_and_cells_keep_their_types_where_they_stand_alone() -> None:
    case = {
        "description": "<path> is <status>",
        "table": table(["path", "status"], ["/a", 200], [["/b", "/c"], None]),
        "steps": [{"send": {"path": "<path>"}, "expect": {"status": "<status>", "body": "<p><status></p>"}}],
    }
    assert list(unfold(case)) == [
        {
            "description": "/a is 200",
            "steps": [{"send": {"path": "/a"}, "expect": {"status": 200, "body": "<p>200</p>"}}],
        },
        {
            "description": "/b + /c is nothing",
            "steps": [{"send": {"path": ["/b", "/c"]}, "expect": {"status": None, "body": "<p>nothing</p>"}}],
        },
    ]


def test_a_cell_that_is_a_map_adds_to_the_map_around_it() -> None:
    case = {"description": "", "table": table(["more"], [{"b": 2}]), "steps": [{"a": 1, "<more>": None}]}
    assert [row["steps"] for row in unfold(case)] == [[{"a": 1, "b": 2}]]
    with pytest.raises(CaseError, match="no value of its own"):
        list(unfold(case | {"steps": [{"<more>": 1}]}))


def test_rows_that_the_description_does_not_tell_apart_are_numbered() -> None:
    case = {"description": "rows", "table": table(["n"], [1], [2]), "steps": ["<n>"]}
    assert [row["description"] for row in unfold(case)] == ["rows, row 1", "rows, row 2"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (table(["path", "other"], ["/", 1]), "unused or named twice: other"),
        (table(["path", "path"], ["/", "/"]), "unused or named twice: path, path"),
        (table(["path"], ["/", "/"]), "row 1 has 2 cells for 1 columns"),
        (table(["path"]), "at least 1 item"),
        ({"columns": ["path"], "rows": [["/"]], "colour": 1}, "Extra inputs"),
    ],
)
def test_malformed_tables_are_errors(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(CaseError, match=message):
        list(unfold({"table": wrong, "steps": ["<path>"]}))
