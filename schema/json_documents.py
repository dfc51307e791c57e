"""Self-contained JSON Schemas, for clients that fill in defaults from them.

Such clients descend into every object that does not say `additionalProperties: false`: records have to be open to them, and
references closed. A default that is null is the same as none.

Source: how decK reads schemas.
"""

from typing import Final

from pydantic import BaseModel

from schema.base import Entity
from schema.export import JsonSchema

_NULL: Final[JsonSchema] = {"type": "null"}


def record_document(record: type[BaseModel]) -> JsonSchema:
    """The schema of a record, with everything it refers to in its place."""
    whole: JsonSchema = record.model_json_schema(mode="validation")
    return _inlined(whole, whole.pop("$defs", {}))


def entity_document(entity: type[Entity]) -> JsonSchema:
    """The schema of an entity as clients read it: without what is only ever written."""
    document = record_document(entity)
    properties: dict[str, JsonSchema] = document["properties"]
    document["properties"] = {name: part for name, part in properties.items() if not part.pop("writeOnly", False)}
    if entity.spec.variant is not None:
        # Whoever fills in defaults does so whether there is a switch or not, and would find them missing without it.
        for name in entity.spec.variant.when_set & document["properties"].keys():
            document["properties"][name].pop("default", None)
    by = entity.spec.config_by
    if entity.configs():
        document["allOf"] = [
            {
                "if": {"properties": {by: {"const": kind}}},
                "then": {"properties": {"config": {"properties": {kind: record_document(config)}}}},
            }
            for kind, config in entity.configs().items()
        ]
    return document


def _inlined(part: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    part = _flat(part, definitions)
    part.pop("title", None)
    if part.get("default", 0) is None:
        del part["default"]
    if part.get("additionalProperties") is False and "x-foreign" not in part:
        del part["additionalProperties"]
    for name in ("items", "additionalProperties"):
        if isinstance(part.get(name), dict):
            part[name] = _inlined(part[name], definitions)
    if "properties" in part:
        inner: dict[str, JsonSchema] = part["properties"]
        part["properties"] = {name: _inlined(value, definitions) for name, value in inner.items()}
    return part


def _flat(part: JsonSchema, definitions: dict[str, JsonSchema]) -> JsonSchema:
    """Without indirection: what a reference or the one option that is not null says, and what stands beside it."""
    while "$ref" in part or "anyOf" in part:
        part = dict(part)
        if "$ref" in part:
            name = str(part.pop("$ref")).rpartition("/")[2]
            part = {**definitions[name], **part}
            continue
        options: list[JsonSchema] = [option for option in part.pop("anyOf") if option != _NULL]
        if len(options) != 1:
            return {**part, "anyOf": [_inlined(option, definitions) for option in options]}
        part = {**options[0], **part}
    part = dict(part)
    if "const" in part:
        part["enum"] = [part.pop("const")]
    return part
