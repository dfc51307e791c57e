"""Reading the name of a plugin from a schema in Lua."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schema.lua_schemas import plugin_name


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('return { name = "mine", fields = {} }', "mine"),
        ("return { fields = { { name = 'inner' } }, name = 'mine' }", "mine"),
        ("return {name=[[mine]]}", "mine"),
        ("return { name = [==[mi]]ne]==] }", "mi]]ne"),
        ('local NAME = "mine"\nlocal schema = { name = NAME, fields = {} }\nreturn schema', "mine"),
        ('local typedefs = require "kong.db.schema.typedefs"\nreturn { name = "mine" }', "mine"),
        ('local helper = { name = "helper" }\nreturn { name = "mine" }', "mine"),
        ('-- name = "no"\n--[[ { name = "no" } ]] return { name = "mine" } -- the end', "mine"),
        ('--[==[ ]] { name = "no" } ]==] return { name = "mine" }', "mine"),
        ('return { other = "name = \\"no\\"", name = "mine" }', "mine"),
        ('return { fields = { { config = { fields = { { name = { type = "string" } } } } } } }', None),
        ('return { surname = "no" }', None),
        ("return { name = UNKNOWN }", None),
        ('name = "outside"', None),
        ('return { name = "never ends }', None),
        ("return { name = [[never ends }", None),
        ("", None),
    ],
)
def test_names(text, name):
    assert plugin_name(text) == name


@given(st.text(alphabet="-[]={}(),;\"'\\\n \tname", max_size=60))
def test_no_text_crashes_the_reader(text):
    plugin_name(text)
    plugin_name(f"{text} return {{ name = 'mine' }}")
