"""YAML from strangers."""

import pytest

from api import yaml_documents
from api.yaml_documents import DEEPEST, YamlError, parse


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("a: 1", {"a": 1}),
        ("a: 1.5\nb: -2\nc: .5\nd: 1e3", {"a": 1.5, "b": -2, "c": 0.5, "d": 1000.0}),
        ("[true, False, yes, no, on, ~, null, '']", [True, False, "yes", "no", "on", None, None, ""]),
        ('["1", \'true\', !!str 1, "~"]', ["1", "true", "1", "~"]),
        ("a:\n  - 2020-01-01\n  - 1:30\n  - 0x10\n  - 1_000", {"a": ["2020-01-01", "1:30", "0x10", "1_000"]}),
        ("200: a\ntrue: b\nnull: c", {"200": "a", "true": "b", "null": "c"}),
        ("a: |\n  x\n  y\n", {"a": "x\ny\n"}),
        ("a: &x [1]\nb: *x", {"a": [1], "b": [1]}),
        ("a: &x {k: 1, l: 2}\nb:\n  <<: *x\n  k: 3", {"a": {"k": 1, "l": 2}, "b": {"k": 3, "l": 2}}),
        (
            "x: &x {k: 1}\ny: &y {k: 2, l: 3}\nb: {<<: [*x, *y]}",
            {"x": {"k": 1}, "y": {"k": 2, "l": 3}, "b": {"k": 1, "l": 3}},
        ),
        ("a: &x 5\nb: *x", {"a": 5, "b": 5}),
        ("a: {}\nb: []", {"a": {}, "b": []}),
        ("a: 1\na: 2", {"a": 2}),
        ("--- {a: 1}\n...", {"a": 1}),
        ('{"a": [1, "x"]}', {"a": [1, "x"]}),
    ],
)
def test_values(text, value):
    assert parse(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a: 1\n---\nb: 2",
        "a: [1",
        "a: *x",
        "a: &x [*x]",
        "? [a]\n: 1",
        "a: !!python/object/apply:os.system [x]",
        "!x a",
        "!!binary aGk=",
        "{<<: 1}",
        "a: \x00",
        "[" * (DEEPEST + 1) + "]" * (DEEPEST + 1),
        "[" * 1_000_000,
        "- " * 1_000_000,
        "{a: " * 100_000,
    ],
)
def test_refusals(text):
    with pytest.raises(YamlError):
        parse(text)


def test_aliases_count_as_what_they_stand_for(monkeypatch):
    monkeypatch.setattr(yaml_documents, "MOST_VALUES", 1000)
    laughs = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    laughs += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 10)]
    assert parse("\n".join(laughs[:2])) == {"a0": [1] * 10, "a1": [[1] * 10] * 10}
    with pytest.raises(YamlError, match="more than 1000"):
        parse("\n".join(laughs))


def test_a_fault_is_told_by_its_place():
    with pytest.raises(YamlError, match="line 2"):
        parse("a: 1\nb: ]\n")
