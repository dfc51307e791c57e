"""Lua that only writes tables down is read, and nothing else is."""

import pytest

from schema.lua_tables import UNKNOWN, NotDeclarative, items_of, read

TYPES = {"types": {"text": {"type": "string", "len_min": 1}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("return nil", None),
        ("return true", True),
        ("return -1.5e2", -150),
        ("return 0x1F", 31),
        ("return 1.25;", 1.25),
        (r"""return 'a\n\65\'"'""", "a\nA'\""),
        ("return [==[\na]]]==]", "a]]"),
        ("return 'a' .. \"b\" .. 'c'", "abc"),
        ("-- c\n--[[ long\n]] return --[=[ x ]=] 1", 1),
        ("return { 1, a = 2, ['b c'] = 3; 4, [9] = nil, }", {1: 1, 2: 4, "a": 2, "b c": 3}),
        ("local a, b = 1, 2 local c = { a, b } return c", {1: 1, 2: 2}),
        ("local t = require 'types' return t.text { len_min = 0 }", {"type": "string", "len_min": 0}),
        ("local t = require('types') return t.text", {"type": "string", "len_min": 1}),
        ("local t = require 'types' return { t.text({ a = 1 }) }", {1: {"type": "string", "len_min": 1, "a": 1}}),
        ("local function f(x) if x then for i = 1, 2 do end end return x end return { f(1), 2 }", {1: UNKNOWN, 2: 2}),
        ("function f() return function() end end return { a = function(x) return x end }", {"a": UNKNOWN}),
        ("return { 1 + 2, not x, #y, ..., a.b.c, z:w(1), (1), a and b }", dict.fromkeys(range(1, 9), UNKNOWN) | {7: 1}),
        ("return require 'elsewhere'.value", UNKNOWN),
        ("return 1e999", UNKNOWN),
        ("return 0x" + "f" * 40, UNKNOWN),
        ("return ({ a = { 5 } }).a[1]", 5),
    ],
)
def test_values(text, value):
    assert read(text, TYPES) == value


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x = 1",
        "return",
        "return {",
        "return }",
        "return 'a",
        "return 'a\nb'",
        "return [[a",
        "--[[ never ends",
        "return f(1",
        "return { a = }",
        "if a then return {} end",
        "local function f( ",
        "return { 1 2 }",
        "return ä",
        "return " + "{" * 5000,
        "return " + "(" * 5000,
        "return " + "-" * 5000 + "1",
        "local a = {}" + " local a = { a }" * 200 + " return a",
        "local a = { 1, 2 }" + " local a = { a, a }" * 40 + " return a",
    ],
)
def test_what_is_not_read(text):
    with pytest.raises(NotDeclarative, match=r"^line [0-9]+: "):
        read(text, TYPES)


def test_texts_do_not_grow_without_bound():
    assert read('local a = "xxxxxxxx"' + " local a = a .. a" * 100 + " return a", {}) is UNKNOWN


def test_items_end_at_the_first_hole():
    assert items_of({1: "a", 2: "b", 4: "d", "x": 1}) == ["a", "b"]
    assert items_of(None) == []
