"""JSON Schema of the declarations, for the OpenAPI document and everything that is generated from it."""

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import GenerateJsonSchema

from schema.base import SYSTEM_FIELDS, Entity

JsonSchema = dict[str, Any]

_REF_TEMPLATE = "#/components/schemas/{model}"


def entity_components(entity: type[Entity]) -> dict[str, JsonSchema]:
    """OpenAPI components of one entity and its nested records.

    `<Title>` as it is read, `<Title>Input` as it is written, `<Title>Change` as a PATCH says it, `<Title>Page` as a list.
    """
    title = entity.spec.title
    read, nested = _split(entity)
    written = _copy(read)
    _describe_read(read, entity)
    _describe_written(written, entity)
    written["title"] = f"{title}Input"
    changed = {name: part for name, part in _copy(written).items() if name != "required"} | {"title": f"{title}Change"}
    return {**nested, title: read, f"{title}Input": written, f"{title}Change": changed, f"{title}Page": _page(title)}


def plugin_components(name: str, config: type[BaseModel]) -> dict[str, JsonSchema]:
    """OpenAPI components of one plugin's configuration: `<Class>Config` and its nested records."""
    schema, nested = _split(config)
    schema["x-plugin"] = name
    prefix = config.__name__
    renamed = {model: f"{prefix}{model}" for model in nested}
    components = {renamed[model]: _rename(part, renamed) for model, part in nested.items()}
    return {**components, f"{prefix}Config": _rename({**schema, "title": f"{prefix}Config"}, renamed)}


def _split(model: type[BaseModel]) -> tuple[JsonSchema, dict[str, JsonSchema]]:
    whole: JsonSchema = model.model_json_schema(
        ref_template=_REF_TEMPLATE, mode="validation", schema_generator=GenerateJsonSchema
    )
    nested: dict[str, JsonSchema] = whole.pop("$defs", {})
    for part in (whole, *nested.values()):
        _without_field_titles(part)
    return whole, nested


def _describe_read(schema: JsonSchema, entity: type[Entity]) -> None:
    """What a response holds: no write-only fields, system fields present, only declared fields promised."""
    properties: dict[str, JsonSchema] = schema["properties"]
    for name in [name for name, part in properties.items() if part.get("writeOnly")]:
        del properties[name]
    for name in entity.spec.hidden:
        del properties[name]
    system = [name for name in SYSTEM_FIELDS if name in properties]
    for name in system:
        part = properties[name]
        properties[name] = {**_not_null(part), "description": part.get("description", ""), "readOnly": name != "id"}
    schema["required"] = [*system, *(name for name in schema.get("required", []) if name in properties)]
    schema["title"] = entity.spec.title


def _describe_written(schema: JsonSchema, entity: type[Entity]) -> None:
    """What a request may hold: null is the same as leaving a field out, and so is the parent that the path names."""
    properties: dict[str, JsonSchema] = schema["properties"]
    if not entity.spec.tagged:
        del properties["tags"]
    parents = {reference.name for reference in entity.references() if reference.ref.nested}
    required = set(schema.get("required", [])) - parents
    if "required" in schema:
        schema["required"] = [name for name in schema["required"] if name in required]
    for name, part in properties.items():
        if name not in required and not _nullable(part):
            kept = {key: part.pop(key) for key in ("default", "description") if key in part}
            properties[name] = {"anyOf": [dict(part), {"type": "null"}], **kept}


def _page(title: str) -> JsonSchema:
    nothing: JsonSchema = {"type": ["string", "null"]}
    return {
        "title": f"{title}Page",
        "type": "object",
        "required": ["data", "next", "offset"],
        "properties": {
            "data": {"type": "array", "items": {"$ref": _REF_TEMPLATE.format(model=title)}},
            "next": {**nothing, "description": "Path of the next page; null on the last one."},
            "offset": {**nothing, "description": "Cursor of the next page; null on the last one."},
        },
    }


def _nullable(part: JsonSchema) -> bool:
    return part.get("type") == "null" or {"type": "null"} in part.get("anyOf", [])


def _not_null(part: JsonSchema) -> JsonSchema:
    for option in part.get("anyOf", []):
        if option != {"type": "null"}:
            return dict(option)
    return {key: value for key, value in part.items() if key != "default"}


def _without_field_titles(schema: JsonSchema) -> None:
    for part in schema.get("properties", {}).values():
        part.pop("title", None)


def _copy(value: Any) -> Any:
    if isinstance(value, dict):
        members: dict[str, Any] = value
        return {key: _copy(item) for key, item in members.items()}
    if isinstance(value, list):
        entries: list[Any] = value
        return [_copy(item) for item in entries]
    return value


def _rename(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, dict):
        members: dict[str, Any] = value
        return {key: _rename(item, names) for key, item in members.items()}
    if isinstance(value, list):
        entries: list[Any] = value
        return [_rename(item, names) for item in entries]
    if isinstance(value, str) and value.startswith("#/components/schemas/"):
        model = value.rpartition("/")[2]
        return _REF_TEMPLATE.format(model=names.get(model, model))
    return value
