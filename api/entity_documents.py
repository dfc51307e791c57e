"""How the operations on entities appear in the OpenAPI document."""

from typing import Any, Final

from fastapi import FastAPI

from api.bodies import FORM, MULTIPART
from schema.base import Entity
from schema.export import entity_components, plugin_components
from schema.registry import Registry

Json = dict[str, Any]

ERROR: Final = "CoreEntityError"
UNAUTHORIZED: Final = "CoreEntityUnauthorized"
_ERROR_SCHEMA: Final[Json] = {
    "title": ERROR,
    "type": "object",
    "required": ["code", "message", "details"],
    "properties": {
        "code": {"type": "integer", "description": "A gRPC status code; 3: the request is wrong, 5: not found."},
        "message": {"type": "string", "description": "What went wrong, in a few words."},
        "details": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["@type", "type", "messages"],
                "properties": {
                    "@type": {"type": "string"},
                    "type": {
                        "type": "string",
                        "enum": ["ERROR_TYPE_FIELD", "ERROR_TYPE_ENTITY", "ERROR_TYPE_REFERENCE"],
                    },
                    "field": {"type": "string", "description": "Dotted path with indexes: `paths[0]`."},
                    "messages": {"type": "array", "items": {"type": "string"}},
                },
            },
        },
    },
}
_UNAUTHORIZED_SCHEMA: Final[Json] = {
    "title": UNAUTHORIZED,
    "type": "object",
    "required": ["message", "status"],
    "properties": {"message": {"type": "string"}, "status": {"type": "integer"}},
}

MESSAGE: Final[Json] = {"application/json": {"schema": {"$ref": "#/components/schemas/Message"}}}
PROBLEM: Final[Json] = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}


def path_parameters(*names_and_titles: tuple[str, str]) -> list[Json]:
    """The variables of a path; `title` says whose id or name it is."""
    parameters: list[Json] = [
        {
            "name": "controlPlaneId",
            "in": "path",
            "required": True,
            "description": "The control plane.",
            "schema": {"type": "string", "format": "uuid"},
        }
    ]
    parameters += [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": f"Id of the {title}, or its name where it has one.",
            "schema": {"type": "string"},
        }
        for name, title in names_and_titles
    ]
    return parameters


def list_parameters(entity: type[Entity]) -> list[Json]:
    """What every list understands, and the filters of this one."""
    found = page_parameters()
    for name in entity.spec.filters:
        found.append(_query(f"filter[{name}][eq]", f"Only the item whose {name} is this.", {"type": "string"}))
        found.append(_query(f"filter[{name}][contains]", f"Only items with this in their {name}.", {"type": "string"}))
    aliases = dict(entity.spec.filter_aliases)
    for name, field in aliases.items():
        found.append(_query(f"filter[{name}][eq]", f"The same as for {field}.", {"type": "string"}))
        found.append(_query(f"filter[{name}][contains]", f"The same as for {field}.", {"type": "string"}))
    for name in entity.spec.queries:
        found.append(_query(name, f"Only the item whose {name} is this.", {"type": "string"}))
    return found


def expansion_parameters(entity: type[Entity]) -> list[Json]:
    """What shows an entity together with what it takes from others."""
    return [
        _query(f"expand_{reference.name}", f"Show what its {reference.name} say as its own.", {"type": "boolean"})
        for reference in entity.references()
        if reference.ref.merged
    ]


def flag_parameters(entity: type[Entity]) -> list[Json]:
    """The query parameters that writes of an entity understand."""
    return [
        _query(name, entity.model_fields[name].description or "", {"type": "boolean"}) for name in entity.spec.flags
    ]


def page_parameters(*, tags: bool = True) -> list[Json]:
    """What selects a page and what is on it."""
    found = [
        _query("size", "Items per page.", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 100}),
        _query("offset", "Cursor from the previous page; empty for the first.", {"type": "string"}),
    ]
    if tags:
        found.append(_query("tags", "Only items with all of `a,b`, or with one of `a/b`.", {"type": "string"}))
    return found


def flag(name: str, description: str) -> Json:
    """A query parameter that is `1` or absent."""
    return _query(name, description, {"type": "string", "enum": ["1", "true"]})


def request_body(entity: type[Entity], *, change: bool = False) -> Json:
    """A required document, as JSON or as a form: a whole one, or what is to be different."""
    one = entity.spec.singular.replace("_", " ")
    return {
        "required": True,
        "description": f"What is to be different about the {one}." if change else f"The {one}.",
        "content": readable(_ref(f"{entity.spec.title}{'Change' if change else 'Input'}")),
    }


def readable(schema: Json) -> Json:
    """One schema in all the media types that such bodies are read in."""
    return {kind: {"schema": schema} for kind in ("application/json", FORM, MULTIPART)}


def responses(
    entity: type[Entity], status: int, *, page: bool = False, schema: Json | None = None, what: str = ""
) -> dict[int | str, Json]:
    """The success of an operation and the ways it fails. `schema`: of what comes back, if it is not the entity itself.

    `what` says what that is.
    """
    success: Json = {"description": "Done."}
    if status != 204:
        title, one = entity.spec.title, entity.spec.singular.replace("_", " ")
        success = {"description": what or ("A page." if page else f"The {one}.")}
        success["content"] = _json(schema or _ref(f"{title}Page" if page else title))
    return {status: success, **_failures()}


def schema_responses(schema: Json, what: str) -> dict[int | str, Json]:
    """The same for an operation on declarations."""
    return {200: {"description": what, "content": _json(schema)}, **_failures()}


def _failures() -> dict[int | str, Json]:
    return {
        400: {"description": "The request cannot be fulfilled as it stands.", "content": _json(_ref(ERROR))},
        401: {"description": "No valid token.", "content": _json(_ref(UNAUTHORIZED))},
        404: {"description": "No such thing.", "content": _json(_ref(ERROR))},
    }


def add_failures(method: str, path: str, operation: Json) -> None:
    """The ways in which writes fail, and bodies: in the form of errors of the path."""
    failures: dict[str, str] = {}
    if method != "get" and "/schemas/" not in path:
        failures["403"] = "The control plane takes no entities from here, or no more of them."
    if "requestBody" in operation:
        failures["413"] = "The body is larger than this installation takes."
        failures["415"] = "Nobody reads bodies of this type here."
    for status, meaning in failures.items():
        operation["responses"][status] = {"description": meaning, "content": operation["responses"]["404"]["content"]}


def describe(app: FastAPI, declarations: Registry) -> None:
    """Have `app.openapi()` define what the operations on entities refer to."""
    plain = app.openapi

    def openapi() -> Json:
        document = plain()
        schemas: Json = document.setdefault("components", {}).setdefault("schemas", {})
        for entity in (item for item in declarations.entities.values() if item.spec.mounted):
            schemas.update(entity_components(entity))
        for name, config in declarations.plugins.items():
            schemas.update(plugin_components(name, config))
        schemas.update({ERROR: _ERROR_SCHEMA, UNAUTHORIZED: _UNAUTHORIZED_SCHEMA})
        return document

    app.openapi = openapi


def _query(name: str, description: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _json(schema: Json) -> Json:
    return {"application/json": {"schema": schema}}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}
