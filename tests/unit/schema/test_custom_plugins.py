"""Configurations of plugins that their owner describes in Lua."""

from typing import Any
from uuid import UUID

import pytest

from schema.base import WEB
from schema.custom_plugins import CustomPlugin, custom_plugin
from schema.registry import registry

SCHEMA = """
local typedefs = require "kong.db.schema.typedefs"
local NAME = "greeting"
return {
  name = NAME,
  fields = {
    { consumer = typedefs.no_consumer },
    { protocols = typedefs.protocols_http },
    { config = {
        type = "record",
        fields = {
          { text = { type = "string", required = true, len_max = 5 } },
          { header = typedefs.header_name { default = "X-Hello" } },
          { count = { type = "integer", default = 3, between = { 1, 10 } } },
          { share = { type = "number", gt = 0 } },
          { on = { type = "boolean", default = false, custom_validator = function(x) return x end } },
          { mode = { type = "string", one_of = { "a", "b" }, default = "a" } },
          { names = { type = "set", elements = { type = "string" }, default = {}, len_max = 2 } },
          { list = { type = "array", elements = { type = "record", fields = { { x = { type = "integer", default = 1 } } } } } },
          { map = { type = "map", keys = { type = "string" }, values = { type = "number" } } },
          { secret = { type = "string", referenceable = true, encrypted = true, len_max = 3 } },
          { inner = { type = "record", required = true, fields = { { deep = { type = "string", default = "d" } } } } },
          { other = { type = "record", fields = { { deep = { type = "string", required = true } } } } },
          { id = { type = "string", uuid = true, auto = true } },
          { certificate = { type = "foreign", reference = "certificates" } },
        },
        entity_checks = { { at_least_one_of = { "text", "header" } } },
    } },
  },
}
"""


class Schemas:
    """A control plane that has these schemas."""

    def __init__(self, **texts: str) -> None:
        self._texts = texts

    def catalog(self):
        def find(plural: str, reference: Any):
            text = self._texts.get(reference["name"])
            return {"lua_schema": text} if text is not None and plural == "plugin_schemas" else None

        return registry().knowing(find)


def plugin(text: str = SCHEMA) -> CustomPlugin:
    found = custom_plugin("greeting", Schemas(greeting=text).catalog())
    assert isinstance(found, CustomPlugin), found
    return found


def wrong(config: dict[str, Any]) -> set[tuple[str, str]]:
    return {(found.field, found.message) for found in plugin().complete({"text": "hi", **config})[1]}


def test_defaults_are_filled_in():
    config, found = plugin().complete({"text": "hi"})
    assert found == []
    assert str(UUID(config.pop("id")))
    assert config == {
        "text": "hi",
        "header": "X-Hello",
        "count": 3,
        "share": None,
        "on": False,
        "mode": "a",
        "names": [],
        "list": None,
        "map": None,
        "secret": None,
        "inner": {"deep": "d"},
        "other": None,
        "certificate": None,
    }
    again, found = plugin().complete(config)
    assert (found, {**again, "id": None}) == ([], {**config, "id": None})


def test_values_are_kept():
    given = {
        "text": "hello",
        "count": 7.0,
        "share": 0.5,
        "names": ["b", "a", "b"],
        "list": [{}, {"x": 2}],
        "map": {"k": 1.5},
        "secret": "{vault://env/longer-than-three}",
        "certificate": {"id": "5F0C1D6E-8C1A-4C55-9F0F-0D6B3F6B2F11"},
    }
    config, found = plugin().complete(given)
    assert found == []
    assert config["count"] == 7
    assert config["names"] == ["b", "a"]
    assert config["list"] == [{"x": 1}, {"x": 2}]
    assert config["secret"] == given["secret"]
    assert config["certificate"] == {"id": "5f0c1d6e-8c1a-4c55-9f0f-0d6b3f6b2f11"}


@pytest.mark.parametrize(
    ("config", "field", "message"),
    [
        ({"text": None}, "text", "required field missing"),
        ({"text": "longer"}, "text", "length must be at most 5"),
        ({"text": ""}, "text", "length must be at least 1"),
        ({"text": 1}, "text", "expected a string"),
        ({"count": True}, "count", "expected an integer"),
        ({"count": 1.5}, "count", "expected an integer"),
        ({"count": 11}, "count", "value should be between 1 and 10"),
        ({"share": 0}, "share", "value must be greater than 0"),
        ({"on": 1}, "on", "expected a boolean"),
        ({"mode": "c"}, "mode", "expected one of: a, b"),
        ({"names": ["a", "b", "c"]}, "names", "length must be at most 2"),
        ({"names": "a"}, "names", "expected a set"),
        ({"list": [{"y": 1}]}, "list[0].y", "unknown field"),
        ({"list": [1]}, "list[0]", "expected a record"),
        ({"map": {"k": "v"}}, "map.k", "expected a number"),
        ({"map": {"$sealed": 1}}, "map.$sealed", "must not begin with '$'"),
        ({"secret": "long"}, "secret", "length must be at most 3"),
        ({"other": {}}, "other.deep", "required field missing"),
        ({"id": "x"}, "id", "expected a valid UUID"),
        ({"certificate": {"name": "x"}}, "certificate", "expected the id of an entity"),
        ({"more": 1}, "more", "unknown field"),
    ],
)
def test_faults(config, field, message):
    assert wrong(config) == {(field, message)}


def test_where_it_may_be_used():
    spec = plugin().spec
    assert (spec.name, spec.since) == ("greeting", None)
    assert spec.scopes == {"service", "route", "consumer_group"}
    assert spec.protocols == spec.allowed_protocols == WEB


def test_clients_read_the_schema():
    fields = {name: field for entry in plugin().notation["fields"] for name, field in entry.items()}
    assert fields["consumer"] == {"type": "foreign", "reference": "consumers", "eq": None}
    assert fields["protocols"]["default"] == list(WEB)
    config = fields["config"]
    inner = {name: field for entry in config["fields"] for name, field in entry.items()}
    assert (config["type"], config["required"]) == ("record", True)
    assert inner["count"] == {"type": "integer", "default": 3, "between": [1, 10]}
    assert inner["on"] == {"type": "boolean", "default": False}
    assert inner["names"]["default"] == []
    assert inner["header"] == {"type": "string", "default": "X-Hello"}


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("x = 1", "line 1"),
        ("return 1", "fields of the schema"),
        ("return { fields = { { config = { type = 'record' } } } }", "fields of config"),
        ("return { fields = { { config = { type = 'string' } } } }", "config is no record"),
        ("return { fields = { { config = { type = 'record', fields = { { a = {} } } } } } }", "config.a"),
        (
            "return { fields = { { config = { type = 'record', fields = { { a = { type = 'array' } } } } } } }",
            "elements",
        ),
        (
            "return { fields = { { config = { type = 'record', fields = { { ['$a'] = { type = 'string' } } } } } } }",
            "name",
        ),
        ("return { fields = { { a = {}, b = {} } } }", "name"),
        ("return { fields = { 1 } }", "name"),
    ],
)
def test_what_cannot_be_judged_by(text, reason):
    found = custom_plugin("greeting", Schemas(greeting=text).catalog())
    assert isinstance(found, str)
    assert found.startswith("the schema cannot be read without running it: ")
    assert reason in found


def test_work_is_bounded():
    fields = ", ".join(f"{{ f{n} = {{ type = 'string' }} }}" for n in range(500))
    text = f"return {{ fields = {{ {{ config = {{ type = 'record', fields = {{ {{ l = {{ type = 'array', elements = {{ type = 'record', fields = {{ {fields} }} }} }} }} }} }} }} }} }}"
    _, found = plugin(text).complete({"l": [{}] * 5000})
    assert [violation.message for violation in found] == ["must not hold more than 100000 values"]


def test_nobody_has_a_schema_of_it():
    assert custom_plugin("other", Schemas(greeting=SCHEMA).catalog()) is None
