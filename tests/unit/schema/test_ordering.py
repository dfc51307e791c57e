"""Wishes for the order of plugins, and whether there is one that grants them all."""

import pytest

from schema.ordering import Wish, circle, mentioned


def _wish(before: list[str] | None = None, after: list[str] | None = None) -> Wish:
    return {"before": before and {"access": before}, "after": after and {"access": after}}


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, []),
        ({"a": None, "b": None}, []),
        ({"a": _wish(before=["b"]), "b": _wish(after=["a"])}, []),
        ({"a": _wish(before=["b"]), "b": _wish(before=["a"])}, ["a", "b"]),
        ({"a": _wish(before=["a"])}, ["a"]),
        ({"a": _wish(before=["b"]), "c": _wish(before=["a"], after=["b"])}, []),
        ({"a": _wish(before=["b"]), "b": None, "c": _wish(before=["a"], after=["b"])}, ["a", "b", "c"]),
        ({"a": _wish(after=["b"]), "b": _wish(after=["c"]), "c": None, "d": _wish(before=["a", "b", "c"])}, []),
        ({"a": {"before": {"access": None}, "after": None}}, []),
    ],
)
def test_a_circle_is_found(wishes: dict[str, Wish], expected: list[str]):
    assert sorted(circle(wishes)) == expected


def test_a_circle_is_named_in_its_order():
    found = list(circle({"a": _wish(before=["b"]), "b": _wish(before=["c"]), "c": _wish(before=["a"])}))
    start = found.index("a")
    assert found[start:] + found[:start] == ["a", "b", "c"]


def test_long_chains_need_no_recursion():
    wishes: dict[str, Wish] = {f"p{number:05}": _wish(before=[f"p{number + 1:05}"]) for number in range(5_000)}
    assert circle(wishes) == ()


def test_names_that_a_wish_is_about():
    assert mentioned(_wish(before=["a"], after=["b", "a"])) == {"a", "b"}
    assert mentioned(None) == frozenset()
