"""Pydantic's findings in Konnect's words."""

import pytest

from api.violations import from_pydantic, path_of


@pytest.mark.parametrize(
    ("location", "path"),
    [((), ""), (("a",), "a"), (("a", 0, "b"), "a[0].b"), (("a", "b", 1, 2), "a.b[1][2]")],
)
def test_paths(location: tuple[str | int, ...], path: str) -> None:
    assert path_of(location) == path


@pytest.mark.parametrize(
    ("finding", "expected"),
    [
        ({"type": "missing", "loc": ("body", "name"), "msg": ""}, ("name", "required", "body")),
        ({"type": "missing", "loc": ("body",), "msg": ""}, ("body", "required", "body")),
        ({"type": "json_invalid", "loc": ("body", 17), "msg": ""}, ("body", "invalid", "body")),
        ({"type": "uuid_parsing", "loc": ("path", "id"), "msg": ""}, ("id", "is_uuid", "path")),
        ({"type": "something_new", "loc": ("query", "x"), "msg": "odd"}, ("x", "invalid", "query")),
        (
            {"type": "string_too_long", "loc": ("body", "a"), "msg": "", "ctx": {"max_length": 3}},
            ("a", "max_length", "body"),
        ),
    ],
)
def test_rules(finding: dict[str, object], expected: tuple[str, str, str]) -> None:
    (violation,) = from_pydantic([finding]).violations

    assert (violation.field, violation.rule, violation.source) == expected


def test_values_are_never_repeated() -> None:
    finding = {"type": "string_type", "loc": ("body", "password"), "msg": "bad", "input": "hunter2"}

    assert "hunter2" not in repr(from_pydantic([finding]).violations)
