"""Documents of any size are refused at the price of reading them."""

from typing import Any

import pytest

from schema.bounds import MOST_FINDINGS, MOST_VALUES, holds_more_than
from schema.errors import SchemaViolation
from schema.registry import registry


def nested(depth: int) -> object:
    value: object = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("document", "values"),
    [(1, 1), ([], 1), ({}, 1), ([1, 2], 3), ({"a": 1, "b": [1, {"c": 2}]}, 6), ("text", 1), (nested(50_000), 50_001)],
)
def test_every_value_counts(document: object, values: int) -> None:
    assert not holds_more_than(values, document)
    assert values == 1 or holds_more_than(values - 1, document)


@pytest.mark.parametrize(
    "document",
    [
        {f"field{number}": 1 for number in range(MOST_VALUES + 1)},
        {"name": "request-transformer", "config": {"add": {"headers": ["x"] * MOST_VALUES}}},
        {"name": "request-transformer", "config": {"add": {"headers": [[]] * MOST_VALUES}}},
    ],
)
def test_too_much_is_one_violation(document: dict[str, Any]) -> None:
    with pytest.raises(SchemaViolation) as caught:
        registry().parse(registry().entities["plugins"], document)

    assert [(item.field, item.message) for item in caught.value.violations] == [
        ("", f"must not hold more than {MOST_VALUES} values")
    ]


def test_the_first_of_many_violations_are_listed() -> None:
    document: dict[str, Any] = {"host": "a", **{f"field{number}": 1 for number in range(1000)}}

    with pytest.raises(SchemaViolation) as caught:
        registry().parse(registry().entities["services"], document)

    entity, *fields = caught.value.violations
    assert (entity.field, entity.message) == ("", f"{1000 - MOST_FINDINGS} more violations are not listed")
    assert {item.message for item in fields} == {"unknown field"}
    assert len(fields) == MOST_FINDINGS
